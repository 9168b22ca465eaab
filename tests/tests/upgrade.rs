//! New versions of a plugin, on this machine: tried beside the one that runs, and only then in its place.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::fs;

use salve_tests::agent::{Agent, Status};
use salve_tests::plugin;

/// An agent whose policy `demo` looks after the service `demo`, and that tries a new version for so long.
fn healer(shadow: &str) -> Agent {
    let agent = Agent::builder()
        .service("demo", "exec sleep infinity", "autostart = true")
        .tables(&format!("[agent.upgrade]\nshadow = \"{shadow}\"\n"))
        .plugin(plugin::service_restart())
        .policy("demo.toml", &plugin::policy("auto", "demo"))
        .start()
        .unwrap();
    agent.until_watching("demo");
    agent.heals("demo");
    agent
}

fn digest(status: &Status) -> String {
    status.plugin("service-restart").unwrap().digest.clone().unwrap()
}

fn put(agent: &Agent, bytes: &[u8]) {
    let file = agent.home().plugins().join("service-restart.wasm");
    let beside = file.with_extension("part");
    fs::write(&beside, bytes).unwrap();
    fs::rename(beside, file).unwrap();
}

fn canary(status: &Status) -> Option<String> {
    status.policy("demo").unwrap().canary.clone()
}

#[test]
fn the_old_version_decides_until_the_new_one_has_been_tried() {
    let agent = healer("5s");
    let before = agent.until_fine();
    put(&agent, &plugin::another_build(&plugin::service_restart(), "better"));
    let during = agent.until_status("a trial", |status| canary(status).is_some());
    assert_eq!(digest(&during), digest(&before));
    assert_ne!(canary(&during).unwrap(), digest(&before));
    // The fault is healed once, by the old one; the new one says what it would have done.
    agent.heals("demo");
    agent.until("the canary's decision", || agent.log().contains("the canary would decide").then_some(()));
    let after = agent.until_status("the new version", |status| status.is_fine && digest(status) != digest(&before));
    assert_eq!(canary(&after), None);
    assert!(agent.log().contains("the new version stood its trial"), "{}", agent.log());
    agent.until_watching("demo");
    agent.heals("demo");
    for incident in agent.incidents() {
        assert_eq!((incident.state.as_str(), incident.attempts.len()), ("resolved", 1), "{incident:#?}");
    }
}

#[test]
fn a_trial_ends_when_the_old_file_is_back() {
    let agent = healer("10m");
    let before = agent.until_fine();
    put(&agent, &plugin::another_build(&plugin::service_restart(), "regretted"));
    agent.until_status("a trial", |status| canary(status).is_some());
    put(&agent, &fs::read(plugin::service_restart()).unwrap());
    let after = agent.until_status("the end of the trial", |status| canary(status).is_none());
    assert_eq!(digest(&after), digest(&before));
    assert_eq!(after.instance("demo").unwrap().since, before.instance("demo").unwrap().since);
    agent.heals("demo");
}

/// The new version was rolled back for a reason with these words in it; the old one runs, and heals.
#[track_caller]
fn rolled_back(agent: &Agent, before: &Status, words: &[&str]) {
    let of = |status: &Status| status.plugin("service-restart").unwrap().problem.clone().unwrap_or_default();
    let is_told = |text: &str| text.contains("was rolled back") && words.iter().all(|word| text.contains(word));
    let after = agent.until_status(&format!("a rollback for {words:?}"), |status| is_told(&of(status)));
    assert_eq!((digest(&after), canary(&after)), (digest(before), None));
    assert!(is_told(&agent.complaints()), "{}", agent.complaints());
    agent.heals("demo");
    for incident in agent.incidents() {
        assert_eq!((incident.kind.as_str(), incident.state.as_str()), ("service.down", "resolved"), "{incident:#?}");
    }
}

#[test]
fn a_version_that_traps_or_contradicts_the_old_one_takes_itself_out() {
    let agent = healer("3s");
    let before = agent.until_fine();
    put(&agent, &fs::read(plugin::hostile("loop-detect")).unwrap());
    rolled_back(&agent, &before, &["`detect` used more than 100 ms of CPU"]);
    put(&agent, &fs::read(plugin::hostile("flood-findings")).unwrap());
    rolled_back(&agent, &before, &["it contradicts the version that runs", "hostile.fault"]);
    // One that is good takes over after all that.
    put(&agent, &plugin::another_build(&plugin::service_restart(), "mended"));
    agent.until_status("the mended version", |status| status.is_fine && digest(status) != digest(&before));
    agent.until_watching("demo");
    agent.heals("demo");
}

#[test]
fn what_was_rolled_back_stays_so_when_the_agent_is_started_again() {
    let mut agent = healer("3s");
    let before = agent.until_fine();
    let bad = fs::read(plugin::hostile("loop-detect")).unwrap();
    put(&agent, &bad);
    rolled_back(&agent, &before, &["`detect` used more than 100 ms of CPU"]);
    // The same again is the same again.
    put(&agent, &bad);
    rolled_back(&agent, &before, &["`detect` used more than 100 ms of CPU"]);
    agent.restart().unwrap();
    agent.until_watching("demo");
    rolled_back(&agent, &before, &["`detect` used more than 100 ms of CPU"]);
    put(&agent, &plugin::another_build(&plugin::service_restart(), "mended"));
    agent.until_status("the mended version", |status| status.is_fine && digest(status) != digest(&before));
    agent.until_watching("demo");
    agent.heals("demo");
}

#[test]
fn without_a_trial_a_new_version_takes_over_at_once() {
    let agent = healer("0s");
    let before = agent.until_fine();
    put(&agent, &plugin::another_build(&plugin::service_restart(), "at once"));
    agent.until_status("the new version", |status| status.is_fine && digest(status) != digest(&before));
    assert!(!agent.log().contains("is tried in shadow"), "{}", agent.log());
    agent.until_watching("demo");
    agent.heals("demo");
}
