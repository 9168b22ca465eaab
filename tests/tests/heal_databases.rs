//! Databases and what needs them, from Debian, broken and healed: the agent on hosts that run PostgreSQL, Redis and nginx.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "the helpers of tests fail as the tests do")]

use std::time::Duration;

use salve_tests::agent::{Agent, Incident};
use salve_tests::lab::Host;
use salve_tests::notices::Notices;
use salve_tests::stack::{self, NGINX, Postgres, REDIS, REDIS_PORT};
use salve_tests::{plugin, wait};

/// How long to look out for what must not happen.
const WHILE: Duration = Duration::from_millis(500);

/// An agent on `host` that looks after `units` under the policy `stack`, and what it tells.
fn agent(host: &Host, mode: &str, units: &[&str]) -> (Agent, Notices) {
    let notices = Notices::within(&host.dir());
    let builder = Agent::builder().inside(host).tables(&notices.channel()).plugin(plugin::service_restart());
    let agent = builder.policy("stack.toml", &plugin::policy_for(mode, units)).start().unwrap();
    agent.until_watching("stack");
    (agent, notices)
}

/// A table with a row in it, committed.
fn fill(database: &Postgres) {
    database.sql("CREATE TABLE kept (text text)").unwrap();
    database.sql("INSERT INTO kept VALUES ('committed')").unwrap();
}

/// What [`fill`] has committed, once the database answers.
fn kept(agent: &Agent, database: &Postgres) -> String {
    agent.until("an answer to a query", || database.sql("SELECT text FROM kept").ok())
}

/// Neither is anything started nor does the incident move on.
fn stays_down(host: &Host, agent: &Agent, incident: &Incident) {
    let unit = &incident.target;
    let starts = host.starts(unit).unwrap();
    wait::never("something done", WHILE, || {
        let now = agent.incident(&incident.id);
        let untouched = now.state == incident.state && now.attempts.is_empty();
        let down = host.property(unit, "ActiveState") == "failed" && host.property(unit, "MainPID") == "0";
        (!untouched || !down).then_some(now)
    });
    assert_eq!(host.starts(unit).unwrap(), starts);
}

#[test]
fn of_several_databases_only_the_one_that_died_is_restarted_and_what_it_held_is_there() {
    let Some(host) = stack::host_or_skip("databases") else { return };
    let [orders, users] = [("orders", 5501), ("users", 5502)].map(|(name, port)| {
        let database = Postgres::start(&host, name, port).unwrap();
        fill(&database);
        database
    });
    stack::start_redis(&host).unwrap();
    stack::redis(&host, &["SET", "kept", "in memory"]).unwrap();
    host.run(&["systemctl", "start", NGINX]).unwrap();
    let units = [orders.unit(), users.unit(), REDIS, NGINX];
    let (agent, notices) = agent(&host, "auto", &units);
    let before = units.map(|unit| host.invocation(unit));
    host.kill_main(orders.unit()).unwrap();

    let healed = agent.until_incident(orders.unit(), "resolved");
    assert_eq!(kept(&agent, &orders), "committed");
    assert_eq!(healed.path(), ["detected", "diagnosed", "recovering", "verifying", "resolved"], "{healed:#?}");
    assert!(healed.summary.contains("signal 9"), "{}", healed.summary);
    assert_eq!(healed.attempts[0].kinds(), ["service.restart"]);
    assert_eq!(healed.attempts[0].verdict.as_deref(), Some("healthy"));

    let after = units.map(|unit| host.invocation(unit));
    assert!(after[0].0 != before[0].0 && after[0].1 != before[0].1 && after[0].0 != "0", "{before:?} {after:?}");
    assert_eq!(after[1..], before[1..], "what had not died was touched");
    assert_eq!(host.starts(orders.unit()).unwrap(), 2);
    assert_eq!(kept(&agent, &users), "committed");
    assert_eq!(stack::redis(&host, &["GET", "kept"]).unwrap(), "in memory");
    assert!(host.http(80).unwrap().starts_with("HTTP/1.1 200 OK"));
    assert_eq!(agent.incidents().len(), 1, "{:#?}", agent.incidents());
    agent.until("the healing to be told", || (notices.about(orders.unit()) == ["healed"]).then_some(()));
}

/// Each has been tried once, and the second only when the first was well again.
fn is_healed_first(first: &Incident, second: &Incident) {
    // Times in RFC 3339 with equally many digits are in the order of their text.
    let began = |incident: &Incident| {
        let steps = incident.transitions.iter().filter(|step| step.to == "recovering");
        steps.map(|step| step.at.clone()).collect::<Vec<_>>()
    };
    let (one, other) = (began(first), began(second));
    assert_eq!((one.len(), other.len()), (1, 1), "{first:#?}\n{second:#?}");
    let end = first.resolved_at.clone().unwrap();
    assert!(one[0] < end && end <= other[0], "{first:#?}\n{second:#?}");
}

/// A unit that cannot start without Redis, and that ends with 1 when it loses it.
fn start_app(host: &Host, app: &str) {
    let script = format!("exec 3<>/dev/tcp/127.0.0.1/{REDIS_PORT}; read <&3; exit 1");
    let unit = format!("[Unit]\nRequires={REDIS}\nAfter={REDIS}\n[Service]\nType=exec\nExecStart=bash -c '{script}'\n");
    host.write_unit(app, &unit).unwrap();
    host.run(&["systemctl", "start", app]).unwrap();
}

#[test]
fn a_dependency_that_dies_with_what_needs_it_is_healed_first_and_each_is_started_once() {
    let Some(host) = stack::host_or_skip("dependency") else { return };
    stack::start_redis(&host).unwrap();
    let app = "app.service";
    start_app(&host, app);
    let (agent, _) = agent(&host, "auto", &[app, REDIS]);
    // Both are seen before anything is done: it is not left to chance who is first.
    assert!(agent.cli(&["pause"]).status.success());
    host.kill_main(REDIS).unwrap();
    for unit in [app, REDIS] {
        agent.until_incident(unit, "deferred");
    }
    assert!(agent.cli(&["resume"]).status.success());

    let (app_healed, cause) = (agent.until_incident(app, "resolved"), agent.until_incident(REDIS, "resolved"));
    let suppressed = app_healed.transitions.iter().find(|step| step.to == "suppressed").unwrap();
    let why = format!("cause: {app} depends on {REDIS}, which has incident {}", cause.id);
    assert!(suppressed.reason.starts_with(&why), "{}", suppressed.reason);
    is_healed_first(&cause, &app_healed);
    for unit in [app, REDIS] {
        assert_eq!(host.property(unit, "ActiveState"), "active");
        assert_eq!(host.starts(unit).unwrap(), 2, "of {unit}");
    }
    assert_eq!(agent.incidents().len(), 2, "{:#?}", agent.incidents());
}

/// Waits until both are up and nothing is left to do: each has been started once more, no matter who was seen first.
fn comes_back_together(host: &Host, agent: &Agent, units: [&str; 2]) {
    agent.until("all to be well", || {
        let incidents = agent.incidents();
        let over = !incidents.is_empty() && incidents.iter().all(|incident| incident.state == "resolved");
        (over && units.iter().all(|unit| host.property(unit, "ActiveState") == "active")).then_some(())
    });
    wait::never("another incident", WHILE, || {
        agent.incidents().into_iter().find(|incident| incident.state != "resolved")
    });
    for unit in units {
        let told = || agent.incidents().iter().map(|it| agent.incident(&it.id)).collect::<Vec<_>>();
        assert_eq!(host.starts(unit).unwrap(), 2, "of {unit}: {:#?}", told());
    }
}

#[test]
fn a_redis_that_dies_and_takes_others_with_it_is_started_once() {
    let Some(host) = stack::host_or_skip("together") else { return };
    stack::start_redis(&host).unwrap();
    let app = "app.service";
    start_app(&host, app);
    let (agent, _) = agent(&host, "auto", &[app, REDIS]);
    host.kill_main(REDIS).unwrap();
    comes_back_together(&host, &agent, [app, REDIS]);
    assert_eq!(stack::redis(&host, &["PING"]).unwrap(), "PONG");
}

#[test]
fn a_database_that_takes_its_time_to_die_and_takes_others_with_it_is_started_once() {
    let Some(host) = stack::host_or_skip("slow-death") else { return };
    let database = Postgres::start(&host, "data", 5501).unwrap();
    // Ends with its session, while systemd still runs what stops the database.
    let unit = format!(
        "[Unit]\nRequires={0}\nAfter={0}\n[Service]\nUser=postgres\nType=exec\n\
         ExecStart=psql -h /run/postgresql -p 5501 -c 'SELECT pg_sleep(3600)'\n",
        database.unit()
    );
    let app = "app.service";
    host.write_unit(app, &unit).unwrap();
    host.run(&["systemctl", "start", app]).unwrap();
    let (agent, _) = agent(&host, "auto", &[app, database.unit()]);
    host.kill_main(database.unit()).unwrap();
    comes_back_together(&host, &agent, [app, database.unit()]);
    is_healed_first(&agent.until_incident(database.unit(), "resolved"), &agent.until_incident(app, "resolved"));
    assert_eq!(database.sql("SELECT 1").unwrap(), "1");
}

#[test]
fn a_redis_that_never_comes_back_escalates_and_tells_and_tells_again_once_a_person_has_repaired_it() {
    let Some(host) = stack::host_or_skip("hopeless") else { return };
    stack::start_redis(&host).unwrap();
    let (agent, notices) = agent(&host, "auto", &[REDIS]);
    let good = stack::break_redis(&host).unwrap();
    host.kill_main(REDIS).unwrap();

    let incident = agent.until_incident(REDIS, "escalated");
    let kinds: Vec<_> = incident.attempts.iter().map(|attempt| attempt.kinds()).collect();
    assert_eq!(kinds, [vec!["service.restart"], vec!["service.reset-failed", "service.start"]]);
    assert!(incident.attempts.iter().all(|it| it.verdict.as_deref() == Some("unhealthy")), "{incident:#?}");
    assert_eq!(incident.reason(), format!("{REDIS} is still down after 2 attempts"));
    assert_eq!(host.starts(REDIS).unwrap(), 3);
    agent.until("the escalation to be told", || notices.about(REDIS).contains(&"escalated".to_owned()).then_some(()));
    let told = notices.all();
    let escalated = told.iter().find(|notice| notice.kind == "escalated").unwrap();
    assert_eq!(escalated.incident.as_ref().unwrap().id, incident.id);
    assert_eq!(escalated.reason, incident.reason());
    wait::never("a third attempt", WHILE, || (agent.incident(&incident.id).attempts.len() > 2).then_some("more"));

    stack::configure_redis(&host, &good).unwrap();
    host.run(&["systemctl", "start", REDIS]).unwrap();
    let repaired = agent.until_state(&incident.id, "resolved");
    assert_eq!(repaired.attempts, incident.attempts);
    agent.until("the end to be told", || (notices.about(REDIS).last()? == "resolved").then_some(()));
    assert_eq!(stack::redis(&host, &["PING"]).unwrap(), "PONG");
    assert_eq!(agent.incidents().len(), 1);
}

#[test]
fn a_database_whose_files_are_damaged_escalates_and_its_neighbour_lives() {
    let Some(host) = stack::host_or_skip("damaged") else { return };
    let [good, bad] = [("good", 5501), ("bad", 5502)].map(|(name, port)| Postgres::start(&host, name, port).unwrap());
    let (agent, notices) = agent(&host, "auto", &[good.unit(), bad.unit()]);
    let before = host.invocation(good.unit());
    let control = format!("{}/global/pg_control", bad.data());
    host.run(&["mv", &control, "/var/lib/postgresql/pg_control"]).unwrap();
    host.kill_main(bad.unit()).unwrap();
    let incident = agent.until_incident(bad.unit(), "escalated");
    assert_eq!(incident.attempts.len(), 2, "{incident:#?}");
    agent.until("that to be told", || notices.about(bad.unit()).contains(&"escalated".to_owned()).then_some(()));

    host.run(&["mv", "/var/lib/postgresql/pg_control", &control]).unwrap();
    host.run(&["systemctl", "restart", bad.unit()]).unwrap();
    agent.until_state(&incident.id, "resolved");
    assert_eq!(bad.sql("SELECT 1").unwrap(), "1");
    assert_eq!(host.invocation(good.unit()), before);
    agent.until("the end to be told", || (notices.about(bad.unit()).last()? == "resolved").then_some(()));
}

#[test]
fn a_database_that_needs_approval_waits_for_it_and_stays_down_after_a_no() {
    let Some(host) = stack::host_or_skip("approval") else { return };
    let [yes, no] = [("yes", 5501), ("no", 5502)].map(|(name, port)| Postgres::start(&host, name, port).unwrap());
    fill(&yes);
    let (agent, notices) = agent(&host, "approve", &[yes.unit(), no.unit()]);
    host.kill_main(yes.unit()).unwrap();
    host.kill_main(no.unit()).unwrap();
    let [approved, denied] = [&yes, &no].map(|database| agent.until_incident(database.unit(), "awaiting-approval"));
    for database in [&yes, &no] {
        let told = || (notices.about(database.unit()) == ["approval-asked"]).then_some(());
        agent.until("the question to be told", told);
    }
    stays_down(&host, &agent, &approved);

    assert!(agent.cli(&["incident", "deny", &denied.id, "--reason", "its disk is being replaced"]).status.success());
    assert!(agent.cli(&["incident", "approve", &approved.id]).status.success());
    let healed = agent.until_state(&approved.id, "resolved");
    assert_eq!(healed.attempts.len(), 1, "{healed:#?}");
    assert_eq!(kept(&agent, &yes), "committed");
    let left = agent.until_state(&denied.id, "escalated");
    assert!(left.reason().contains("its disk is being replaced"), "{}", left.reason());
    stays_down(&host, &agent, &left);
    agent.until("both ends to be told", || {
        let last = |database: &Postgres| notices.about(database.unit()).pop();
        (last(&yes)? == "healed" && last(&no)? == "escalated").then_some(())
    });
}
