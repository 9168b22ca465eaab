//! What hangs, on a host that is busy with something else: stress-ng takes the CPU and the memory's time meanwhile, and is
//! no more touched than the neighbours are.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "the helpers of tests fail as the tests do")]

use std::time::Duration;

use salve_tests::agent::{Agent, Incident};
use salve_tests::lab::Host;
use salve_tests::stack::{self, NGINX, Postgres, REDIS};
use salve_tests::stock::{STRAIGHT, done, is_explained, policy};
use salve_tests::stress::{self, Stress};
use salve_tests::{lab, plugin, wait};

/// How long to look out for what must not happen.
const WHILE: Duration = Duration::from_millis(500);

/// A host for databases that can be put under stress; none where the test is skipped.
fn host_or_skip(name: &str) -> Option<Host> {
    if stress::skip() { None } else { stack::host_or_skip(name) }
}

/// An agent on `host` with this stock plugin under a policy of the same name, and with these tables of its own.
fn agent(host: &Host, name: &str, policy_tables: &str, tables: &str) -> Agent {
    let builder = Agent::builder().inside(host).tables(tables).plugin(plugin::stock(name));
    let agent = builder.policy(&format!("{name}.toml"), &policy(name, "auto", policy_tables)).start().unwrap();
    agent.until_watching(name);
    agent
}

/// Waits until each of these probes has been able to ask.
fn until_asking(agent: &Agent, probes: &[&str]) {
    for probe in probes {
        agent.until(&format!("probe {probe} to ask"), || {
            let status = agent.json(&["status"]);
            let sources = status["sources"].as_array()?;
            let name = format!("probe/{probe}");
            sources.iter().find(|it| it["source"] == name.as_str() && it["condition"] == "ok").map(|_| ())
        });
    }
}

/// The only incident is this one, stress-ng still runs, and of these units, as they were `before`, only the first is another.
#[track_caller]
fn nothing_else(host: &Host, agent: &Agent, stress: &mut Stress, before: [(&str, (String, String)); 2]) {
    let [(healed, old), (well, same)] = before;
    assert_ne!(host.invocation(healed), old);
    assert_eq!(host.invocation(well), same, "{well} was touched");
    assert_eq!([healed, well].map(|unit| host.starts(unit).unwrap()), [2, 1]);
    assert_eq!(agent.incidents().len(), 1, "{:#?}", agent.incidents());
    assert!(stress.lasts());
}

fn invocations<'a>(host: &Host, units: [&'a str; 2]) -> [(&'a str, (String, String)); 2] {
    units.map(|unit| (unit, host.invocation(unit)))
}

#[track_caller]
fn is_unhealthy(incident: &Incident) {
    assert_eq!(incident.kind, "service.unhealthy", "{incident:#?}");
    is_explained(incident, "it runs and hangs");
}

#[test]
fn a_postgresql_that_hangs_on_a_busy_host_is_restarted_with_all_that_it_held() {
    let Some(host) = host_or_skip("hung-database") else { return };
    let [orders, users] = [("orders", 5501), ("users", 5502)].map(|(name, port)| {
        let database = Postgres::start(&host, name, port).unwrap();
        database.sql("CREATE TABLE kept (text text); INSERT INTO kept VALUES ('committed')").unwrap();
        database
    });
    // Debian gives a database an hour to stop by its own tools, which one that hangs does not hear.
    for database in [&orders, &users] {
        host.write_unit(&format!("{}.d/lab.conf", database.unit()), "[Service]\nTimeoutStopSec=3s\n").unwrap();
    }
    let mut policy = "[config]\nreload = false\nwarm-up = \"1s\"\nsettle = \"100ms\"\ndeadline = \"30s\"\n".to_owned();
    let mut probes = String::new();
    for (name, port, database) in [("orders", 5501, &orders), ("users", 5502, &users)] {
        policy += &format!("[config.probes.{name}]\nservice = \"{}\"\n", database.unit());
        probes += &format!(
            "[probes.{name}]\ncommand = [\"/usr/bin/pg_isready\", \"-h\", \"/run/postgresql\", \"-p\", \"{port}\", \
             \"-t\", \"30\"]\ninterval = \"500ms\"\ntimeout = \"3s\"\nfall = 2\nrise = 1\n"
        );
    }
    policy += "[grant]\nactions = [\"service.restart:postgresql@*.service\"]";
    let agent = agent(&host, "unhealthy-service", &policy, &probes);
    until_asking(&agent, &["orders", "users"]);
    let before = invocations(&host, [orders.unit(), users.unit()]);
    let mut stress = Stress::on(&host).unwrap();
    host.hang(orders.unit()).unwrap();

    let healed = agent.until_incident(orders.unit(), "resolved");
    is_unhealthy(&healed);
    assert_eq!(healed.path(), STRAIGHT, "{healed:#?}");
    assert_eq!(done(&healed), [("service.restart", orders.unit())]);
    for database in [&orders, &users] {
        assert_eq!(database.sql("SELECT text FROM kept").unwrap(), "committed");
    }
    nothing_else(&host, &agent, &mut stress, before);
}

#[test]
fn an_nginx_that_hangs_on_a_busy_host_is_reloaded_in_vain_and_then_restarted() {
    let Some(host) = host_or_skip("hung-web") else { return };
    stack::start_redis(&host).unwrap();
    stack::redis(&host, &["SET", "kept", "in memory"]).unwrap();
    host.run(&["systemctl", "start", NGINX]).unwrap();
    let policy = format!(
        "[config]\nwarm-up = \"1s\"\nsettle = \"100ms\"\ndeadline = \"5s\"\n\
         [config.probes.web]\nservice = \"{NGINX}\"\n[config.probes.redis]\nservice = \"{REDIS}\"\n\
         [grant]\nactions = [\"service.reload:*\", \"service.restart:*\"]"
    );
    let often = "interval = \"300ms\"\ntimeout = \"2s\"\nfall = 2\nrise = 1\n";
    let probes = format!(
        "[probes.web]\nhttp = \"http://127.0.0.1/\"\n{often}\
         [probes.redis]\ntcp = \"127.0.0.1:6379\"\nsend = \"PING\\r\\n\"\nexpect = \"PONG\"\n{often}"
    );
    let agent = agent(&host, "unhealthy-service", &policy, &probes);
    until_asking(&agent, &["web", "redis"]);
    let before = invocations(&host, [NGINX, REDIS]);
    let mut stress = Stress::on(&host).unwrap();
    host.hang(NGINX).unwrap();

    let healed = agent.until_incident(NGINX, "resolved");
    is_unhealthy(&healed);
    assert_eq!(done(&healed), [("service.reload", NGINX), ("service.restart", NGINX)]);
    assert!(host.http(80).unwrap().starts_with("HTTP/1.1 200 OK"));
    assert_eq!(stack::redis(&host, &["GET", "kept"]).unwrap(), "in memory");
    nothing_else(&host, &agent, &mut stress, before);
}

#[test]
fn errors_in_the_log_of_nginx_restart_the_app_behind_it_on_a_busy_host() {
    if lab::skip_without("/usr/bin/busybox", "apt-get install busybox-static") {
        return;
    }
    let Some(host) = host_or_skip("log-errors") else { return };
    // Runs from the first, and listens only once it has been started again.
    let app = "[Service]\nType=exec\nExecStart=sh -c 'mkdir /app.begun && exec sleep infinity; \
               exec busybox httpd -f -p 127.0.0.1:8081 -h /var/www/html'\n";
    host.write("/var/www/html/index.html", "the app\n").unwrap();
    host.write_unit("app.service", app).unwrap();
    let site = "server { listen 127.0.0.1:8080; location / { proxy_pass http://127.0.0.1:8081; } }\n";
    host.write("/etc/nginx/conf.d/app.conf", site).unwrap();
    host.run(&["systemctl", "start", "app.service", NGINX]).unwrap();
    let policy = "[config.class.upstream]\nsource = \"nginx\"\npattern = \"connect\\\\(\\\\) failed .* upstream\"\n\
                  at-least = 3\nwithin = \"1m\"\ntarget = \"app.service\"\nsettle = \"100ms\"\ncalm = \"2s\"\n\
                  remedy = \"service.restart:{target}\"\n[grant]\nactions = [\"service.restart:*\"]";
    let logs = "[logs.nginx]\npath = \"/var/log/nginx/error.log\"\nfrom = \"start\"\n";
    let agent = agent(&host, "log-sentinel", policy, logs);
    let before = invocations(&host, ["app.service", NGINX]);
    let mut stress = Stress::on(&host).unwrap();
    let answer = || host.http(8080).unwrap();
    for _ in 0..2 {
        assert!(answer().starts_with("HTTP/1.1 502"));
    }
    wait::never("an incident of two errors", WHILE, || agent.incidents().pop());
    assert!(answer().starts_with("HTTP/1.1 502"));

    let healed = agent.until_incident("app.service", "resolved");
    assert_eq!((healed.kind.as_str(), healed.path()), ("log.upstream", STRAIGHT.to_vec()), "{healed:#?}");
    is_explained(&healed, "Connection refused");
    assert_eq!(done(&healed), [("service.restart", "app.service")]);
    assert!(answer().contains("the app"));
    nothing_else(&host, &agent, &mut stress, before);
}
