//! The harness around the agent, tried on a stand-in: a shell script with the agent's command line.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "the helpers of tests fail as the tests do")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, test_kill_process};
use salve_tests::agent::{Agent, Builder};
use salve_tests::process::Process;
use salve_tests::reaper::Reaper;
use salve_tests::{lab, wait};
use tempfile::TempDir;

/// Is ready once it has made its "socket", a plain file, and says so.
const STAND_IN: &str = r#"#!/bin/sh
case $1 in
agent)
  cd "$(dirname "$3")"
  grep -q '^socket = "salve.sock"' salve.toml && [ -d plugins ] && [ -d policies.d ] && [ -d state ] || exit 3
  trap 'echo stopping; rm salve.sock; exit 0' TERM
  echo started; echo $$ >salve.sock
  while :; do sleep 0.02; done ;;
--socket) kill -0 "$(cat "$2")" && echo "{\"arguments\": \"$3 $4\", \"from\": \"$FROM\"}" ;;
esac
"#;

fn stand_in(text: &str) -> (TempDir, Builder) {
    let directory = TempDir::new().unwrap();
    let program = directory.path().join("salve");
    fs::write(&program, text).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    (directory, Agent::builder().program(program).env("FROM", "test"))
}

fn lives(agent: &mut Agent) {
    let first = agent.pid();
    let status = agent.json(&["status"]);
    assert_eq!(status["arguments"], "status --json");
    assert_eq!(status["from"], "test");
    assert!(agent.stop().success());
    assert_eq!(agent.log(), "started\nstopping\n");
    agent.start().unwrap();
    agent.kill();
    assert!(!agent.cli(&["status"]).status.success());
    agent.start().unwrap();
    assert_ne!(agent.pid(), first);
    agent.restart().unwrap();
}

#[test]
fn an_agent_lives_on_this_machine() {
    let (_directory, builder) = stand_in(STAND_IN);
    let mut agent = builder.policy("a.toml", "x = 1\n").start().unwrap();
    assert!(agent.home().policies().join("a.toml").exists());
    lives(&mut agent);
    let (pid, home) = (agent.pid(), agent.home().path().to_owned());
    drop(agent);
    assert!(test_kill_process(pid).is_err() && !home.exists());
}

#[test]
fn an_agent_lives_on_a_host_and_after_a_power_cut() {
    let Some(host) = lab::host_or_skip("agent") else { return };
    let (_directory, builder) = stand_in(STAND_IN);
    let mut agent = builder.inside(&host).start().unwrap();
    lives(&mut agent);
    fs::write(agent.home().state().join("journal"), "").unwrap();
    host.power_cut();
    host.power_on().unwrap();
    agent.start().unwrap();
    assert!(host.sees(agent.home().state().join("journal")));
}

#[test]
fn an_agent_that_ends_is_quoted() {
    let (_directory, builder) = stand_in("#!/bin/sh\necho no such key >&2; exit 2\n");
    let error = builder.start().unwrap_err().to_string();
    assert!(error.contains("exit status: 2") && error.contains("no such key"), "{error}");
}

#[test]
fn a_reaper_takes_orphans_and_nothing_else() {
    let reaper = Reaper::start().unwrap();
    let directory = TempDir::new().unwrap();
    let number = |name: &str| {
        let path = directory.path().join(name);
        let read = || fs::read_to_string(&path).ok()?.strip_suffix('\n')?.parse().ok();
        Pid::from_raw(wait::until("a number", Duration::from_secs(5), read)).unwrap()
    };
    let gone = |pid: Pid| test_kill_process(pid).is_err().then_some(());
    // A daemon that ends is gone at once; one that stays goes with the reaper; children of ours keep their status.
    let script =
        "cd $0; setsid sh -c 'echo $$ >short; sleep 0.1' & setsid sh -c 'echo $$ >long; exec sleep 1000' & wait $!";
    let mut supervisor = Process::spawn(Command::new("sh").args(["-c", script]).arg(directory.path())).unwrap();
    let (short, long) = (number("short"), number("long"));
    supervisor.signal(rustix::process::Signal::KILL).unwrap();
    wait::until("the short one to be reaped", Duration::from_secs(1), || gone(short));
    assert!(gone(long).is_none());
    let mut plain = Command::new("sh").args(["-c", "exit 7"]).spawn().unwrap();
    let mut held = Process::spawn(Command::new("sh").args(["-c", "exit 8"])).unwrap();
    wait::attempt(Duration::from_millis(100), || None::<()>); // Time for the reaper to do wrong.
    assert_eq!(plain.wait().unwrap().code(), Some(7));
    assert_eq!(held.wait(Duration::from_secs(1)).unwrap().code(), Some(8));
    assert_eq!(supervisor.wait(Duration::from_secs(1)).unwrap().code(), None);
    drop(reaper);
    assert!(gone(long).is_some());
}
