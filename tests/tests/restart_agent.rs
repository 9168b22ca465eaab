//! The agent dies, and another takes over: no incident is lost, nothing is done twice, and services do not notice. An agent
//! that cannot begin says why.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::fs;
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use salve_tests::agent::{Agent, Builder, Incident};
use salve_tests::process::Process;
use salve_tests::reaper::Reaper;
use salve_tests::{plugin, wait};

/// How long to look out for what must not happen: longer than the second between two looks at a service without a process.
const WHILE: Duration = Duration::from_millis(1500);

/// The agent gives a plugin ten seconds to say of an open incident whether the fault is still there.
const RECHECK: Duration = Duration::from_secs(11);

/// Starts a process that goes on by itself, and notes its number.
const START: &str = "setsid sleep infinity >/dev/null 2>&1 & echo $! >daemon.pid";

/// An agent, not started yet, over a daemon that runs: one that a person can start as well, because the agent knows it by
/// its status command alone. The agent's own starts fail as long as there is a file `broken`, and wait as long as there is
/// a file `slow`.
fn daemon(guard: &str, autostart: bool) -> Agent {
    let script = format!("test ! -e broken || exit 1; while test -e slow; do sleep 0.01; done; {START}");
    let policy = plugin::policy("auto", "daemon");
    let (head, _) = policy.split_once("[guard]").unwrap();
    let agent = Agent::builder()
        .service(
            "daemon",
            &script,
            &format!("status = [\"sh\", \"-c\", \"kill -0 $(cat daemon.pid)\"]\nautostart = {autostart}"),
        )
        .plugin(plugin::service_restart())
        .policy("web.toml", &format!("{head}[guard]\n{guard}\n"))
        .prepare()
        .unwrap();
    start_by_hand(&agent);
    agent
}

/// An agent that looks after a service which is its own child.
fn child() -> Builder {
    Agent::builder()
        .service("child", "test ! -e broken || exit 1; exec sleep infinity", "autostart = true")
        .plugin(plugin::service_restart())
        .policy("web.toml", &plugin::policy("auto", "child"))
}

/// A file beside `salve.toml`, on which the scripts depend.
fn touch(agent: &Agent, name: &str) {
    fs::write(agent.home().path().join(name), "").unwrap();
}

fn remove(agent: &Agent, name: &str) {
    fs::remove_file(agent.home().path().join(name)).unwrap();
}

fn start_by_hand(agent: &Agent) {
    let mut person = Process::spawn(Command::new("sh").args(["-c", START]).current_dir(agent.home().path())).unwrap();
    assert!(person.wait(Duration::from_secs(10)).unwrap().success());
}

fn daemon_pid(agent: &Agent) -> Option<Pid> {
    let pid = fs::read_to_string(agent.home().path().join("daemon.pid")).ok()?;
    let pid = Pid::from_raw(pid.trim().parse().ok()?)?;
    rustix::process::test_kill_process(pid).ok()?;
    Some(pid)
}

fn kill_daemon(agent: &Agent) {
    kill_process(daemon_pid(agent).unwrap(), Signal::KILL).unwrap();
}

/// Kills the agent without a warning and starts it again, in the same directory.
fn crash(agent: &mut Agent) {
    agent.kill();
    agent.start().unwrap();
    agent.until_watching("web");
}

/// That the incident stays open for longer than a plugin may take to look at it again, and that nothing is done about it.
#[track_caller]
fn stays(agent: &Agent, before: &Incident, starts: usize) {
    wait::never("a lost incident, or one about which something was done", RECHECK, || {
        let now = agent.incident(&before.id);
        let same = now.resolved_at.is_none() && now.attempts == before.attempts;
        (!same || agent.starts("daemon") != starts || agent.incidents().len() != 1).then_some(now)
    });
    agent.until_state(&before.id, &before.state);
}

#[test]
fn an_escalated_incident_outlasts_the_agent_until_a_person_has_repaired_the_fault() {
    let _reaper = Reaper::start().unwrap();
    let mut agent = daemon("backoff = { initial = \"10ms\", max = \"10ms\" }", false);
    agent.start().unwrap();
    agent.until_watching("web");
    touch(&agent, "broken");
    kill_daemon(&agent);
    let escalated = agent.until_incident("daemon", "escalated");
    assert_eq!((escalated.attempts.len(), agent.starts("daemon")), (2, 2));
    crash(&mut agent);
    assert!(agent.stop().success());
    agent.start().unwrap();
    agent.until_watching("web");
    stays(&agent, &escalated, 2);

    start_by_hand(&agent);
    let resolved = agent.until_state(&escalated.id, "resolved");
    assert_eq!((resolved.attempts, agent.starts("daemon")), (escalated.attempts, 2));
    assert_eq!(agent.incidents().len(), 1);
}

#[test]
fn a_deferred_incident_outlasts_the_agent_and_so_does_its_wait() {
    let _reaper = Reaper::start().unwrap();
    let mut agent = daemon("backoff = { initial = \"1h\", max = \"1h\" }", false);
    agent.start().unwrap();
    agent.until_watching("web");
    touch(&agent, "broken");
    kill_daemon(&agent);
    let deferred = agent.until_incident("daemon", "deferred");
    assert_eq!((deferred.attempts.len(), agent.starts("daemon")), (1, 1));
    assert!(deferred.reason().contains("3600 s after attempt 1"), "{}", deferred.reason());
    crash(&mut agent);
    stays(&agent, &deferred, 1);

    start_by_hand(&agent);
    let resolved = agent.until_state(&deferred.id, "resolved");
    assert_eq!((resolved.attempts, agent.starts("daemon")), (deferred.attempts, 1));
}

#[test]
fn an_incident_that_was_deferred_goes_on_by_itself_when_its_wait_is_over() {
    let _reaper = Reaper::start().unwrap();
    let mut agent = daemon("backoff = { initial = \"4s\", max = \"4s\" }", false);
    agent.start().unwrap();
    agent.until_watching("web");
    touch(&agent, "broken");
    kill_daemon(&agent);
    let deferred = agent.until_incident("daemon", "deferred");
    agent.kill();
    remove(&agent, "broken");
    agent.start().unwrap();
    let resolved = agent.until_state(&deferred.id, "resolved");
    assert_eq!((resolved.attempts.len(), agent.starts("daemon")), (2, 2), "{resolved:#?}");
    assert_eq!(resolved.attempts[1].verdict.as_deref(), Some("healthy"));
    assert!(daemon_pid(&agent).is_some());
}

/// An agent killed in the middle of a start, which goes on without it; and its incident.
fn killed_while_recovering(autostart: bool) -> (Agent, Incident) {
    let mut agent = daemon("backoff = { initial = \"10ms\", max = \"10ms\" }", autostart);
    agent.start().unwrap();
    agent.until_watching("web");
    touch(&agent, "slow");
    kill_daemon(&agent);
    let incident = agent.until_incident("daemon", "recovering");
    agent.until("the start to be under way", || (agent.starts("daemon") == 1).then_some(()));
    agent.kill();
    (agent, incident)
}

#[test]
fn a_start_that_ended_while_there_was_no_agent_is_looked_at_and_not_repeated() {
    let _reaper = Reaper::start().unwrap();
    let (mut agent, incident) = killed_while_recovering(false);
    remove(&agent, "slow");
    wait::until("the start to end", Duration::from_secs(10), || daemon_pid(&agent));
    agent.start().unwrap();
    let resolved = agent.until_state(&incident.id, "resolved");
    assert_eq!(resolved.path(), ["detected", "diagnosed", "recovering", "verifying", "resolved"]);
    assert!(resolved.transitions[3].reason.contains("the agent ended while actions were under way"), "{resolved:#?}");
    assert_eq!((resolved.attempts.len(), agent.starts("daemon")), (1, 1));
    assert_eq!(resolved.attempts[0].verdict.as_deref(), Some("healthy"));
    assert_eq!(resolved.attempts[0].outcomes, [], "what nobody saw end has no outcome");
    stays_alone(&agent);
}

#[test]
fn a_start_that_is_still_under_way_is_looked_at_first_and_never_taken_for_done() {
    let _reaper = Reaper::start().unwrap();
    let (mut agent, incident) = killed_while_recovering(false);
    agent.start().unwrap();
    agent.until_watching("web");
    wait::never("an incident that is resolved though the service is dead", WHILE, || {
        Some(agent.incident(&incident.id)).filter(|incident| incident.state == "resolved")
    });
    remove(&agent, "slow");
    let resolved = agent.until_state(&incident.id, "resolved");
    assert_eq!(resolved.path()[..4], ["detected", "diagnosed", "recovering", "verifying"]);
    // A new attempt may have been made, but nothing without the ledger.
    assert_eq!(agent.starts("daemon"), resolved.attempts.len(), "{resolved:#?}");
    assert!(daemon_pid(&agent).is_some());
    stays_alone(&agent);
}

#[test]
fn a_start_that_is_still_under_way_is_not_begun_once_more_by_autostart() {
    let _reaper = Reaper::start().unwrap();
    let (mut agent, incident) = killed_while_recovering(true);
    agent.start().unwrap();
    wait::never("a second start beside the first", WHILE, || {
        (agent.starts("daemon") > 1).then(|| agent.starts("daemon"))
    });
    remove(&agent, "slow");
    agent.until_state(&incident.id, "resolved");
    stays_alone(&agent);
}

fn stays_alone(agent: &Agent) {
    wait::never("another incident", WHILE, || (agent.incidents().len() > 1).then(|| agent.incidents()));
}

#[test]
fn services_survive_the_agent_and_are_adopted_by_the_next_one() {
    let _reaper = Reaper::start().unwrap();
    let mut agent = child().start().unwrap();
    agent.until_watching("web");
    let pid = agent.until_service("child", None);
    crash(&mut agent);
    assert!(agent.stop().success());
    assert_eq!(agent.service("child"), Some(pid), "it did not survive");
    agent.start().unwrap();
    agent.until_watching("web");
    assert_eq!(agent.service("child"), Some(pid));
    assert_eq!((agent.starts("child"), agent.incidents()), (1, vec![]));
    // It is watched although it is nobody's child by now, and healed.
    agent.heals("child");
    assert_eq!(agent.starts("child"), 2);
}

#[test]
fn a_service_that_died_while_there_was_no_agent_is_started_by_the_next_one() {
    let _reaper = Reaper::start().unwrap();
    let mut agent = child().start().unwrap();
    agent.until_watching("web");
    let pid = agent.until_service("child", None);
    agent.kill();
    kill_process(pid, Signal::KILL).unwrap();
    agent.start().unwrap();
    agent.until_service("child", Some(pid));
    assert_eq!(agent.starts("child"), 2);
}

#[test]
fn an_escalated_incident_of_a_child_stays_open_until_the_child_runs() {
    let _reaper = Reaper::start().unwrap();
    let mut agent = child().start().unwrap();
    agent.until_watching("web");
    touch(&agent, "broken");
    agent.kill_service("child");
    let escalated = agent.until_incident("child", "escalated");
    let starts = agent.starts("child");
    crash(&mut agent); // Which starts it once more, because it says `autostart`.
    agent.until("that start", || (agent.starts("child") == starts + 1).then_some(()));
    wait::never("a lost incident, or one about which something was done", WHILE, || {
        let now = agent.incident(&escalated.id);
        (now.state != "escalated" || now.attempts != escalated.attempts || agent.incidents().len() > 1).then_some(now)
    });
    agent.kill();
    remove(&agent, "broken");
    agent.start().unwrap();
    agent.until_state(&escalated.id, "resolved");
    assert!(agent.service("child").is_some());
    assert_eq!(agent.starts("child"), starts + 2);
}

#[test]
fn a_second_agent_on_the_same_state_or_socket_is_refused() {
    let agent = Agent::builder().start().unwrap();
    let second = |state: &str, socket: &str| {
        let text = format!(
            "plugins = \"plugins\"\npolicies = \"policies.d\"\nstate = \"{state}\"\n[api]\nsocket = \"{socket}\"\n"
        );
        let config = agent.home().path().join("second.toml");
        fs::write(&config, text).unwrap();
        agent.refusal(&config)
    };
    let said = second("state", "second.sock");
    assert!(said.contains("another agent uses the state directory") && said.contains("/state;"), "{said}");
    let said = second("second", "salve.sock");
    assert!(said.contains("another agent answers on") && said.contains("/salve.sock;"), "{said}");
    assert!(agent.status().is_fine, "the first one answers still");
}

/// An agent that was never started, with this text in the place of its `salve.toml`.
fn configured(text: &str) -> Agent {
    let agent = Agent::builder().prepare().unwrap();
    fs::write(agent.home().config(), text).unwrap();
    agent
}

#[test]
fn a_ledger_that_is_none_is_set_aside_and_a_new_one_is_begun() {
    let mut agent = Agent::builder().prepare().unwrap();
    let ledger = agent.home().state().join("ledger.sqlite");
    let garbage = "this is no database, ".repeat(1000);
    fs::write(&ledger, &garbage).unwrap();
    agent.start().unwrap();
    let status = agent.status();
    let told = status.problems.iter().find(|problem| problem.contains("the ledger was damaged")).unwrap();
    let beside = fs::read_dir(agent.home().state()).unwrap().flatten().map(|entry| entry.path());
    let aside = beside.into_iter().find(|path| told.contains(&path.display().to_string())).unwrap();
    assert_eq!(fs::read_to_string(aside).unwrap(), garbage);
}

#[test]
fn a_state_directory_that_cannot_be_written_is_refused() {
    // Not even root can write there.
    for state in ["/proc/salve", "salve.toml"] {
        let agent = configured(&format!("state = \"{state}\"\n[api]\nsocket = \"salve.sock\"\n"));
        let said = agent.refusal(&agent.home().config());
        let remedy = "set `state` in salve.toml to a directory the agent can write";
        assert!(said.contains("the state directory ") && said.contains(state) && said.contains(remedy), "{said}");
    }
}

#[test]
fn a_configuration_that_is_missing_or_broken_is_refused_with_its_place() {
    let agent = configured("plugins = \"plugins\"\n[agent]\nmod = \"auto\"\n");
    let said = agent.refusal(&agent.home().config());
    assert!(said.contains("/salve.toml:3:1: unknown key `mod`; did you mean `mode`?"), "{said}");
    let agent = configured("plugins = \"plugins\"\nstate =\n");
    let said = agent.refusal(&agent.home().config());
    assert!(said.contains("/salve.toml:2:"), "{said}");
    let said = agent.refusal(&agent.home().path().join("elsewhere.toml"));
    assert!(said.contains("/elsewhere.toml: cannot be read") && said.contains("--config"), "{said}");
}
