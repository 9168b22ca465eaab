//! What a build server says reaches the policies that want to hear it, and nothing that only the agent may say.

use salve_tests::agent::Agent;
use salve_tests::plugin;

/// Says it, and expects this exit code.
#[track_caller]
fn send(agent: &Agent, arguments: &[&str], code: i32) -> String {
    let output = agent.cli(&[&["event", "send"], arguments].concat());
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    said
}

#[test]
fn an_event_of_a_build_server_opens_an_incident_of_the_policy_that_listens() {
    let policy =
        "plugin = \"listener\"\nmode = \"observe\"\n[config]\nevent = \"ci.*\"\nonly = [\"data.branch\", \"main\"]\n";
    let agent = Agent::builder().plugin(plugin::guest("listener")).policy("ci.toml", policy).start().unwrap();
    agent.until_status("the listener", |status| status.instance("ci").is_some_and(|it| it.state == "running"));
    let data = |branch: &str| format!(r#"{{"branch":"{branch}","steps":7}}"#);
    send(&agent, &["ci.pipeline.failed", "--subject", "try", "--data", &data("topic")], 0);
    let web = ["ci.pipeline.failed", "--subject", "web", "--source", "/ci", "--id", "17", "--data", &data("main")];
    assert!(send(&agent, &web, 0).contains("taken: 1"));
    assert!(send(&agent, &web, 0).contains("known already"));
    let heard = agent.until("an incident", || agent.incidents().into_iter().find(|it| it.target == "web"));
    let shown = agent.json(&["incident", "show", &heard.id]).to_string();
    for words in ["ci.pipeline.failed", "cloudevents.event_id", "data.steps", "main"] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    assert_eq!(agent.incidents().len(), 1, "the other branch is none of its business");

    assert!(send(&agent, &["service.state"], 1).contains("the agent's own"));
    assert!(send(&agent, &["ci.x", "--data", "{"], 2).contains("no JSON"));
}
