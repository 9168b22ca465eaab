//! The command line, as people type it and as programs read it: what it says, and its exit codes.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use salve_tests::agent::{self, Agent};
use salve_tests::plugin;
use serde_json::Value;

/// `salve` with no agent anywhere near.
fn salve(arguments: &[&str]) -> Output {
    let mut command = Command::new(agent::binary().unwrap());
    command.env("SALVE_SOCKET", "/nonexistent/salve.sock").args(arguments).output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[track_caller]
fn has_keys(value: &Value, expected: &[&str]) {
    let missing: Vec<_> = expected.iter().filter(|key| !keys(value).contains(*key)).collect();
    assert!(missing.is_empty(), "{missing:?} are not in {value:#}");
}

/// `2023-11-14T22:13:20.123Z`: RFC 3339 in UTC.
fn is_rfc3339(time: &Value) -> bool {
    let shape =
        |text: &str| text.chars().map(|sign| if sign.is_ascii_digit() { '9' } else { sign }).collect::<String>();
    let fraction = |rest: &str| rest == "Z" || (rest.starts_with(".9") && rest.trim_matches(['.', '9']) == "Z");
    time.as_str().is_some_and(|text| shape(text).strip_prefix("9999-99-99T99:99:99").is_some_and(fraction))
}

/// An agent with the service `demo` and a policy for it.
fn agent_with_demo() -> Agent {
    let demo = Agent::builder().service("demo", "exec sleep infinity", "autostart = true");
    let builder = demo.plugin(plugin::service_restart()).policy("demo.toml", &plugin::policy("auto", "demo"));
    let agent = builder.start().unwrap();
    agent.until_watching("demo");
    agent
}

#[test]
fn a_time_is_told_from_what_is_none() {
    for time in ["2023-11-14T22:13:20Z", "2023-11-14T22:13:20.123Z"] {
        assert!(is_rfc3339(&time.into()), "{time}");
    }
    for other in ["2023-11-14 22:13:20Z", "2023-11-14T22:13:20", "1700000000", "2023-11-14T22:13:20.Z"] {
        assert!(!is_rfc3339(&other.into()), "{other}");
    }
    assert!(!is_rfc3339(&1_700_000_000.into()));
}

#[test]
fn incidents_have_the_promised_fields_in_lists_and_alone() {
    let agent = agent_with_demo();
    assert_eq!(agent.json(&["incident", "list"]), Value::Array(vec![]));
    agent.heals("demo");
    agent.heals("demo");
    let list = agent.json(&["incident", "list"]);
    let list = list.as_array().unwrap();
    assert_eq!(list.len(), 2);
    assert!(list[0]["opened_at"].as_str() > list[1]["opened_at"].as_str(), "the newest is first");
    for incident in list {
        let shown = agent.json(&["incident", "show", incident["id"].as_str().unwrap()]);
        for incident in [incident, &shown] {
            has_keys(
                incident,
                &[
                    "id",
                    "plugin",
                    "policy",
                    "kind",
                    "target",
                    "state",
                    "severity",
                    "summary",
                    "opened_at",
                    "resolved_at",
                    "causes",
                    "attempts",
                ],
            );
            assert!(is_rfc3339(&incident["opened_at"]) && is_rfc3339(&incident["resolved_at"]), "{incident:#}");
            assert_eq!(incident["state"], "resolved");
            let attempts = incident["attempts"].as_array().unwrap();
            assert_eq!(attempts.len(), 1);
            has_keys(&attempts[0], &["number", "actions", "outcomes", "verdict"]);
            assert_eq!((&attempts[0]["number"], &attempts[0]["verdict"]), (&1.into(), &"healthy".into()));
            has_keys(&attempts[0]["actions"][0], &["kind", "target"]);
            has_keys(&attempts[0]["outcomes"][0], &["action", "ok", "detail"]);
            has_keys(&incident["causes"][0], &["summary", "path", "confidence"]);
        }
        assert!(keys(incident).is_subset(&keys(&shown)));
        let transitions = shown["transitions"].as_array().unwrap();
        assert!(transitions.iter().all(|step| is_rfc3339(&step["at"])), "{shown:#}");
    }
}

#[test]
fn an_open_incident_has_no_time_of_resolution_and_can_be_listed_alone() {
    let agent = agent_with_demo();
    agent.heals("demo");
    fs::write(agent.home().policies().join("demo.toml"), plugin::policy("observe", "demo")).unwrap();
    agent.until_status("observe mode", |status| status.policy("demo").is_some_and(|it| it.mode == "observe"));
    agent.until_watching("demo");
    agent.kill_service("demo");
    let open = agent.until_incident("demo", "suppressed");
    let listed = agent.json(&["incident", "list", "--open"]);
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!((&listed[0]["id"], &listed[0]["resolved_at"]), (&open.id.into(), &Value::Null));
    assert_eq!(agent.json(&["incident", "list"]).as_array().unwrap().len(), 2);
    let limited = agent.json(&["incident", "list", "--limit", "1"]);
    assert_eq!(limited.as_array().unwrap().len(), 1);
    assert_eq!(agent.json(&["status"])["open_incidents"]["suppressed"], 1);
}

#[test]
fn an_incident_is_told_to_people_and_found_by_the_beginning_of_its_id() {
    let agent = agent_with_demo();
    let incident = agent.heals("demo");
    let table = out(&agent.cli(&["incident", "list"]));
    let row = table.lines().find(|line| line.contains(&incident.id)).unwrap();
    assert!(["resolved", "demo", "signal 9"].iter().all(|word| row.contains(word)), "{table}");

    let (beginning, _) = incident.id.split_at(incident.id.len() - 1);
    let shown = agent.cli(&["incident", "show", beginning]);
    let story = out(&shown);
    assert_eq!(code(&shown), 0, "{shown:?}");
    let parts =
        ["signal 9", "service.down at demo", "policy demo", "service.restart demo", "-> active", "healthy", "resolved"];
    for part in parts.into_iter().chain([incident.id.as_str()]) {
        assert!(story.contains(part), "no `{part}` in\n{story}");
    }
    assert_eq!(agent.json(&["incident", "show", beginning])["id"], incident.id);

    // A beginning that several have is not guessed at.
    let other = agent.heals("demo");
    let common = incident.id.chars().zip(other.id.chars()).take_while(|(a, b)| a == b).count();
    assert!(common > 0, "{} and {} begin differently", incident.id, other.id);
    let shown = agent.cli(&["incident", "show", &incident.id[..common]]);
    assert_eq!(code(&shown), 1, "{shown:?}");
    assert!(err(&shown).contains("several"), "{shown:?}");
}

#[test]
fn an_unknown_incident_is_not_fine_and_what_cannot_be_an_id_is_bad_usage() {
    let agent = agent_with_demo();
    for arguments in [&["incident", "show", "zzzzzz"][..], &["incident", "show", "zzzzzz", "--json"]] {
        let shown = agent.cli(arguments);
        assert_eq!((code(&shown), out(&shown)), (1, String::new()), "{shown:?}");
        assert!(err(&shown).contains("there is no incident `zzzzzz`"), "{shown:?}");
    }
    for id in ["", "../status", "a b", "%2e"] {
        let shown = agent.cli(&["incident", "show", id]);
        assert_eq!(code(&shown), 2, "{shown:?}");
    }
}

#[test]
fn status_is_fine_or_says_what_is_not() {
    let agent = agent_with_demo();
    let shown = agent.cli(&["status"]);
    assert_eq!(code(&shown), 0, "{shown:?}");
    let text = out(&shown);
    for part in ["demo", "service-restart", "auto", "running", "open incidents: none", &agent.pid().to_string()] {
        assert!(text.contains(part), "no `{part}` in\n{text}");
    }
    let json = agent.json(&["status"]);
    has_keys(&json, &["version", "pid", "started_at", "open_incidents", "plugins", "policies", "problems"]);
    assert!(is_rfc3339(&json["started_at"]) && json["pid"] == agent.pid().as_raw_pid(), "{json:#}");

    fs::write(agent.home().policies().join("other.toml"), "plugin = 7\n").unwrap();
    agent.until_status("the broken policy", |status| !status.is_fine);
    let complaints = agent.complaints();
    assert!(complaints.contains("other.toml:1:10:"), "{complaints}");
    let output = agent.cli(&["status", "--json"]);
    assert_eq!(code(&output), 1);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(json["policies"].as_array().unwrap().iter().any(|it| it["name"] == "other" && it["problem"].is_string()));
}

#[test]
fn plugins_are_listed_with_what_is_wrong_with_them() {
    let agent = agent_with_demo();
    let listed = agent.cli(&["plugin", "list"]);
    assert_eq!(code(&listed), 0, "{listed:?}");
    assert!(out(&listed).contains("service-restart"), "{listed:?}");
    let json = agent.json(&["plugin", "list"]);
    assert_eq!((&json[0]["name"], &json[0]["problem"]), (&"service-restart".into(), &Value::Null));

    fs::write(agent.home().plugins().join("broken.wasm"), "text").unwrap();
    agent.until_status("the broken plugin", |status| status.plugin("broken").is_some());
    let listed = agent.cli(&["plugin", "list", "--json"]);
    assert_eq!(code(&listed), 1, "{listed:?}");
    let json: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert!(json[0]["name"] == "broken" && json[0]["problem"].is_string() && json[1]["problem"].is_null(), "{json:#}");
}

#[test]
fn inspect_shows_a_plugin_and_a_policy_that_heals_once_it_is_adapted() {
    let file = plugin::service_restart();
    let file = file.to_str().unwrap();
    let shown = salve(&["plugin", "inspect", file, "--json"]);
    assert_eq!(code(&shown), 0, "{shown:?}");
    let json: Value = serde_json::from_slice(&shown.stdout).unwrap();
    has_keys(
        &json,
        &["file", "bytes", "sha256", "name", "version", "summary", "imports", "wants", "config_schema", "policy"],
    );
    assert_eq!(json["name"], "service-restart");
    assert_eq!(json["bytes"].as_u64().unwrap(), fs::metadata(file).unwrap().len());
    let policy = json["policy"].as_str().unwrap();
    let text = out(&salve(&["plugin", "inspect", file]));
    assert!(text.contains(policy) && text.contains(json["sha256"].as_str().unwrap()), "{text}");

    // As it is printed it is valid, and does nothing; adapted it heals.
    let demo = Agent::builder().service("demo", "exec sleep infinity", "autostart = true");
    let agent = demo.plugin(file).policy("demo.toml", policy).start().unwrap();
    let status = agent.until_status("an instance", |status| status.instance("demo").is_some());
    let printed = status.policy("demo").unwrap();
    assert!(status.is_fine && printed.mode == "observe" && printed.problem.is_none(), "{status:#?}");
    let adapted = policy
        .replace("mode = \"observe\"", "mode = \"auto\"")
        .replace("services = []", "services = [\"demo\"]")
        .replace(":*\"", ":demo\"");
    fs::write(agent.home().policies().join("demo.toml"), adapted).unwrap();
    agent.until_status("auto mode", |status| status.policy("demo").is_some_and(|it| it.mode == "auto"));
    assert!(agent.until_watching("demo").is_fine);
    agent.heals("demo");
}

#[test]
fn inspect_says_what_is_wrong_with_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("x.wasm");
    let inspect = |file: &Path| salve(&["plugin", "inspect", file.to_str().unwrap()]);
    for broken in [&b"text"[..], b"\0asm\x01\0\0\0", b""] {
        fs::write(&file, broken).unwrap();
        let shown = inspect(&file);
        assert_eq!((code(&shown), out(&shown)), (1, String::new()), "{shown:?}");
        assert!(err(&shown).contains("x.wasm: "), "{shown:?}");
    }
    let shown = inspect(&directory.path().join("absent.wasm"));
    assert_eq!(code(&shown), 2, "{shown:?}");
    assert!(err(&shown).contains("absent.wasm"), "{shown:?}");
}

#[test]
fn check_finds_beforehand_what_status_would_say() {
    let agent = Agent::builder()
        .plugin(plugin::service_restart())
        .policy("demo.toml", &plugin::policy("auto", "demo"))
        .prepare()
        .unwrap();
    let config = agent.home().config();
    let check = || salve(&["check", "--config", config.to_str().unwrap()]);
    let checked = check();
    assert_eq!(code(&checked), 0, "{checked:?}");
    let text = out(&checked);
    assert!(text.contains("service-restart.wasm") && text.contains("demo.toml"), "{text}");
    assert!(!agent.home().state().join("ledger.sqlite").exists(), "it changes nothing");

    let policies = agent.home().policies();
    let pin = format!("sha256 = \"{}\"\n", "0".repeat(64));
    let cases = [
        ("syntax", "plugin = \n".to_owned(), "syntax.toml:1:10:"),
        ("key", "plugin = \"service-restart\"\nmod = \"auto\"\n".to_owned(), "key.toml:2:1: unknown key `mod`"),
        ("schema", "plugin = \"service-restart\"\n[config]\nservices = 7\n".to_owned(), "schema.toml:3:"),
        ("absent", "plugin = \"absent\"\n".to_owned(), "absent.wasm"),
        ("pin", format!("plugin = \"service-restart\"\n{pin}"), "pins 0000"),
    ];
    for (name, text, _) in &cases {
        fs::write(policies.join(name).with_extension("toml"), text).unwrap();
    }
    fs::write(agent.home().plugins().join("broken.wasm"), "text").unwrap();
    let checked = check();
    let text = out(&checked);
    assert_eq!(code(&checked), 1, "{checked:?}");
    for complaint in cases.iter().map(|(_, _, complaint)| *complaint).chain(["broken.wasm: "]) {
        let found = text.lines().any(|line| line.starts_with('!') && line.contains(complaint));
        assert!(found, "no `{complaint}` in\n{text}");
    }
    assert!(text.contains("6 with problems"), "{text}");

    fs::write(&config, "plugin = \"x\"\n").unwrap();
    let checked = check();
    assert_eq!(code(&checked), 2, "{checked:?}");
    assert!(err(&checked).contains("salve.toml:1:1: unknown key `plugin`; did you mean `plugins`?"), "{checked:?}");
}

#[test]
fn without_an_agent_every_question_is_answered_with_2_and_the_remedy() {
    for arguments in
        [&["status"][..], &["status", "--json"], &["plugin", "list"], &["incident", "list"], &["incident", "show", "x"]]
    {
        let answer = salve(arguments);
        assert_eq!((code(&answer), out(&answer)), (2, String::new()), "{answer:?}");
        let words = err(&answer);
        assert!(words.contains("/nonexistent/salve.sock") && words.contains("--socket"), "{words}");
    }
}

#[test]
fn the_socket_is_found_by_argument_or_environment_and_is_the_agents_alone() {
    use std::os::unix::fs::PermissionsExt;
    let agent = agent_with_demo();
    let socket = agent.home().socket();
    let mut command = Command::new(agent::binary().unwrap());
    let output = command.env("SALVE_SOCKET", &socket).arg("status").output().unwrap();
    assert_eq!(code(&output), 0, "{output:?}");
    // The argument counts more, also behind the command.
    let output = salve(&["status", "--socket", socket.to_str().unwrap()]);
    assert_eq!(code(&output), 0, "{output:?}");
    assert_eq!(fs::metadata(socket).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn bad_usage_is_2_and_help_is_0() {
    for arguments in [&["no-such-command"][..], &["status", "--no-such-option"], &["incident", "show"], &[]] {
        let answer = salve(arguments);
        assert_eq!((code(&answer), out(&answer)), (2, String::new()), "{answer:?}");
        assert!(err(&answer).contains("Usage:"), "{answer:?}");
    }
    for arguments in [&["--help"][..], &["--version"], &["incident", "list", "--help"]] {
        let answer = salve(arguments);
        assert_eq!((code(&answer), err(&answer)), (0, String::new()), "{answer:?}");
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_reason_to_panic() {
    let agent = agent_with_demo();
    let script = format!(
        "{} --socket {} status --json | true; echo done",
        agent::binary().unwrap().display(),
        agent.home().socket().display()
    );
    for _ in 0..5 {
        let output = Command::new("sh").args(["-c", &script]).output().unwrap();
        assert_eq!((out(&output), err(&output)), ("done\n".to_owned(), String::new()));
    }
}
