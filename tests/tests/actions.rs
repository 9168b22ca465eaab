//! Every kind of action beside services', asked for by a plugin and done to real things: what it did, what it may not do, and
//! what it asks a person for first.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "the helpers of tests fail as the tests do")]

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use salve_tests::agent::{Agent, Builder, Incident};
use salve_tests::notices::Notices;
use salve_tests::process::Process;
use salve_tests::receiver::Receiver;
use salve_tests::{plugin, wait};
use tempfile::TempDir;

/// How long to look out for what must not happen.
const WHILE: Duration = Duration::from_millis(500);
const DEADLINE: Duration = Duration::from_secs(30);
/// What the fault of the guest is about.
const TARGET: &str = "errand";

/// A policy for the guest that wants these actions, each in TOML, and grants.
fn policy(actions: &[String], grants: &[String], more_grant: &str) -> String {
    format!(
        "plugin = \"errand\"\nmode = \"auto\"\n[config]\ntarget = \"{TARGET}\"\nactions = [{}]\n\
         [grant]\nactions = {grants:?}\n{more_grant}\n",
        actions.join(", ")
    )
}

fn builder(policy: &str) -> Builder {
    Agent::builder().plugin(plugin::guest("errand")).policy("errand.toml", policy)
}

fn set_policy(agent: &Agent, policy: &str) {
    fs::write(agent.home().policies().join("errand.toml"), policy).unwrap();
}

fn signal(process: &Process, started: u64) -> String {
    let pid = process.pid();
    format!(
        "{{ kind = \"process.signal\", target = \"{pid}\", \
         with = {{ \"process.start_time\" = {started}, signal = \"TERM\" }} }}"
    )
}

fn delete(glob: &str) -> String {
    format!("{{ kind = \"file.delete\", target = \"{glob}\" }}")
}

/// A directory with two old logs and what is none.
fn logs() -> (TempDir, [PathBuf; 3]) {
    let directory = tempfile::tempdir().unwrap();
    let files = ["app.log.1", "app.log.2", "data"].map(|name| directory.path().join(name));
    for file in &files {
        fs::write(file, "text").unwrap();
    }
    (directory, files)
}

/// The command `mark`, which leaves a file.
fn mark(more: &str) -> String {
    format!("[commands.mark]\nargv = [\"/usr/bin/touch\", \"{{file}}\"]\nparameters = {{ file = \"path\" }}\n{more}\n")
}

fn run_mark(file: &Path) -> String {
    format!("{{ kind = \"command.run\", target = \"mark\", with = {{ file = \"{}\" }} }}", file.display())
}

/// Nothing is done, and nobody is asked anything else.
fn rests(agent: &Agent, incident: &Incident) {
    wait::never("an attempt, or another state", WHILE, || {
        let now = agent.incident(&incident.id);
        (now.state != incident.state || !now.attempts.is_empty()).then_some(now)
    });
}

#[test]
fn one_plan_of_every_kind_does_each_thing_in_order() {
    let (directory, [first, second, data]) = logs();
    let root = directory.path().display().to_string();
    let mut process = Process::spawn(Command::new("sleep").arg("600")).unwrap();
    let (pid, started) = (process.pid(), process.start_time().unwrap());
    let (receiver, notices, marked) =
        (Receiver::start().unwrap(), Notices::within(directory.path()), directory.path().join("marked"));
    let url = format!("{}/drain", receiver.url());
    let actions = [
        format!(
            "{{ kind = \"process.renice\", target = \"{pid}\", with = {{ \"process.start_time\" = {started}, nice = 5 }} }}"
        ),
        signal(&process, started),
        delete(&format!("{root}/app.log.*")),
        run_mark(&marked),
        format!(
            "{{ kind = \"http.request\", target = \"{url}\", \
             with = {{ method = \"PUT\", body = \"node 7\", content_type = \"text/plain\", expect = \"200\" }} }}"
        ),
        "{ kind = \"notify\", target = \"test\", with = { message = \"it is done\" } }".to_owned(),
    ];
    let grants = [
        format!("process.*:{pid}"),
        format!("file.delete:{root}/*.log.*"),
        "command.run:mark".to_owned(),
        format!("http.request:{}/*", receiver.url()),
        "notify:test".to_owned(),
    ];
    let policy = policy(&actions, &grants, "unattended = true");
    let agent = builder(&policy).tables(&mark("")).tables(&notices.channel()).start().unwrap();

    let healed = agent.until_incident(TARGET, "resolved");
    assert_eq!(healed.path(), ["detected", "diagnosed", "recovering", "verifying", "resolved"], "{healed:#?}");
    let outcomes = &healed.attempts[0].outcomes;
    let kinds: Vec<&str> = outcomes.iter().map(|outcome| outcome.action.kind.as_str()).collect();
    let expected =
        ["process.renice", "process.signal", "file.delete", "command.run", "http.request", "notify"].to_vec();
    assert_eq!(kinds, expected, "{healed:#?}");
    assert!(outcomes.iter().all(|outcome| outcome.ok), "{healed:#?}");
    for (outcome, detail) in outcomes.iter().zip(["-> 5", "sent SIGTERM", "2 files", "status: 0", "200 OK", "test"]) {
        assert!(outcome.detail.contains(detail), "{outcome:#?}");
    }

    let ended = process.wait(DEADLINE).unwrap();
    assert_eq!(ended.signal(), Some(Signal::TERM.as_raw()));
    assert!(!first.exists() && !second.exists() && data.exists() && marked.exists());
    let asked = receiver.asked();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert!(asked[0].starts_with("PUT /drain HTTP/1.1\r\n") && asked[0].ends_with("\r\n\r\nnode 7"), "{asked:?}");
    let said = || notices.all().into_iter().find(|notice| notice.kind == "message" && notice.reason == "it is done");
    agent.until("the message", said);
}

#[test]
fn a_denied_action_names_the_line_that_would_allow_it_and_with_that_line_it_is_done() {
    let mut process = Process::spawn(Command::new("sleep").arg("600")).unwrap();
    let actions = [signal(&process, process.start_time().unwrap())];
    let others = ["process.renice:*".to_owned(), "process.signal:1".to_owned()];
    let agent = builder(&policy(&actions, &others, "")).start().unwrap();
    let denied = agent.until_incident(TARGET, "escalated");
    let line = format!("actions = [\"process.signal:{}\"]", process.pid());
    let expected = format!("grant: not granted; [grant] {line} would allow it");
    assert_eq!(denied.reason(), expected);
    rests(&agent, &denied);
    assert_eq!(process.ended(), None);

    let written = policy(&actions, &[], "").replace("actions = []\n", &format!("{line}\n"));
    assert!(written.contains(&line), "{written}");
    set_policy(&agent, &written);
    agent.until_state(&denied.id, "resolved");
    assert_eq!(process.wait(DEADLINE).unwrap().signal(), Some(Signal::TERM.as_raw()));
}

#[test]
fn what_a_glob_finds_beyond_the_grant_keeps_all_of_it_from_being_deleted() {
    let (directory, files) = logs();
    let root = directory.path().display();
    let grants = [format!("file.delete:{root}/app.log.*")];
    let agent = builder(&policy(&[delete(&format!("{root}/*"))], &grants, "unattended = true")).start().unwrap();
    let denied = agent.until_incident(TARGET, "escalated");
    assert!(denied.reason().contains(&format!("\"file.delete:{root}/*\"")), "{}", denied.reason());
    assert!(files.iter().all(|file| file.exists()) && denied.attempts.is_empty(), "{denied:#?}");
}

#[test]
fn a_process_that_is_another_one_by_now_is_left_alone() {
    let mut process = Process::spawn(Command::new("sleep").arg("600")).unwrap();
    let actions = [signal(&process, process.start_time().unwrap() - 1)];
    let agent = builder(&policy(&actions, &["process.signal:*".to_owned()], "")).start().unwrap();
    let failed = agent.until_incident(TARGET, "escalated");
    let outcome = &failed.attempts[0].outcomes[0];
    assert!(!outcome.ok && outcome.detail.contains("is another one by now"), "{failed:#?}");
    assert_eq!(process.ended(), None);
}

/// Waits for a person, who agrees; with `unattended` nobody is asked.
fn asks_first(actions: &[String], grants: &[String], tables: &str, done: impl Fn() -> bool) {
    let agent = builder(&policy(actions, grants, "")).tables(tables).start().unwrap();
    let waiting = agent.until_incident(TARGET, "awaiting-approval");
    assert!(waiting.reason().contains("cannot be undone"), "{}", waiting.reason());
    assert!(waiting.reason().contains("[grant] unattended = true"), "{}", waiting.reason());
    rests(&agent, &waiting);
    assert!(!done(), "it was done unasked");
    assert!(agent.cli(&["incident", "approve", &waiting.id]).status.success());
    let healed = agent.until_state(&waiting.id, "resolved");
    assert!(healed.attempts[0].outcomes[0].ok && done(), "{healed:#?}");
}

#[test]
fn what_cannot_be_undone_asks_a_person_first() {
    let (directory, [first, second, data]) = logs();
    let glob = format!("{}/app.log.*", directory.path().display());
    asks_first(&[delete(&glob)], &[format!("file.delete:{glob}")], "", || !first.exists() && !second.exists());
    assert!(data.exists());
    let marked = directory.path().join("marked");
    asks_first(&[run_mark(&marked)], &["command.run:mark".to_owned()], &mark(""), || marked.exists());
}

#[test]
fn a_kill_asks_a_person_first() {
    let mut process = Process::spawn(Command::new("sleep").arg("600")).unwrap();
    let action = signal(&process, process.start_time().unwrap()).replace("TERM", "KILL");
    let status = format!("/proc/{}/status", process.pid());
    let is_gone = || !fs::read_to_string(&status).is_ok_and(|status| !status.contains("State:\tZ"));
    asks_first(&[action], &[format!("process.signal:{}", process.pid())], "", || {
        wait::attempt(WHILE, || is_gone().then_some(())).is_some()
    });
    assert_eq!(process.wait(DEADLINE).unwrap().signal(), Some(Signal::KILL.as_raw()));
}

#[test]
fn a_repeatable_command_is_run_unasked() {
    let directory = tempfile::tempdir().unwrap();
    let marked = directory.path().join("marked");
    let policy = policy(&[run_mark(&marked)], &["command.run:mark".to_owned()], "");
    let agent = builder(&policy).tables(&mark("repeatable = true")).start().unwrap();
    let healed = agent.until_incident(TARGET, "resolved");
    assert!(!healed.path().contains(&"awaiting-approval"), "{healed:#?}");
    assert!(marked.exists());
}
