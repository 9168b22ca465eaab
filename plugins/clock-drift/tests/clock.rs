//! The plugin's decisions, natively: when the clock is off for long enough to matter, and when it is right again.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::time::Duration;

use clock_drift::ClockDrift;
use salve_plugin_sdk::prelude::*;
use salve_plugin_sdk::state;
use salve_plugin_sdk::testing::Harness;

const REMEDY: &str = r#"{ "remedy": "service.restart:chrony.service" }"#;

fn plugin(config: &str) -> Harness<ClockDrift> {
    // State is kept for each thread: that of an earlier plugin of the same test is none of this one's.
    state::keys().iter().for_each(|key| state::delete(key).unwrap());
    Harness::new(config).unwrap()
}

/// Readings every ten seconds for so long; the last findings.
fn readings(plugin: &mut Harness<ClockDrift>, seconds: u64, offset: f64, synchronized: f64) -> Vec<Finding> {
    let mut findings = vec![];
    for _ in 0..seconds / 10 + 1 {
        plugin.pass(Duration::from_secs(9));
        let samples = [("system.clock.offset", &[][..], offset), ("system.clock.synchronized", &[][..], synchronized)];
        findings = plugin.batch(&samples, vec![]);
    }
    findings
}

fn raised(findings: &[Finding]) -> Vec<&str> {
    let present = findings.iter().filter_map(|it| if let Finding::Present(it) = it { Some(it) } else { None });
    present.map(|fault| fault.kind.as_str()).collect()
}

#[test]
fn a_clock_that_is_off_for_a_minute_either_way_is_a_fault() {
    for offset in [0.8, -0.8] {
        let mut plugin = plugin("{}");
        readings(&mut plugin, 100, 0.001, 1.0);
        assert!(raised(&readings(&mut plugin, 50, offset, 1.0)).is_empty());
        assert_eq!(raised(&readings(&mut plugin, 10, offset, 1.0)), ["clock.drift"]);
        assert_eq!(raised(&readings(&mut plugin, 60, offset / 4.0, 1.0)), ["clock.drift"], "not right enough yet");
        assert!(raised(&readings(&mut plugin, 10, offset / 10.0, 1.0)).is_empty());
    }
}

#[test]
fn a_clock_that_nothing_sets_is_a_warning_after_a_while() {
    let mut plugin = plugin("{}");
    assert!(raised(&readings(&mut plugin, 890, 0.0, 0.0)).is_empty());
    assert_eq!(raised(&readings(&mut plugin, 10, 0.0, 0.0)), ["clock.unsynchronized"]);
    let findings = readings(&mut plugin, 0, 0.0, 1.0);
    assert!(findings.contains(&Fault::new("clock.unsynchronized", "clock").cleared()));
}

#[test]
fn garbage_says_nothing() {
    let mut plugin = plugin("{}");
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert_eq!(readings(&mut plugin, 2000, value, value), []);
    }
    assert_eq!(plugin.event(Event::new("system.clock.offset", "x")), []);
}

#[test]
fn a_restart_of_the_plugin_neither_heals_nor_forgets() {
    let mut plugin = plugin(REMEDY);
    readings(&mut plugin, 100, 3.0, 1.0);
    let fault = Fault::new("clock.drift", "clock");
    let mut plugin = plugin.restart(REMEDY).unwrap();
    assert_eq!(plugin.verify(&fault, vec![]), Verdict::Undecided);
    assert_eq!(raised(&readings(&mut plugin, 0, 3.0, 1.0)), ["clock.drift"]);
    assert!(matches!(plugin.verify(&fault, vec![]), Verdict::Unhealthy(_)));
    // With another limit it has to learn anew, and says nothing until then.
    let mut plugin = plugin.restart(r#"{ "offset": { "above": 2, "for": "1m" } }"#).unwrap();
    readings(&mut plugin, 0, 3.0, 1.0);
    assert_eq!(plugin.verify(&fault, vec![]), Verdict::Undecided);
    let attempt = plugin.attempt(1, &Plan::new([]), Verdict::Unhealthy("off".into()));
    readings(&mut plugin, 60, 0.0, 1.0);
    assert_eq!(plugin.verify(&fault, vec![attempt]), Verdict::Healthy);
}

#[test]
fn the_verdict_waits_for_the_clock_to_be_slewed() {
    let mut plugin = plugin(REMEDY);
    readings(&mut plugin, 100, 3.0, 1.0);
    let fault = Fault::new("clock.drift", "clock");
    let Recovery::Act(plan) = plugin.recover(&fault, vec![]) else { panic!("a plan") };
    assert_eq!(plan.actions, [Action::restart_service("chrony.service")]);
    let mut attempt = plugin.attempt(1, &plan, Verdict::Undecided);
    attempt.verdict = None;
    readings(&mut plugin, 30, 2.0, 1.0);
    assert_eq!(plugin.verify(&fault, vec![attempt.clone()]), Verdict::Undecided);
    readings(&mut plugin, 30, 0.0, 1.0);
    assert_eq!(plugin.verify(&fault, vec![attempt.clone()]), Verdict::Healthy);
    // An action that failed slews nothing.
    readings(&mut plugin, 100, 3.0, 1.0);
    attempt.outcomes[0].ok = false;
    assert!(matches!(plugin.verify(&fault, vec![attempt.clone()]), Verdict::Unhealthy(_)));
    attempt.verdict = Some(Verdict::Unhealthy("off".into()));
    assert!(matches!(plugin.recover(&fault, vec![attempt]), Recovery::Escalate(_)));
}

#[test]
fn an_unsynchronised_clock_is_why_it_drifts() {
    let mut plugin = plugin("{}");
    let fault = Fault::new("clock.drift", "clock");
    assert!(!plugin.diagnose(&fault).is_empty());
    readings(&mut plugin, 0, 3.0, 0.0);
    assert_eq!(plugin.diagnose(&fault)[0].path, ["clock.drift", "clock.unsynchronized"]);
    assert!(matches!(plugin.recover(&fault, vec![]), Recovery::Escalate(_)));
}

#[test]
fn a_configuration_that_makes_no_sense_is_refused() {
    for (config, reason) in [
        (r#"{ "offset": { "above": 0.1, "clear": 0.2 } }"#, "make it less"),
        (r#"{ "remedy": "service.restart:{unit}" }"#, "remedy: "),
        (r#"{ "limit": 1 }"#, "unknown field `limit`"),
    ] {
        let error = Harness::<ClockDrift>::new(config).err().unwrap();
        assert!(error.contains(reason), "{config}: {error}");
    }
}

#[test]
fn the_ready_policy_is_valid() {
    let policy: serde_json::Value = toml::from_str(include_str!("../policy.toml")).unwrap();
    assert_eq!((policy["plugin"].as_str(), policy["mode"].as_str()), (Some("clock-drift"), Some("observe")));
    plugin(&policy["config"].to_string());
}
