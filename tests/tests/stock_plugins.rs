//! The stock plugins end to end, each against a real fault: it is seen, explained, healed and looked at again, and what
//! was well is left alone.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::time::{Duration, SystemTime};

use rustix::process::{Signal, kill_process};
use salve_tests::agent::{Agent, Builder};
use salve_tests::process::Process;
use salve_tests::stock::{STRAIGHT, done, is_explained, policy};
use salve_tests::{lab, plugin, wait};
use tempfile::TempDir;

/// How long to look out for what must not happen.
const WHILE: Duration = Duration::from_millis(500);
const DEADLINE: Duration = Duration::from_secs(60);
/// A service that is well, and that nobody is to touch.
const BESIDE: &str = "beside";

/// An agent with this stock plugin under a [`policy`] of the same name, and with the service [`BESIDE`].
fn builder(name: &str, mode: &str, tables: &str) -> Builder {
    let builder = Agent::builder().service(BESIDE, "exec sleep infinity", "autostart = true");
    let builder = builder.tables("[collect]\ninterval = \"500ms\"");
    builder.plugin(plugin::stock(name)).policy(&format!("{name}.toml"), &policy(name, mode, tables))
}

fn start(builder: Builder, policy: &str) -> Agent {
    let agent = builder.start().unwrap();
    agent.until_watching(policy);
    agent.until_service(BESIDE, None);
    agent
}

/// There were so many incidents, and [`BESIDE`] runs as it did from the first.
#[track_caller]
fn nothing_else(agent: &Agent, incidents: usize) {
    assert_eq!(agent.incidents().len(), incidents, "{:#?}", agent.incidents());
    assert!(agent.service(BESIDE).is_some());
    assert_eq!(agent.starts(BESIDE), 1);
}

/// Ports of the loopback that nobody listens on.
fn free_ports<const N: usize>() -> [u16; N] {
    let taken = [(); N].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    taken.map(|listener| listener.local_addr().unwrap().port())
}

/// Whether a Redis answers.
fn answers(port: u16) -> bool {
    let asked = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), DEADLINE)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.write_all(b"PING\r\n")?;
        let mut answer = [0; 7];
        stream.read_exact(&mut answer)?;
        Ok(&answer == b"+PONG\r\n")
    };
    asked().unwrap_or(false)
}

#[test]
fn a_redis_that_hangs_is_restarted_and_the_one_beside_it_is_not() {
    if lab::skip_without("/usr/bin/redis-server", "apt-get install redis-server") {
        return;
    }
    let [port, other] = free_ports();
    let policy = "[config]\nreload = false\nwarm-up = \"1s\"\nsettle = \"100ms\"\ndeadline = \"30s\"\n\
                  [config.probes.redis]\nservice = \"redis\"\n[config.probes.other]\nservice = \"other\"\n\
                  [grant]\nactions = [\"service.restart:redis\", \"service.restart:other\"]";
    let mut builder = builder("unhealthy-service", "auto", policy);
    for (name, port) in [("redis", port), ("other", other)] {
        let script = format!("exec redis-server --bind 127.0.0.1 --port {port} --save ''");
        // What hangs does not end when it is asked to.
        builder = builder.service(name, &script, "autostart = true\nstop-timeout = \"500ms\"");
        // A machine that is busy may let a healthy one wait.
        builder = builder.tables(&format!(
            "[probes.{name}]\ntcp = \"127.0.0.1:{port}\"\nsend = \"PING\\r\\n\"\nexpect = \"PONG\"\n\
             interval = \"200ms\"\ntimeout = \"1s\"\nfall = 2\nrise = 1\n"
        ));
    }
    let agent = start(builder, "unhealthy-service");
    agent.until("both to answer", || (answers(port) && answers(other)).then_some(()));
    let [hung, well] = ["redis", "other"].map(|name| agent.service(name).unwrap());
    kill_process(hung, Signal::STOP).unwrap();

    let healed = agent.until_incident("redis", "resolved");
    assert!(answers(port) && agent.service("redis").is_some_and(|pid| pid != hung));
    assert_eq!((healed.kind.as_str(), healed.path()), ("service.unhealthy", STRAIGHT.to_vec()), "{healed:#?}");
    is_explained(&healed, "it runs and hangs");
    assert_eq!(done(&healed), [("service.restart", "redis")]);
    assert_eq!(agent.starts("redis"), 2);
    assert!(agent.service("other") == Some(well) && agent.starts("other") == 1 && answers(other));
    nothing_else(&agent, 1);
}

#[test]
fn errors_in_a_log_restart_their_service_when_there_are_enough_of_them_and_fewer_do_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.log");
    let mut log = File::create(&path).unwrap();
    let policy = "[config.class.upstream]\nsource = \"app\"\npattern = \"^ERROR\"\nat-least = 3\nwithin = \"10s\"\n\
                  settle = \"100ms\"\ncalm = \"1s\"\nremedy = \"service.restart:{target}\"\n\
                  [grant]\nactions = [\"service.restart:app\"]";
    let app = builder("log-sentinel", "auto", policy).service("app", "exec sleep infinity", "autostart = true");
    let app = app.tables(&format!("[logs.app]\npath = {path:?}\nfrom = \"start\"\n"));
    let agent = start(app, "log-sentinel");
    let old = agent.until_service("app", None);
    for line in ["ERROR no upstream", "all is well", "no ERROR at the beginning", "ERROR no upstream"] {
        writeln!(log, "{line}").unwrap();
    }
    wait::never("an incident of two errors", WHILE, || agent.incidents().pop());
    writeln!(log, "ERROR no upstream, three times").unwrap();

    let healed = agent.until_incident("app", "resolved");
    assert_eq!((healed.kind.as_str(), healed.path()), ("log.upstream", STRAIGHT.to_vec()), "{healed:#?}");
    is_explained(&healed, "ERROR no upstream, three times");
    assert_eq!(done(&healed), [("service.restart", "app")]);
    agent.until_service("app", Some(old));
    assert_eq!(agent.starts("app"), 2);
    nothing_else(&agent, 1);
}

/// A file system of 16 MiB; gone with this.
struct Disk(TempDir);

impl Disk {
    fn mount() -> Disk {
        let at = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=16m", "tmpfs"]).arg(at.path()).status();
        assert!(mounted.unwrap().success());
        Disk(at)
    }

    /// A file of so many MiB that was last written so many hours ago.
    fn write(&self, path: &str, size: usize, hours: u64) -> PathBuf {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, vec![1; size << 20]).unwrap();
        let written = SystemTime::now() - Duration::from_secs(hours * 3600);
        File::options().write(true).open(&path).unwrap().set_modified(written).unwrap();
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("--lazy").arg(self.0.path()).status());
    }
}

#[test]
fn a_full_disk_is_cleaned_step_by_step_until_it_is_safe_and_the_rest_is_left() {
    if !rustix::process::geteuid().is_root() && lab::skip() {
        return;
    }
    // Declared first, so that it goes after the agent.
    let disk = Disk::mount();
    let root = disk.0.path().to_str().unwrap();
    let [rotated, cache, dumps] = ["logs/*.gz", "cache/*", "dumps/*"].map(|glob| format!("{root}/{glob}"));
    let policy = format!(
        "[config]\nmounts = [\"{root}\"]\nabove = 0.9\nclear = 0.6\nfor = \"400ms\"\nlook = [\"{root}/**\"]\n\
         settle = \"100ms\"\ndeadline = \"20s\"\nclean = [\n\
         {{ action = \"file.delete\", target = \"{rotated}\", older-than = \"1h\", keep-newest = 1 }},\n\
         {{ action = \"file.delete\", target = \"{cache}\" }},\n\
         {{ action = \"file.delete\", target = \"{dumps}\" }},\n]\n\
         [grant]\nactions = [\"file.delete:{rotated}\", \"file.delete:{cache}\", \"file.delete:{dumps}\"]\n\
         read = [\"files:{root}/**\"]\nunattended = true"
    );
    let agent = start(builder("disk-pressure", "auto", &policy), "disk-pressure");
    let data = disk.write("data", 3, 0);
    let [oldest, newest] = [("logs/app.2.gz", 48), ("logs/app.1.gz", 24)].map(|(path, age)| disk.write(path, 2, age));
    let dump = disk.write("dumps/core", 4, 72);
    let cached = disk.write("cache/page", 4, 0);

    let healed = agent.until_incident(root, "resolved");
    assert_eq!(healed.kind, "filesystem.full", "{healed:#?}");
    is_explained(&healed, "dumps/core");
    assert_eq!(done(&healed), [("file.delete", rotated.as_str()), ("file.delete", cache.as_str())], "{healed:#?}");
    assert!(!oldest.exists() && !cached.exists());
    assert!([newest, dump, data].iter().all(|file| file.exists()), "more was deleted than was needed");
    nothing_else(&agent, 1);
}

/// A program of this machine under a name of its own: of others that run it nobody is to hear.
fn renamed(program: &str, directory: &Path, name: &str) -> Command {
    let copy = directory.join(name);
    fs::copy(program, &copy).unwrap();
    Command::new(copy)
}

#[test]
fn a_process_that_loops_is_ended_and_a_calm_one_lives_on() {
    let directory = tempfile::tempdir().unwrap();
    let [loops, calm] = ["loops", "calm"].map(|name| format!("t{}-{name}", process::id()));
    // Where others take most of the CPU, it gets no more than a share.
    let policy = format!(
        "[config]\nprocesses = [\"t{}-*\"]\ncpu = {{ above = 0.02, clear = 0.01, for = \"1s\" }}\nrenice = false\n\
         then = \"process.signal\"\nsettle = \"100ms\"\ndeadline = \"50s\"\n\
         [grant]\nactions = [\"process.signal:*\"]\nunattended = true",
        process::id()
    );
    let agent = start(builder("runaway-process", "auto", &policy), "runaway-process");
    let mut calm = Process::spawn(renamed("/bin/sleep", directory.path(), &calm).arg("600")).unwrap();
    let mut looping =
        Process::spawn(renamed("/bin/sh", directory.path(), &loops).args(["-c", "while :; do :; done"])).unwrap();
    let target = format!("{loops}[{}]", looping.pid());
    assert_eq!(looping.wait(DEADLINE).unwrap().signal(), Some(Signal::TERM.as_raw()));

    let healed = agent.until_incident(&target, "resolved");
    assert_eq!((healed.kind.as_str(), healed.path()), ("process.runaway", STRAIGHT.to_vec()), "{healed:#?}");
    is_explained(&healed, "it loops");
    assert_eq!(done(&healed), [("process.signal", looping.pid().to_string().as_str())]);
    assert_eq!(calm.ended(), None);
    nothing_else(&agent, 1);
}

#[test]
fn the_cause_that_a_fault_tree_finds_is_healed_first_and_its_consequence_waits_for_it() {
    let tree = "priority = 60\n[config]\nsettle = \"100ms\"\ncalm = \"300ms\"\ndeadline = \"30s\"\n\
                [config.event.\"the database is down\"]\nwhen.service = { name = \"db\" }\nprobability = 0.001\n\
                remedy = \"service.restart:db\"\n[config.tree.\"the shop is down\"]\nany = [\"the database is down\"]\n\
                [config.top.\"the shop is down\"]\nconsequences = [\"app\"]\n\
                [grant]\nactions = [\"service.restart:db\"]\nexplains = [\"app\"]";
    let builder = builder("root-cause", "auto", tree)
        .service("db", "exec sleep infinity", "autostart = true")
        .service("app", "exec sleep infinity", "autostart = true")
        .plugin(plugin::service_restart())
        .policy("app.toml", &plugin::policy("auto", "app"));
    let agent = start(builder, "root-cause");
    agent.until_watching("app");
    // Both are seen before anything is done: it is not left to chance who is first.
    assert!(agent.cli(&["pause"]).status.success());
    agent.kill_service("app");
    agent.kill_service("db");
    for target in ["app", "db"] {
        agent.until_incident(target, "deferred");
    }
    assert!(agent.cli(&["resume"]).status.success());

    let (app, cause) = (agent.until_incident("app", "resolved"), agent.until_incident("db", "resolved"));
    assert_eq!((cause.plugin.as_str(), cause.kind.as_str()), ("root-cause", "root-cause.the-shop-is-down"));
    is_explained(&cause, "the database is down");
    assert_eq!(done(&cause), [("service.restart", "db")]);
    let held = app.transitions.iter().find(|step| step.to == "suppressed").unwrap();
    let why = format!("cause: incident {} says that it brought app down", cause.id);
    assert!(held.reason.starts_with(&why), "{}", held.reason);
    assert_eq!(done(&app), [("service.restart", "app")]);
    // Times in RFC 3339 with equally many digits are in the order of their text.
    let began = app.transitions.iter().find(|step| step.to == "recovering").unwrap();
    assert!(cause.resolved_at.clone().unwrap() <= began.at, "{cause:#?}\n{app:#?}");
    assert_eq!(["db", "app"].map(|name| agent.starts(name)), [2, 2]);
    nothing_else(&agent, 2);
}

#[test]
fn a_certificate_that_runs_out_is_told_and_renewed_when_the_policy_may() {
    if lab::skip_without("/usr/bin/openssl", "apt-get install openssl") {
        return;
    }
    let [port] = free_ports();
    let tables = "[config]\nrenew = \"service.restart:tls\"\nsettle = \"100ms\"\ndeadline = \"30s\"\n\
                  [grant]\nactions = [\"service.restart:tls\"]";
    // Gets itself a certificate whenever it starts: the first lasts three days, later ones a hundred.
    let script = format!(
        "test $(wc -l <tls.starts) = 1 && days=3 || days=100; \
         openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost \
         -days $days -keyout key.pem -out cert.pem && \
         exec openssl s_server -accept 127.0.0.1:{port} -cert cert.pem -key key.pem -www"
    );
    let builder = builder("certificate-expiry", "observe", tables).service("tls", &script, "autostart = true");
    let builder = builder.tables(&format!(
        "[probes.web]\ntcp = \"127.0.0.1:{port}\"\ntls = true\ninsecure = true\ninterval = \"200ms\"\n"
    ));
    let agent = start(builder, "certificate-expiry");
    let told = agent.until_incident("web", "suppressed");
    assert_eq!((told.kind.as_str(), told.severity.as_str()), ("certificate.expiring", "critical"), "{told:#?}");
    assert!(told.summary.contains("runs out in 2 days"), "{}", told.summary);
    assert!(told.reason().contains("observe mode"), "{}", told.reason());
    is_explained(&told, "its own renewal has not come");
    assert_eq!(agent.starts("tls"), 1);

    let file = agent.home().policies().join("certificate-expiry.toml");
    fs::write(file, policy("certificate-expiry", "auto", tables)).unwrap();
    let healed = agent.until_state(&told.id, "resolved");
    assert_eq!(done(&healed), [("service.restart", "tls")]);
    assert_eq!(agent.starts("tls"), 2);
    nothing_else(&agent, 1);
}

#[test]
fn the_job_of_a_timer_that_did_not_fire_is_started_once_and_that_of_another_timer_is_not() {
    let Some(host) = lab::host_or_skip("missed") else { return };
    for name in ["backup", "report"] {
        host.write_unit(&format!("{name}.timer"), "[Timer]\nOnCalendar=yearly\n").unwrap();
        let job = format!("[Service]\nType=oneshot\nExecStart=touch /{name}.done\n");
        host.write_unit(&format!("{name}.service"), &job).unwrap();
        host.run(&["systemctl", "start", &format!("{name}.timer")]).unwrap();
    }
    let tables = "[config]\ntimers = [\"backup.timer\"]\nevery = \"1s\"\nstart = true\nsettle = \"100ms\"\n\
                  [grant]\nactions = [\"service.start:*.service\"]";
    let builder = Agent::builder().inside(&host).plugin(plugin::stock("timer-missed"));
    let agent = builder.policy("timer-missed.toml", &policy("timer-missed", "auto", tables)).start().unwrap();
    let healed = agent.until_incident("backup.timer", "resolved");
    assert_eq!((healed.kind.as_str(), healed.path()), ("timer.missed", STRAIGHT.to_vec()), "{healed:#?}");
    assert!(healed.summary.contains("has not fired for too long"), "{}", healed.summary);
    is_explained(&healed, "the host was off or asleep");
    assert_eq!(done(&healed), [("service.start", "backup.service")]);
    host.read("/backup.done").unwrap();
    wait::never("another incident", WHILE, || (agent.incidents().len() > 1).then(|| agent.incidents()));
    assert_eq!(["backup.service", "report.service"].map(|unit| host.starts(unit).unwrap()), [1, 0]);
}
