//! Plugins and policies that come, change, break and go while the agent runs, on this machine, with a service of the
//! agent's own. A bad file never takes a good one down.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use salve_tests::agent::{Agent, Builder, Status};
use salve_tests::{plugin, wait};

/// How long to look out for what must not happen.
const WHILE: Duration = Duration::from_millis(500);

/// An agent with the service `demo`, and neither plugin nor policy.
fn bare() -> Builder {
    Agent::builder().service("demo", "exec sleep infinity", "autostart = true")
}

fn policy() -> String {
    plugin::policy("auto", "demo")
}

/// An agent whose policy `demo` looks after the service `demo`.
fn healer() -> Agent {
    let agent = bare().plugin(plugin::service_restart()).policy("demo.toml", &policy()).start().unwrap();
    agent.until_watching("demo");
    agent.heals("demo");
    agent
}

fn plugin_file(agent: &Agent) -> PathBuf {
    agent.home().plugins().join("service-restart.wasm")
}

fn policy_file(agent: &Agent) -> PathBuf {
    agent.home().policies().join("demo.toml")
}

/// Puts a file in place at one stroke, as `mv` and good installers do.
fn rename_into_place(file: &Path, content: &[u8]) {
    let beside = file.with_extension("part");
    fs::write(&beside, content).unwrap();
    fs::rename(beside, file).unwrap();
}

fn digest(status: &Status) -> String {
    status.plugin("service-restart").unwrap().digest.clone().unwrap()
}

#[test]
fn a_plugin_that_is_renamed_into_place_heals_at_once() {
    let agent = bare().policy("demo.toml", &policy()).start().unwrap();
    agent.until_complaint(&["policy demo: there is no ", "/service-restart.wasm"]);
    rename_into_place(&plugin_file(&agent), &fs::read(plugin::service_restart()).unwrap());
    agent.until_watching("demo");
    assert!(agent.until_fine().instance("demo").is_some());
    agent.heals("demo");
}

#[test]
fn a_plugin_that_is_copied_in_small_steps_heals_when_it_is_complete() {
    let agent = bare().policy("demo.toml", &policy()).start().unwrap();
    let content = fs::read(plugin::service_restart()).unwrap();
    let mut file = File::create(plugin_file(&agent)).unwrap();
    for chunk in content.chunks(16 * 1024) {
        file.write_all(chunk).unwrap();
        file.sync_all().unwrap();
    }
    drop(file);
    agent.until_watching("demo");
    agent.until_fine();
    agent.heals("demo");
}

#[test]
fn a_copy_that_pauses_halfway_leaves_the_plugin_before_it_at_work() {
    let agent = healer();
    let before = agent.until_fine();
    let content = plugin::another_build(&plugin::service_restart(), "copied slowly");
    let (first, second) = content.split_at(content.len() / 2);
    let mut file = File::create(plugin_file(&agent)).unwrap();
    file.write_all(first).unwrap();
    file.sync_all().unwrap();
    // Nothing tells half a file from a whole one that is broken, once it is left alone: the agent says so meanwhile.
    agent.until_complaint(&["plugin service-restart: "]);
    agent.still_heals("demo", &before);
    for chunk in second.chunks(16 * 1024) {
        file.write_all(chunk).unwrap();
        file.sync_all().unwrap();
    }
    drop(file);
    let old = digest(&before);
    agent.until_status("the other build", |status| status.is_fine && digest(status) != old);
    agent.until_watching("demo");
    agent.heals("demo");
}

#[test]
fn another_build_written_over_a_plugin_takes_its_place() {
    let agent = healer();
    let mut before = agent.until_fine();
    for note in ["second build", "third build"] {
        fs::write(plugin_file(&agent), plugin::another_build(&plugin::service_restart(), note)).unwrap();
        let old = digest(&before);
        before = agent.until_status("another digest", |status| status.is_fine && digest(status) != old);
        agent.until_watching("demo");
        agent.heals("demo");
    }
}

#[test]
fn a_plugin_that_is_removed_is_unloaded_and_heals_again_when_it_is_back() {
    let agent = healer();
    let incidents = agent.incidents().len();
    fs::remove_file(plugin_file(&agent)).unwrap();
    agent.until_complaint(&["policy demo: there is no ", "/service-restart.wasm"]);
    let status = agent.status();
    assert!(status.plugins.is_empty() && status.instance("demo").is_none(), "{status:#?}");
    agent.kill_service("demo");
    agent.until("the service to be dead", || agent.service("demo").is_none().then_some(()));
    wait::never("a start or an incident", WHILE, || {
        (agent.service("demo").is_some() || agent.incidents().len() > incidents).then(|| agent.incidents())
    });

    rename_into_place(&plugin_file(&agent), &fs::read(plugin::service_restart()).unwrap());
    agent.until_service("demo", None); // The new instance is told how the service is.
    agent.until_incident("demo", "resolved");
    assert_eq!(agent.incidents().len(), incidents + 1);
    agent.until_fine();
}

#[test]
fn a_broken_file_in_the_place_of_a_plugin_leaves_the_one_before_it_at_work() {
    let agent = healer();
    let before = agent.until_fine();
    let good = fs::read(plugin::service_restart()).unwrap();
    let (truncated, _) = good.split_at(good.len() / 2);
    let core_module = b"\0asm\x01\0\0\0";
    for broken in [truncated, b"no WebAssembly at all\n", core_module, b""] {
        rename_into_place(&plugin_file(&agent), broken);
        let why = agent.until_complaint(&["plugin service-restart: "]);
        if broken == core_module {
            assert!(why.contains("component"), "it should say what a core module lacks: {why}");
        }
        agent.still_heals("demo", &before);
        rename_into_place(&plugin_file(&agent), &good);
        agent.until_fine();
        agent.still_heals("demo", &before);
    }
}

#[test]
fn a_policy_that_changes_applies_at_once() {
    let agent = healer();
    fs::write(policy_file(&agent), plugin::policy("observe", "demo")).unwrap();
    agent.until_status("observe mode", |status| status.policy("demo").is_some_and(|it| it.mode == "observe"));
    agent.until_watching("demo");
    agent.kill_service("demo");
    let suppressed = agent.until_incident("demo", "suppressed");
    wait::never("a start in observe mode", WHILE, || agent.service("demo"));

    rename_into_place(&policy_file(&agent), policy().as_bytes());
    let resolved = agent.until_state(&suppressed.id, "resolved");
    assert_eq!(resolved.attempts.len(), 1, "{resolved:#?}");
    agent.heals("demo");
}

#[test]
fn a_policy_that_breaks_leaves_the_one_before_it_in_force() {
    let agent = healer();
    let before = agent.until_fine();
    let policy = policy();
    let line = |text: &str| 1 + policy.lines().position(|line| line.starts_with(text)).unwrap();
    let edit = |from: &str, to: &str| {
        assert!(policy.contains(from), "{from}");
        policy.replacen(from, to, 1)
    };
    let (mode, attempts, settle) = (line("mode"), line("attempts"), line("settle"));
    let cases = [
        (edit("mode = \"auto\"", "mode = auto"), format!("demo.toml:{mode}:8:")),
        (edit("mode = ", "mod = "), format!("demo.toml:{mode}:1: unknown key `mod`; did you mean `mode`?")),
        (
            edit("attempts", "atempts"),
            format!("demo.toml:{attempts}:1: unknown key `atempts`; did you mean `attempts`?"),
        ),
        (edit("settle = \"50ms\"", "settle = 50"), format!("demo.toml:{settle}:")),
        (edit("settle = \"50ms\"", "settle = \"5 parsecs\""), "policy demo: ".to_owned()),
        (
            edit("settle = ", "setle = "),
            format!("demo.toml:{settle}:1: [config].setle: unknown key `setle`; did you mean `settle`?"),
        ),
        (edit("service.restart:", "service.explode:"), "service.explode".to_owned()),
        (String::new(), "missing field `plugin`".to_owned()),
        ("\u{1}".to_owned(), "demo.toml:1:".to_owned()),
    ];
    for (broken, complaint) in cases {
        fs::write(policy_file(&agent), broken).unwrap();
        agent.until_complaint(&["policy demo: ", &complaint]);
        agent.still_heals("demo", &before);
        fs::write(policy_file(&agent), &policy).unwrap();
        agent.until_fine();
    }
    fs::write(policy_file(&agent), b"plugin = \"\xff\"").unwrap();
    agent.until_complaint(&["policy demo: ", "not UTF-8"]);
    agent.still_heals("demo", &before);
}

#[test]
fn a_policy_for_a_plugin_that_is_not_there_says_so_and_which_was_meant() {
    let agent = healer();
    let before = agent.until_fine();
    let other = agent.home().policies().join("other.toml");
    fs::write(&other, "plugin = \"service-restarts\"\n").unwrap();
    agent.until_complaint(&["policy other: there is no ", "/service-restarts.wasm", "did you mean `service-restart`?"]);
    agent.still_heals("demo", &before);
    fs::remove_file(other).unwrap();
    assert!(agent.until_fine().policy("other").is_none());
}

#[test]
fn a_plugin_without_a_policy_observes() {
    let agent = bare().plugin(plugin::service_restart()).start().unwrap();
    let status = agent.until_status("an instance", |status| status.instance("service-restart").is_some());
    let policy = status.policy("service-restart").unwrap();
    assert!(status.is_fine && !policy.written, "{status:#?}");
    assert_eq!((policy.mode.as_str(), policy.plugin.as_str()), ("observe", "service-restart"));
    // A policy takes it over, and without it the plugin observes again.
    fs::write(policy_file(&agent), self::policy()).unwrap();
    let status = agent.until_watching("demo");
    assert!(status.policy("service-restart").is_none(), "{status:#?}");
    agent.heals("demo");
    fs::remove_file(policy_file(&agent)).unwrap();
    let status = agent.until_status("the policy to be gone", |status| status.policy("demo").is_none());
    assert!(status.is_fine && status.instance("service-restart").is_some(), "{status:#?}");
    let incidents = agent.incidents().len();
    agent.kill_service("demo");
    agent.until("the service to be dead", || agent.service("demo").is_none().then_some(()));
    wait::never("a start or an incident", WHILE, || {
        (agent.service("demo").is_some() || agent.incidents().len() > incidents).then(|| agent.incidents())
    });
}

#[test]
fn a_plugin_of_another_digest_than_its_policy_pins_does_not_run() {
    let agent = bare().plugin(plugin::service_restart()).start().unwrap();
    let digest = digest(&agent.until_status("an instance", |status| status.instance("service-restart").is_some()));
    let pinned = |digest: &str| format!("sha256 = \"{digest}\"\n{}", policy());
    fs::write(policy_file(&agent), pinned(&"0".repeat(64))).unwrap();
    agent.until_complaint(&["policy demo: ", &digest, &"0".repeat(64)]);
    assert!(agent.status().instance("demo").is_none());
    fs::write(policy_file(&agent), pinned(&digest.to_ascii_uppercase())).unwrap();
    agent.until_fine();
    agent.until_watching("demo");
    agent.heals("demo");

    // Another build does not take the place of the pinned one, as long as the pin is not another too.
    let before = agent.status();
    rename_into_place(&plugin_file(&agent), &plugin::another_build(&plugin::service_restart(), "another"));
    let complaint = agent.until_complaint(&["policy demo: ", "the policy pins", &digest]);
    let since = |status: &Status| status.instance("demo").unwrap().since.clone();
    agent.heals("demo");
    assert_eq!(since(&agent.status()), since(&before), "{complaint}");
    let new = self::digest(&agent.status());
    assert_ne!(new, digest);
    fs::write(policy_file(&agent), pinned(&new)).unwrap();
    agent.until_fine();
    agent.until_watching("demo");
    agent.heals("demo");
}

#[test]
fn a_plugins_directory_that_is_moved_away_leaves_what_runs_and_is_used_when_made_anew() {
    let agent = healer();
    let before = agent.until_fine();
    let (plugins, aside) = (agent.home().plugins(), agent.home().path().join("aside"));
    fs::rename(&plugins, &aside).unwrap();
    agent.until_complaint(&["plugins cannot be read", "what runs keeps running"]);
    agent.still_heals("demo", &before);
    fs::create_dir(&plugins).unwrap();
    let other = plugin::another_build(&plugin::service_restart(), "anew");
    rename_into_place(&plugin_file(&agent), &other);
    let old = digest(&before);
    agent.until_status("the other build", |status| status.is_fine && digest(status) != old);
    agent.until_watching("demo");
    agent.heals("demo");
    // The new directory is watched as the old one was, and the old one is not any more.
    fs::write(aside.join("service-restart.wasm"), "nothing").unwrap();
    rename_into_place(&plugin_file(&agent), &fs::read(plugin::service_restart()).unwrap());
    agent.until_status("the first build", |status| status.is_fine && digest(status) == old);
}

#[test]
fn a_plugins_directory_that_is_exchanged_at_one_stroke_is_used() {
    let agent = healer();
    let old = digest(&agent.until_fine());
    let (plugins, fresh) = (agent.home().plugins(), agent.home().path().join("fresh"));
    fs::create_dir(&fresh).unwrap();
    let other = plugin::another_build(&plugin::service_restart(), "exchanged");
    fs::write(fresh.join("service-restart.wasm"), other).unwrap();
    fs::rename(&plugins, agent.home().path().join("aside")).unwrap();
    fs::rename(&fresh, &plugins).unwrap();
    agent.until_status("the other build", |status| status.is_fine && digest(status) != old);
    agent.until_watching("demo");
    agent.heals("demo");
}
