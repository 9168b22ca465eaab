//! A plugin that fails again and again, on this machine: it is not called any more, its neighbour heals meanwhile, nothing of
//! what it knew is lost, and it comes back when a person says so, or with other bytes.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::fs;
use std::time::Duration;

use salve::incident::ledger::{Ledger, Quota};
use salve_tests::agent::{Agent, Builder, Incident, Status};
use salve_tests::{plugin, wait};

/// How long to look out for what must not happen.
const WHILE: Duration = Duration::from_millis(700);

const SUPERVISION: &str = r#"[agent.supervision]
strikes = "3/10m"
backoff = { initial = "50ms", factor = 1.0, max = "50ms" }"#;

/// An agent whose policy `web` looks after the service `web`, and whose policy `bad` has a plugin that does `deed` with the
/// fourth batch, after its fault at `demo` was found.
fn beside(deed: &str) -> Builder {
    Agent::builder()
        .service("web", "exec sleep infinity", "autostart = true")
        .tables(SUPERVISION)
        .plugin(plugin::service_restart())
        .plugin(plugin::guest("misbehaving"))
        .policy("web.toml", &plugin::policy("auto", "web"))
        .policy("bad.toml", &policy(deed))
}

fn policy(deed: &str) -> String {
    format!("plugin = \"misbehaving\"\n[config]\nin = \"detect\"\ndeed = \"{deed}\"\nafter = 3\n")
}

fn until_quarantined(agent: &Agent) -> Status {
    agent.until_status("a quarantine", |status| status.instance("bad").is_some_and(|it| it.state == "quarantined"))
}

fn state_keys(agent: &Agent) -> Vec<String> {
    let state = Ledger::open(&agent.home().state()).unwrap().plugin_state().unwrap();
    state.keys("bad", &Quota::default()).unwrap()
}

fn fault(agent: &Agent) -> Incident {
    agent.until_incident("demo", "escalated")
}

fn said(agent: &Agent, arguments: &[&str]) -> String {
    let output = agent.cli(arguments);
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_plugin_that_always_traps_is_quarantined_and_its_neighbour_heals() {
    let mut agent = beside("panic").start().unwrap();
    agent.until_watching("web");
    agent.heals("web");
    let status = until_quarantined(&agent);
    let (calls, traps) = status.instance("bad").map(|it| (it.calls, it.traps)).unwrap();
    assert!(calls >= 12 && traps == 3, "three times three batches that went well, and one that did not: {status:#?}");
    let complaints = agent.complaints();
    for words in ["policy bad: its plugin is quarantined: 3 strikes within 10m", "`salve plugin release misbehaving`"] {
        assert!(complaints.contains(words), "{complaints}");
    }
    // What it said at last, and where.
    for words in
        ["panicked at misbehaving/src/lib.rs", "the plugin says goodbye; at misbehaving::Misbehaving::misbehave"]
    {
        assert!(complaints.contains(words) && agent.log().contains(words), "{complaints}\n{}", agent.log());
    }
    let list = agent.cli(&["plugin", "list"]);
    assert_eq!(list.status.code(), Some(1), "{list:?}");
    assert!(String::from_utf8_lossy(&list.stdout).contains("quarantined (bad)"), "{list:?}");

    // Its incident is with a person, for that reason; nothing of it is called, and the neighbour does its work.
    let incident = fault(&agent);
    assert!(incident.reason().starts_with("its plugin misbehaving is quarantined: 3 strikes"), "{incident:#?}");
    agent.heals("web");
    wait::never("a call", WHILE, || {
        let status = agent.status();
        let instance = status.instance("bad").unwrap();
        (instance.calls != calls || instance.state != "quarantined").then(|| instance.clone())
    });

    // Neither a restart nor a plugin that goes and comes changes that.
    agent.restart().unwrap();
    assert_eq!(until_quarantined(&agent).instance("bad").unwrap().calls, 0);
    let file = agent.home().plugins().join("misbehaving.wasm");
    let bytes = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    agent.until_status("no instance", |status| status.instance("bad").is_none());
    fs::write(&file, &bytes).unwrap();
    assert_eq!(until_quarantined(&agent).instance("bad").unwrap().calls, 0);
    assert_eq!(agent.incident(&incident.id).state, "escalated");
    agent.until_watching("web");
    agent.heals("web");

    // Other bytes lift it; they are as bad.
    fs::write(&file, plugin::another_build(&plugin::guest("misbehaving"), "better")).unwrap();
    agent.until("the other build", || agent.log().contains("plugin or policy changed").then_some(()));
    let status = until_quarantined(&agent);
    assert_eq!(status.instance("bad").unwrap().traps, 3, "{status:#?}");

    // Another policy too, under which it does no wrong: its incident goes on.
    fs::write(agent.home().policies().join("bad.toml"), policy("nothing")).unwrap();
    agent.until_fine();
    let incident = agent.until_state(&incident.id, "suppressed");
    let went_on = |step: &salve_tests::agent::Transition| step.reason == "its plugin is not quarantined any more";
    assert!(incident.transitions.iter().any(went_on), "{incident:#?}");
}

#[test]
fn a_person_releases_it_and_what_it_kept_is_still_there() {
    let mut agent = beside("state-bomb").start().unwrap();
    until_quarantined(&agent);
    for nobody in ["nobody", "no body/../x?y"] {
        let refused = said(&agent, &["plugin", "release", nobody]);
        assert!(refused.contains(&format!("no plugin or policy `{nobody}` is quarantined")), "{refused}");
    }
    agent.stop();
    let kept = state_keys(&agent);
    assert!(kept.len() > 10, "{kept:?}");
    agent.start().unwrap();
    until_quarantined(&agent);

    let released = said(&agent, &["plugin", "release", "misbehaving", "--reason", "it has learnt"]);
    assert!(released.contains(": it has learnt; it starts again under policy bad"), "{released}");
    // It is called again, and has all its strikes before it again.
    let status = agent.until_status("strikes", |status| status.instance("bad").is_some_and(|it| it.traps == 3));
    assert!(status.instance("bad").unwrap().calls > 3, "{status:#?}");
    until_quarantined(&agent);
    assert!(agent.log().contains("not quarantined any more: released by "), "{}", agent.log());
    agent.stop();
    assert!(kept.iter().all(|key| state_keys(&agent).contains(key)));
}

#[test]
fn answers_that_cannot_be_accepted_are_strikes() {
    let agent = beside("empty-names").start().unwrap();
    let status = until_quarantined(&agent);
    let (calls, traps) = status.instance("bad").map(|it| (it.calls, it.traps)).unwrap();
    // The instance is as good as before: it is not started anew for that.
    assert!(calls >= 6 && traps == 0, "{status:#?}");
    assert!(agent.complaints().contains("the last: `detect` answered with an empty kind"), "{}", agent.complaints());
    assert!(fault(&agent).reason().contains("is quarantined"));
}
