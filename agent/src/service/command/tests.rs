use std::fs;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{sleep, timeout};

use super::identity::Identity;
use super::record::Record;
use super::*;
use crate::service::ActiveState::{self, Active, Failed, Inactive};

const LIMIT: Duration = Duration::from_secs(20);

/// A manager with one service, `web`.
struct Host {
    manager: CommandManager,
    reports: UnboundedReceiver<ServiceStatus>,
    directory: TempDir,
}

impl Host {
    fn new(spec: impl FnOnce(&TempDir) -> CommandSpec) -> Self {
        Self::in_directory(tempfile::tempdir().unwrap(), spec)
    }

    fn in_directory(directory: TempDir, spec: impl FnOnce(&TempDir) -> CommandSpec) -> Self {
        let (sender, reports) = unbounded_channel();
        let report: Report = Arc::new(move |status| {
            let _ = sender.send(status);
        });
        let manager = CommandManager::new(directory.path(), report);
        manager.configure(BTreeMap::from([("web".to_owned(), spec(&directory))]));
        Self { manager, reports, directory }
    }

    /// The next report that is in `state`.
    async fn reported(&mut self, state: ActiveState) -> ServiceStatus {
        let found = async {
            loop {
                let status = self.reports.recv().await.unwrap();
                if status.active_state == state {
                    return status;
                }
            }
        };
        timeout(LIMIT, found).await.unwrap_or_else(|_| panic!("{state:?} was not reported"))
    }

    async fn act(&self, verb: Verb) -> Result<Change, ServiceError> {
        timeout(LIMIT, self.manager.act(verb, "web")).await.unwrap()
    }

    async fn fail(&self, verb: Verb) -> String {
        self.act(verb).await.unwrap_err().to_string()
    }
}

fn spec(start: &[&str]) -> CommandSpec {
    CommandSpec {
        start: argv(start),
        stop: None,
        reload: None,
        status: None,
        pidfile: None,
        autostart: true,
        start_timeout: LIMIT,
        stop_timeout: LIMIT,
        directory: None,
        environment: BTreeMap::new(),
        output: None,
        requires: BTreeSet::new(),
    }
}

fn argv(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn shell(script: String) -> CommandSpec {
    spec(&["sh", "-c", &script])
}

fn kill(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < LIMIT, "{what}");
        sleep(Duration::from_millis(2)).await;
    }
}

async fn ends(pid: u32) {
    until("the process ends", || Identity::of(pid).is_none()).await;
}

/// The number that a script writes to `file`.
async fn number_in(host: &Host, file: &str) -> u32 {
    let path = host.directory.path().join(file);
    let read = || fs::read_to_string(&path).ok()?.trim().parse().ok();
    until("the script writes its number", || read().is_some()).await;
    read().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_life_of_a_child() {
    let mut host = Host::new(|_| spec(&["sleep", "60"]));
    let running = host.reported(Active).await;
    let pid = running.main_pid.unwrap();
    assert_eq!(running.stop_requested, None);
    assert_eq!(number_in(&host, "services/web.pid").await, pid);

    kill(pid, Signal::KILL);
    let failed = host.reported(Failed).await;
    assert_eq!((failed.result.as_str(), failed.exit_signal, failed.main_pid), ("signal", Some(9), None));
    assert_eq!(failed.stop_requested, Some(false));

    let change = host.act(Verb::Start).await.unwrap();
    assert_eq!((change.before.active_state, change.after.active_state), (Failed, Active));
    assert_eq!((change.after.restarts, change.after.exit_signal), (1, None));
    let again = host.act(Verb::Start).await.unwrap();
    assert_eq!(again.before, again.after, "starting what runs changes nothing");

    let restarted = host.act(Verb::Restart).await.unwrap().after;
    assert_ne!(restarted.main_pid, again.after.main_pid);
    assert_eq!((restarted.restarts, restarted.stop_requested), (2, Some(true)));

    let stopped = host.act(Verb::Stop).await.unwrap().after;
    assert_eq!((stopped.active_state, stopped.result.as_str()), (Inactive, "success"));
    assert_eq!((stopped.stop_requested, stopped.exit_signal), (Some(true), Some(15)));
    let again = host.act(Verb::Stop).await.unwrap();
    assert_eq!(again.before, again.after, "stopping what does not run changes nothing");
    assert_eq!(host.manager.status("web"), Some(again.after));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exit_status_tells_success_from_failure() {
    let mut host = Host::new(|_| spec(&["true"]));
    let ended = host.reported(Inactive).await;
    assert_eq!((ended.result.as_str(), ended.exit_code, ended.stop_requested), ("success", Some(0), Some(false)));

    let mut host = Host::new(|_| shell("exit 3".to_owned()));
    let failed = host.reported(Failed).await;
    assert_eq!((failed.result.as_str(), failed.exit_code), ("exit-code", Some(3)));
    let change = host.act(Verb::ResetFailed).await.unwrap();
    assert_eq!((change.after.active_state, change.after.result.as_str()), (Inactive, "success"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_autostart_nothing_is_known_of_its_last_stop() {
    let mut host = Host::new(|_| CommandSpec { autostart: false, ..spec(&["sleep", "60"]) });
    assert_eq!(host.reported(Inactive).await.stop_requested, None);
    let started = host.act(Verb::Start).await.unwrap().after;
    assert_eq!((started.active_state, started.restarts), (Active, 0));
    host.act(Verb::Stop).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_says_why() {
    let mut host = Host::new(|_| CommandSpec { autostart: false, ..spec(&["/no/such/program", "-x"]) });
    let error = host.fail(Verb::Start).await;
    assert!(error.contains("cannot execute `/no/such/program -x`: No such file or directory"), "{error}");
    assert_eq!(host.reported(Failed).await.result, "resources");
    let error = host.fail(Verb::Reload).await;
    assert!(error.contains("add `reload` to [services.web]"), "{error}");
    let unknown = host.manager.act(Verb::Start, "db").await;
    assert!(matches!(unknown, Err(ServiceError::Unknown(name)) if name == "db"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_resists_is_killed_with_its_whole_group() {
    let mut host = Host::new(|directory| {
        let child = directory.path().join("child");
        let script = format!("trap '' TERM; sleep 60 & echo $! >{}; wait; wait; sleep 60", child.display());
        CommandSpec { stop_timeout: Duration::from_millis(50), ..shell(script) }
    });
    host.reported(Active).await;
    let child = number_in(&host, "child").await;
    let stopped = host.act(Verb::Stop).await.unwrap().after;
    assert_eq!((stopped.active_state, stopped.result.as_str()), (Inactive, "timeout"));
    assert_eq!(stopped.exit_signal, Some(9));
    ends(child).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_service_leaves_behind_is_ended() {
    let mut host = Host::new(|directory| {
        shell(format!("sleep 60 & echo $! >{}; exec sleep 60", directory.path().join("child").display()))
    });
    let pid = host.reported(Active).await.main_pid.unwrap();
    let child = number_in(&host, "child").await;
    kill(pid, Signal::KILL);
    host.reported(Failed).await;
    ends(child).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn actions_do_not_overlap() {
    let mut host =
        Host::new(|directory| shell(format!("echo $$ >>{}; exec sleep 60", directory.path().join("pids").display())));
    host.reported(Active).await;
    let (a, b, c) = tokio::join!(host.act(Verb::Restart), host.act(Verb::Restart), host.act(Verb::Start));
    a.and(b).and(c).unwrap();
    let running = host.manager.status("web").unwrap();
    assert_eq!((running.active_state, running.restarts), (Active, 2));
    let own = running.main_pid.unwrap().to_string();
    let pids = || fs::read_to_string(host.directory.path().join("pids")).unwrap_or_default();
    until("the last one has started", || pids().lines().any(|pid| pid == own)).await;
    let alive = pids().lines().filter(|pid| Identity::of(pid.parse().unwrap()).is_some()).count();
    assert_eq!(alive, 1);
    host.act(Verb::Stop).await.unwrap();
}

/// A process that is not a child of this one, as after a restart of the agent.
async fn orphan() -> Identity {
    let script = "sleep 60 >/dev/null 2>&1 & echo $!";
    let output = tokio::process::Command::new("sh").args(["-c", script]).output().await.unwrap();
    let pid = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
    Identity::of(pid).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_agent_finds_its_services_again() {
    let (directory, orphan) = (tempfile::tempdir().unwrap(), orphan().await);
    Record::new(directory.path(), "web").write(orphan).unwrap();
    let mut host = Host::in_directory(directory, |_| spec(&["sleep", "60"]));
    let found = host.reported(Active).await;
    assert_eq!((found.main_pid, found.restarts, found.stop_requested), (Some(orphan.pid), 0, None));
    kill(orphan.pid, Signal::KILL);
    let failed = host.reported(Failed).await;
    assert_eq!((failed.result.as_str(), failed.exit_code, failed.exit_signal), ("unknown", None, None));
    assert_eq!(failed.stop_requested, Some(false));
    assert_eq!(host.act(Verb::Start).await.unwrap().after.restarts, 1);
    host.act(Verb::Stop).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn services_survive_the_manager_and_an_entry_that_is_taken_out() {
    let mut host = Host::new(|_| spec(&["sleep", "60"]));
    let pid = host.reported(Active).await.main_pid.unwrap();
    host.manager.configure(BTreeMap::new());
    assert!(!host.manager.owns("web"));
    assert!(Identity::of(pid).is_some());
    let mut next = Host::in_directory(host.directory, |_| spec(&["sleep", "60"]));
    assert_eq!(next.reported(Active).await.main_pid, Some(pid));
    next.act(Verb::Stop).await.unwrap();
    ends(pid).await;
}

/// A service that detaches itself.
fn daemon(directory: &TempDir) -> CommandSpec {
    let pidfile = directory.path().join("web.pid");
    let script = format!("sleep 60 & echo $! >{}", pidfile.display());
    CommandSpec { pidfile: Some(pidfile), ..shell(script) }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_life_of_a_daemon() {
    let mut host = Host::new(|directory| {
        let spec = daemon(directory);
        // Left over from a crash.
        fs::write(spec.pidfile.as_ref().unwrap(), "999999999\n").unwrap();
        spec
    });
    let pid = host.reported(Active).await.main_pid.unwrap();
    assert_eq!(number_in(&host, "web.pid").await, pid);
    kill(pid, Signal::KILL);
    let failed = host.reported(Failed).await;
    assert_eq!((failed.result.as_str(), failed.stop_requested), ("unknown", Some(false)));
    let restarted = host.act(Verb::Restart).await.unwrap().after;
    assert_eq!((restarted.active_state, restarted.restarts), (Active, 1));
    let stopped = host.act(Verb::Stop).await.unwrap().after;
    assert_eq!((stopped.active_state, stopped.stop_requested), (Inactive, Some(true)));
    ends(restarted.main_pid.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_is_replaced_by_its_heir_has_not_failed() {
    let mut host = Host::new(daemon);
    let pid = host.reported(Active).await.main_pid.unwrap();
    let heir = orphan().await;
    fs::write(host.directory.path().join("web.pid"), heir.pid.to_string()).unwrap();
    kill(pid, Signal::TERM);
    assert_eq!(host.reported(Active).await.main_pid, Some(heir.pid));
    host.act(Verb::Stop).await.unwrap();
    ends(heir.pid).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_hangs_or_writes_no_pidfile_runs_into_its_timeout() {
    for (script, expected) in [
        ("echo $$ >hung; sleep 60", "did not return within 0.5 s and was killed"),
        ("true", "did not name a process that runs"),
    ] {
        let host = Host::new(|directory| CommandSpec {
            pidfile: Some(directory.path().join("web.pid")),
            directory: Some(directory.path().to_owned()),
            start_timeout: Duration::from_millis(500),
            autostart: false,
            ..shell(script.to_owned())
        });
        let error = host.fail(Verb::Start).await;
        assert!(error.contains(expected), "{error}");
        let status = host.manager.status("web").unwrap();
        assert_eq!((status.active_state, status.result.as_str()), (Failed, "timeout"));
        if script.contains("hung") {
            ends(number_in(&host, "hung").await).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_without_a_process_is_asked() {
    let mut host = Host::new(|directory| {
        let up = directory.path().join("up").display().to_string();
        CommandSpec {
            status: Some(argv(&["test", "-e", &up])),
            stop: Some(argv(&["rm", &up])),
            ..spec(&["touch", &up])
        }
    });
    assert_eq!(host.reported(Active).await.main_pid, None);
    let stopped = host.act(Verb::Stop).await.unwrap().after;
    assert_eq!((stopped.active_state, stopped.stop_requested), (Inactive, Some(true)));
    host.act(Verb::Start).await.unwrap();
    fs::remove_file(host.directory.path().join("up")).unwrap();
    let failed = host.reported(Failed).await;
    assert_eq!((failed.result.as_str(), failed.stop_requested), ("unknown", Some(false)));
    fs::write(host.directory.path().join("up"), "").unwrap();
    host.reported(Active).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_run_where_and_how_the_entry_says() {
    let mut host = Host::new(|directory| CommandSpec {
        environment: BTreeMap::from([("GREETING".to_owned(), "hello".to_owned())]),
        directory: Some(directory.path().to_owned()),
        output: Some(directory.path().join("log")),
        reload: Some(argv(&["sh", "-c", "echo reloaded >&2"])),
        stop: Some(argv(&["sh", "-c", "kill $(cat own)"])),
        ..shell("echo $$ >own; echo $GREETING; exec sleep 60".to_owned())
    });
    let pid = host.reported(Active).await.main_pid.unwrap();
    assert_eq!(number_in(&host, "own").await, pid);
    host.act(Verb::Reload).await.unwrap();
    assert_eq!(fs::read_to_string(host.directory.path().join("log")).unwrap(), "hello\nreloaded\n");
    let stopped = host.act(Verb::Stop).await.unwrap().after;
    assert_eq!((stopped.exit_signal, stopped.result.as_str()), (Some(15), "success"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_entry_holds_from_the_next_action_on() {
    let mut host = Host::new(|_| spec(&["sleep", "60"]));
    let pid = host.reported(Active).await.main_pid;
    host.manager.configure(BTreeMap::from([("web".to_owned(), spec(&["sleep", "61"]))]));
    let restarted = host.act(Verb::Restart).await.unwrap();
    assert_eq!(restarted.before.main_pid, pid);
    let new = restarted.after.main_pid.unwrap();
    let command = || fs::read(format!("/proc/{new}/cmdline")).unwrap();
    until("the new command runs", || command() == b"sleep\x0061\0").await;
    host.act(Verb::Stop).await.unwrap();
}
