//! What persons say to the agent: yes, no, not now, and what do you know.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use salve_tests::agent::Agent;
use salve_tests::plugin;
use serde_json::Value;

/// An agent that looks after a service of its own, `demo`, in this mode.
fn agent(mode: &str) -> Agent {
    let demo = Agent::builder().service("demo", "exec sleep infinity", "autostart = true");
    let builder = demo.plugin(plugin::service_restart()).policy("demo.toml", &plugin::policy(mode, "demo"));
    let agent = builder.start().unwrap();
    agent.until_watching("demo");
    agent
}

/// Says it, and expects this exit code.
#[track_caller]
fn say(agent: &Agent, arguments: &[&str], code: i32) -> String {
    let output = agent.cli(arguments);
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    said
}

#[test]
fn a_plan_that_waits_for_a_person_is_carried_out_after_a_yes_and_who_said_it_is_kept() {
    let agent = agent("approve");
    agent.kill_service("demo");
    let waiting = agent.until_incident("demo", "awaiting-approval");
    let shown = say(&agent, &["incident", "show", &waiting.id], 0);
    assert!(shown.contains("decides on") && shown.contains("service.restart demo"), "{shown}");
    assert_eq!(agent.starts("demo"), 1);
    say(&agent, &["incident", "approve", &waiting.id, "--reason", "go on"], 0);
    let healed = agent.until_state(&waiting.id, "resolved");
    assert_eq!((healed.attempts.len(), agent.starts("demo")), (1, 2));
    let detail = agent.json(&["incident", "show", &waiting.id]);
    let actors: Vec<&str> =
        detail["transitions"].as_array().unwrap().iter().filter_map(|step| step["actor"].as_str()).collect();
    assert!(actors.iter().any(|actor| actor.contains("uid ")), "{detail:#}");
    let said = say(&agent, &["incident", "approve", &waiting.id], 1);
    assert!(said.contains("not open"), "{said}");
}

#[test]
fn after_a_no_nothing_is_done_until_the_person_closes_it() {
    let agent = agent("approve");
    agent.kill_service("demo");
    let waiting = agent.until_incident("demo", "awaiting-approval");
    say(&agent, &["incident", "deny", &waiting.id, "--reason", "not now"], 0);
    let denied = agent.until_state(&waiting.id, "escalated");
    assert!(denied.reason().contains("not now"), "{}", denied.reason());
    say(&agent, &["incident", "resolve", &waiting.id], 0);
    agent.until_state(&waiting.id, "resolved");
    assert_eq!(agent.starts("demo"), 1);
}

#[test]
fn a_pause_outlasts_the_agent_and_what_waited_goes_on_after_it() {
    let mut agent = agent("auto");
    say(&agent, &["pause", "--target", "demo", "--reason", "release"], 0);
    agent.kill();
    agent.start().unwrap();
    agent.until_watching("demo");
    let status = say(&agent, &["status"], 0);
    assert!(status.contains("release"), "{status}");
    agent.kill_service("demo");
    let held = agent.until_incident("demo", "deferred");
    assert!(held.reason().starts_with("hold: "), "{}", held.reason());
    let said = say(&agent, &["resume"], 1);
    assert!(said.contains("no such hold"), "{said}");
    say(&agent, &["resume", "--target", "demo"], 0);
    agent.until_state(&held.id, "resolved");
    say(&agent, &["pause", "--for", "soon"], 2);
    say(&agent, &["resume", "--breaker"], 1);
}

#[test]
fn the_report_and_the_export_tell_what_happened() {
    let agent = agent("auto");
    let healed = agent.heals("demo");
    let report = agent.json(&["report", "--since", "1d", "--by", "target"]).to_string();
    assert!(report.contains("\"demo\""), "{report}");
    let lines = say(&agent, &["ledger", "export"], 0);
    let first: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(first["id"], healed.id.as_str(), "{first:#}");
}

#[test]
fn evidence_is_collected_before_the_action_and_kept_with_the_incident() {
    let policy = format!("collect = [\"service.status\", \"command:heap-dump\"]\n{}", plugin::policy("auto", "demo"));
    let demo = Agent::builder().service("demo", "exec sleep infinity", "autostart = true");
    let agent = demo.plugin(plugin::service_restart()).policy("demo.toml", &policy).start().unwrap();
    agent.until_watching("demo");
    let healed = agent.heals("demo");
    let detail = agent.json(&["incident", "show", &healed.id]);
    let [status, dump] = &detail["collected"].as_array().unwrap()[..] else { panic!("{detail:#}") };
    let text = status["text"].as_str().unwrap();
    assert!(status["ok"] == true && text.contains("failed"), "how it was before the restart: {detail:#}");
    assert_eq!(dump["ok"], false, "a command that the configuration does not know: {detail:#}");
}
