//! The plugin's decisions, natively: when a certificate runs out too soon, and when a renewal has worked.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::time::Duration;

use certificate_expiry::CertificateExpiry;
use salve_plugin_sdk::prelude::*;
use salve_plugin_sdk::testing::Harness;

const DAY: f64 = 86_400.0;
const RENEW: &str = r#"{ "probes": ["web*"], "renew": "command.run:certbot-renew" }"#;

fn plugin(config: &str) -> Harness<CertificateExpiry> {
    Harness::new(config).unwrap()
}

fn remaining(plugin: &mut Harness<CertificateExpiry>, days: f64) -> Vec<Finding> {
    plugin.sample("tls.certificate.remaining", &[("probe.name", "web")], days * DAY)
}

fn fault() -> Fault {
    Fault::new("certificate.expiring", "web")
}

#[test]
fn a_certificate_is_a_warning_at_first_and_critical_in_the_end() {
    let mut plugin = plugin("{}");
    for (days, expected) in [
        (22.0, None),
        (20.5, Some((Severity::Warning, "the certificate that web sees runs out in 20 days"))),
        (6.9, Some((Severity::Critical, "the certificate that web sees runs out in 6 days"))),
        (0.5, Some((Severity::Critical, "the certificate that web sees runs out in 12 hours"))),
        (-3.0, Some((Severity::Critical, "the certificate that web sees ran out 3 days ago"))),
        (90.0, None),
    ] {
        let found = match &remaining(&mut plugin, days)[..] {
            [Finding::Present(fault)] => Some((fault.severity, fault.summary.clone())),
            [Finding::Cleared(_)] => None,
            other => panic!("{other:?}"),
        };
        assert_eq!(found, expected.map(|(severity, summary)| (severity, summary.to_owned())), "{days}");
    }
}

#[test]
fn a_second_less_does_not_change_the_fault() {
    let mut plugin = plugin("{}");
    let first = remaining(&mut plugin, 3.5);
    assert_eq!(plugin.sample("tls.certificate.remaining", &[("probe.name", "web")], 3.5 * DAY - 0.0), first);
    assert_eq!(plugin.sample("tls.certificate.remaining", &[("probe.name", "web")], 3.5 * DAY + 1.0), first);
}

#[test]
fn garbage_and_others_say_nothing() {
    let mut plugin = plugin(RENEW);
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert_eq!(plugin.sample("tls.certificate.remaining", &[("probe.name", "web")], value), []);
    }
    assert_eq!(plugin.sample("tls.certificate.remaining", &[], 1.0), []);
    assert_eq!(plugin.sample("tls.certificate.remaining", &[("probe.name", "mail")], 1.0), []);
    assert_eq!(plugin.sample("probe.duration", &[("probe.name", "web")], 1.0), []);
    assert_eq!(plugin.event(Event::new("probe.state", "web")), []);
}

#[test]
fn it_is_renewed_once_and_then_a_person_is_asked() {
    let mut plugin = plugin(RENEW);
    remaining(&mut plugin, 3.0);
    let Recovery::Act(plan) = plugin.recover(&fault(), vec![]) else { panic!("a plan") };
    assert_eq!(plan.actions, [Action::run_command("certbot-renew")]);
    assert!(!plugin.diagnose(&fault()).is_empty());
    let attempt = plugin.attempt(1, &plan, Verdict::Unhealthy("old".into()));
    assert!(matches!(plugin.recover(&fault(), vec![attempt]), Recovery::Escalate(_)));
    // Nothing to renew it with: a person at once.
    let Recovery::Escalate(reason) = self::plugin("{}").recover(&fault(), vec![]) else { panic!("a person") };
    assert!(reason.contains("no way to renew it is configured"), "{reason}");
}

#[test]
fn a_renewal_has_worked_when_the_server_shows_a_certificate_that_lasts() {
    let mut plugin = plugin(RENEW);
    assert_eq!(plugin.verify(&fault(), vec![]), Verdict::Undecided);
    remaining(&mut plugin, 3.0);
    assert!(matches!(plugin.verify(&fault(), vec![]), Verdict::Unhealthy(_)));
    let Recovery::Act(plan) = plugin.recover(&fault(), vec![]) else { panic!("a plan") };
    let mut attempt = plugin.attempt(1, &plan, Verdict::Undecided);
    attempt.verdict = None;
    let verify = |plugin: &mut Harness<_>| plugin.verify(&fault(), vec![attempt.clone()]);
    assert_eq!(verify(&mut plugin), Verdict::Undecided, "nothing was seen since");
    remaining(&mut plugin, 3.0);
    assert_eq!(verify(&mut plugin), Verdict::Undecided, "the server still shows the old one");
    remaining(&mut plugin, 90.0);
    assert_eq!(verify(&mut plugin), Verdict::Healthy);
    // After a restart of the plugin, the first sample tells.
    let mut plugin = plugin.restart(RENEW).unwrap();
    assert_eq!(verify(&mut plugin), Verdict::Undecided);
    plugin.pass(Duration::from_secs(60));
    assert_eq!(remaining(&mut plugin, 89.9), [fault().cleared()]);
    assert_eq!(verify(&mut plugin), Verdict::Healthy);
}

#[test]
fn a_new_certificate_that_is_too_short_and_a_failed_command_are_told_at_once() {
    let mut plugin = plugin(RENEW);
    remaining(&mut plugin, 3.0);
    let Recovery::Act(plan) = plugin.recover(&fault(), vec![]) else { panic!("a plan") };
    let mut attempt = plugin.attempt(1, &plan, Verdict::Undecided);
    attempt.verdict = None;
    remaining(&mut plugin, 6.0);
    let Verdict::Unhealthy(reason) = plugin.verify(&fault(), vec![attempt.clone()]) else { panic!("unhealthy") };
    assert!(reason.contains("lasts 6 days only, less than warn = \"21days\""), "{reason}");
    remaining(&mut plugin, 6.0);
    attempt.outcomes[0].ok = false;
    assert!(matches!(plugin.verify(&fault(), vec![attempt]), Verdict::Unhealthy(_)));
}

#[test]
fn a_configuration_that_makes_no_sense_is_refused() {
    for (config, reason) in [
        (r#"{ "warn": "1d" }"#, "make it less"),
        (r#"{ "renew": "certbot" }"#, "is no action such as"),
        (r#"{ "renew": "command.run:{host}" }"#, "renew: "),
        (r#"{ "probe": [] }"#, "unknown field `probe`"),
    ] {
        let error = Harness::<CertificateExpiry>::new(config).err().unwrap();
        assert!(error.contains(reason), "{config}: {error}");
    }
}

#[test]
fn the_ready_policy_is_valid() {
    let policy: serde_json::Value = toml::from_str(include_str!("../policy.toml")).unwrap();
    assert_eq!((policy["plugin"].as_str(), policy["mode"].as_str()), (Some("certificate-expiry"), Some("observe")));
    plugin(&policy["config"].to_string());
}
