//! The plugin's decisions, natively: when a service that runs is unhealthy, and what is done about it in which order.

#![expect(clippy::unwrap_used, clippy::panic, reason = "the helpers of tests fail as the tests do")]

use std::time::Duration;

use salve_plugin_sdk::prelude::*;
use salve_plugin_sdk::testing::Harness;
use unhealthy_service::UnhealthyService;

const CONFIG: &str = r#"{ "probes": {
    "web": { "service": "nginx.service" },
    "api": { "service": "nginx.service", "slow": { "above": 2.0, "clear": 1.0, "for": "10s" } }
} }"#;

type Plugin = Harness<UnhealthyService>;

fn service(state: &str) -> Event {
    Event::new("service.state", "nginx.service").with("service.active_state", state)
}

fn probe(name: &str, status: &str, message: &str) -> Event {
    Event::new("probe.state", name).with("probe.status", status).with("probe.message", message)
}

/// With a service that has run for long, and both probes up.
fn plugin() -> Plugin {
    let mut plugin = Plugin::new(CONFIG).unwrap();
    plugin.batch(&[], vec![service("active"), probe("web", "up", ""), probe("api", "up", "")]);
    plugin.pass(Duration::from_secs(600));
    plugin
}

/// The same with the one probe down, and its fault.
fn unhealthy() -> (Plugin, Fault) {
    let mut plugin = plugin();
    let findings = plugin.event(probe("web", "down", "timed out after 5 s"));
    let [Finding::Present(fault)] = &findings[..] else { panic!("{findings:?}") };
    let fault = fault.clone();
    (plugin, fault)
}

fn raised(findings: &[Finding]) -> Vec<&str> {
    findings
        .iter()
        .filter_map(|finding| if let Finding::Present(fault) = finding { Some(fault.kind.as_str()) } else { None })
        .collect()
}

fn cleared(findings: &[Finding], kind: &str) -> bool {
    findings.contains(&Fault::new(kind, "nginx.service").cleared())
}

fn answers(plugin: &mut Plugin, times: u32, seconds: f64) -> Vec<Finding> {
    (0..times).flat_map(|_| plugin.sample("probe.duration", &[("probe.name", "api")], seconds)).collect()
}

fn kinds(recovery: &Recovery) -> Vec<&str> {
    match recovery {
        Recovery::Act(plan) => plan.actions.iter().map(|action| action.kind.as_str()).collect(),
        _ => vec![],
    }
}

#[test]
fn a_service_that_runs_and_does_not_answer_is_unhealthy() {
    let (mut plugin, fault) = unhealthy();
    assert_eq!((fault.kind.as_str(), fault.target.as_str()), ("service.unhealthy", "nginx.service"));
    assert_eq!(fault.summary, "nginx.service runs, but probe web: timed out after 5 s");
    assert_eq!(plugin.diagnose(&fault)[0].path, ["service.unhealthy", "hang"]);
    assert_eq!(plugin.batch(&[], vec![]), [], "it is said once");
    assert_eq!(raised(&plugin.event(probe("api", "down", "refused"))), ["service.unhealthy"], "there is more to say");
    assert!(!cleared(&plugin.event(probe("web", "up", "")), "service.unhealthy"));
    assert!(cleared(&plugin.event(probe("api", "up", "")), "service.unhealthy"));
}

#[test]
fn a_probe_that_waits_in_vain_tells_of_a_hang_whatever_its_kind() {
    for message in ["no answer within 2 s", "`/usr/bin/pg_isready` did not end within 3 s and was killed"] {
        let mut plugin = plugin();
        assert_eq!(raised(&plugin.event(probe("web", "down", message))), ["service.unhealthy"]);
        let cause = plugin.diagnose(&Fault::new("service.unhealthy", "nginx.service")).remove(0);
        assert_eq!(cause.summary, "it runs and hangs", "{message}");
    }
}

#[test]
fn a_service_that_is_down_or_was_stopped_or_is_not_known_is_left_alone() {
    for (event, clears) in [
        (service("failed"), false),
        (service("inactive"), false),
        (service("activating"), false),
        (service("inactive").with("service.stop_requested", true), true),
        (service("failed").with("service.stop_requested", true), true),
    ] {
        let mut before = plugin();
        before.event(event.clone());
        assert!(raised(&before.event(probe("web", "down", ""))).is_empty(), "{event:?}");
        // One that is found unhealthy and goes down then is no less unhealthy, unless somebody wants it so.
        let (mut after, fault) = unhealthy();
        assert_eq!(cleared(&after.event(event.clone()), "service.unhealthy"), clears, "{event:?}");
        assert_eq!(after.verify(&fault, vec![]) == Verdict::Healthy, clears, "{event:?}");
        assert!(matches!(after.recover(&fault, vec![]), Recovery::Wait(_)));
    }
    let mut unknown = Plugin::new(CONFIG).unwrap();
    assert_eq!(unknown.event(probe("web", "down", "")), []);
    assert_eq!(unknown.verify(&Fault::new("service.unhealthy", "nginx.service"), vec![]), Verdict::Undecided);
}

#[test]
fn the_stop_that_is_part_of_our_own_restart_is_nobodys_wish() {
    let (mut plugin, fault) = unhealthy();
    let stop = service("inactive").with("service.stop_requested", true);
    let findings = plugin.event(Event { caused_by: Some("test".into()), ..stop });
    assert!(!cleared(&findings, "service.unhealthy"));
    assert!(matches!(plugin.verify(&fault, vec![]), Verdict::Unhealthy(_)));
}

#[test]
fn a_service_that_has_just_started_is_given_time_to_warm_up() {
    let mut plugin = plugin();
    plugin.event(service("active"));
    assert_eq!(plugin.event(probe("web", "down", "")), []);
    plugin.pass(Duration::from_secs(20));
    assert_eq!(plugin.batch(&[], vec![]), []);
    plugin.pass(Duration::from_secs(10));
    // Nothing came in but the time.
    assert_eq!(raised(&plugin.batch(&[], vec![])), ["service.unhealthy"]);
}

#[test]
fn what_could_not_be_asked_and_a_warning_are_no_faults() {
    let mut plugin = plugin();
    for status in ["unknown", "warning", "gibberish", ""] {
        assert!(raised(&plugin.event(probe("web", status, ""))).is_empty(), "{status}");
    }
    // And what is not known does not clear one.
    let (mut plugin, _) = unhealthy();
    assert!(!cleared(&plugin.event(probe("web", "unknown", "")), "service.unhealthy"));
}

#[test]
fn the_ladder_is_reload_then_restart_then_a_person() {
    let (mut plugin, fault) = unhealthy();
    let mut attempts = Vec::new();
    for expected in ["service.reload", "service.restart"] {
        let recovery = plugin.recover(&fault, attempts.clone());
        assert_eq!(kinds(&recovery), [expected]);
        let Recovery::Act(plan) = recovery else { panic!("a plan") };
        attempts.push(plugin.attempt(attempts.len() as u32 + 1, &plan, Verdict::Unhealthy("down".into())));
    }
    let reason = "nginx.service runs, but probe web: timed out after 5 s, also after 2 attempts";
    assert_eq!(plugin.recover(&fault, attempts.clone()), Recovery::escalate(reason));
    // Not if somebody stops it meanwhile; and if an attempt has left it down, all the more.
    plugin.event(service("failed"));
    assert_eq!(kinds(&plugin.recover(&fault, attempts[..1].to_vec())), ["service.restart"]);
    plugin.event(service("inactive").with("service.stop_requested", true));
    assert!(matches!(plugin.recover(&fault, attempts[..1].to_vec()), Recovery::Wait(_)));
    let config = CONFIG.replace("{ \"probes\"", "{ \"reload\": false, \"restarts\": 0, \"probes\"");
    assert!(
        matches!(plugin.restart(&config).unwrap().recover(&fault, vec![]), Recovery::Wait(_)),
        "nothing is known yet"
    );
}

#[test]
fn it_worked_when_every_probe_is_up_again() {
    let (mut plugin, fault) = unhealthy();
    let Recovery::Act(plan) = plugin.recover(&fault, vec![]) else { panic!("a plan") };
    let mut attempt = plugin.attempt(1, &plan, Verdict::Undecided);
    attempt.verdict = None;
    assert_eq!(plugin.verify(&fault, vec![attempt.clone()]), Verdict::Undecided, "it may still rise");
    let mut failed = attempt.clone();
    failed.outcomes[0].ok = false;
    assert!(matches!(plugin.verify(&fault, vec![failed]), Verdict::Unhealthy(_)), "nothing was done");
    // While it restarts, and after.
    plugin.event(service("active"));
    plugin.event(probe("web", "up", ""));
    assert_eq!(plugin.verify(&fault, vec![attempt.clone()]), Verdict::Healthy);
    // A restart that leaves it dead did not work.
    plugin.event(service("failed"));
    assert_eq!(plugin.verify(&fault, vec![attempt]), Verdict::Unhealthy("nginx.service is failed".into()));
}

#[test]
fn slow_answers_are_a_fault_of_their_own() {
    let mut plugin = plugin();
    assert!(raised(&answers(&mut plugin, 10, 3.0)).is_empty());
    assert_eq!(raised(&answers(&mut plugin, 30, 3.0)), ["service.slow"], "once");
    let fault = Fault::new("service.slow", "nginx.service");
    assert_eq!(plugin.diagnose(&fault)[0].path, ["service.slow", "slow"]);
    let Recovery::Act(plan) = plugin.recover(&fault, vec![]) else { panic!("a plan") };
    let mut attempt = plugin.attempt(1, &plan, Verdict::Undecided);
    attempt.verdict = None;
    assert_eq!(plugin.verify(&fault, vec![attempt.clone()]), Verdict::Undecided);
    // A restart of the plugin forgets neither: the host tells it the states again.
    let mut plugin = plugin.restart(CONFIG).unwrap();
    let events = vec![service("active"), probe("web", "up", ""), probe("api", "up", "")];
    plugin.batch(&[], events.into_iter().map(|event| Event { at: 1, ..event }).collect());
    assert!(matches!(plugin.verify(&fault, vec![]), Verdict::Unhealthy(_)));
    assert!(raised(&answers(&mut plugin, 1, 1.5)).is_empty());
    assert!(!cleared(&answers(&mut plugin, 1, 1.5), "service.slow"), "not quick enough");
    assert!(cleared(&answers(&mut plugin, 1, 0.5), "service.slow"));
    assert_eq!(plugin.verify(&fault, vec![attempt]), Verdict::Healthy);
}

#[test]
fn what_does_not_answer_at_all_is_not_slow() {
    let mut plugin = plugin();
    plugin.event(probe("api", "down", "timed out"));
    assert!(raised(&answers(&mut plugin, 30, 10.0)).is_empty());
}

#[test]
fn garbage_says_nothing() {
    let mut plugin = plugin();
    for value in [f64::NAN, f64::INFINITY, -1.0] {
        assert!(raised(&answers(&mut plugin, 100, value)).is_empty());
    }
    assert_eq!(plugin.event(probe("else", "down", "")), []);
    assert_eq!(plugin.event(Event::new("probe.state", "web")), []);
    plugin.event(service("gibberish"));
    assert_eq!(plugin.event(probe("web", "down", "")), []);
    let unknown = Fault::new("service.unhealthy", "else.service");
    assert_eq!(plugin.verify(&unknown, vec![]), Verdict::Undecided);
    assert!(plugin.diagnose(&unknown).is_empty());
}

#[test]
fn a_configuration_that_makes_no_sense_is_refused() {
    for (config, reason) in [
        (r#"{ "probes": { "web": {} } }"#, "missing field `service`"),
        (r#"{ "probes": { "web": { "service": "app@*.service" } } }"#, "name the one service"),
        (r#"{ "probes": { "web": { "service": "a", "slow": { "over": 1 } } } }"#, "unknown field `over`"),
        (r#"{ "probe": {} }"#, "unknown field `probe`"),
    ] {
        let error = Plugin::new(config).err().unwrap();
        assert!(error.contains(reason), "{config}: {error}");
    }
}

#[test]
fn the_ready_policy_is_valid() {
    let policy: serde_json::Value = toml::from_str(include_str!("../policy.toml")).unwrap();
    assert_eq!((policy["plugin"].as_str(), policy["mode"].as_str()), (Some("unhealthy-service"), Some("approve")));
    Plugin::new(&policy["config"].to_string()).unwrap();
}
