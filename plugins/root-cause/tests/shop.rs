//! The plugin's decisions, natively, for a shop that needs its database and its cache.

#![expect(clippy::unwrap_used, clippy::panic, reason = "the helpers of tests fail as the tests do")]

use std::time::Duration;

use root_cause::RootCause;
use salve_plugin_sdk::Attempt;
use salve_plugin_sdk::prelude::*;
use salve_plugin_sdk::state as kept;
use salve_plugin_sdk::testing::Harness;

const SHOP: &str = r#"{
    "event": {
        "db down": { "when": { "service": { "name": "db.service" } }, "remedy": "service.restart:db.service" },
        "cache down": { "when": { "service": { "name": "cache.service" } }, "remedy": "service.restart:cache.service" },
        "disk full": { "when": { "metric": { "name": "disk", "above": 0.98 } } },
        "shop sick": { "when": { "incident": { "kind": "*", "target": "shop*" } } }
    },
    "tree": {
        "shop down": { "any": ["no data", { "all": ["disk full", "shop sick"] }] },
        "no data": { "any": ["db down", "cache down"] }
    },
    "top": { "shop down": { "consequences": ["worker"], "target": "the shop", "severity": "critical" } }
}"#;

fn plugin() -> Harness<RootCause> {
    // State is kept for each thread: that of an earlier plugin of the same test is none of this one's.
    kept::keys().iter().for_each(|key| kept::delete(key).unwrap());
    let mut plugin = Harness::new(SHOP).unwrap();
    for service in ["db.service", "cache.service"] {
        plugin.event(state(service, "active"));
    }
    plugin.sample("disk", &[], 0.5);
    plugin
}

fn state(service: &str, active: &str) -> Event {
    Event::new("service.state", service).with("service.active_state", active)
}

fn incident(id: &str, kind: &str, target: &str, state: &str) -> Event {
    let event = Event::new("incident.state", id).with("incident.state", state);
    event.with("incident.kind", kind).with("incident.target", target)
}

fn echo(event: Event) -> Event {
    Event { caused_by: Some("1".into()), ..event }
}

fn fault(target: &str) -> Fault {
    Fault::new("root-cause.shop-down", target)
}

fn present(findings: &[Finding]) -> Vec<&Fault> {
    findings.iter().filter_map(|it| if let Finding::Present(it) = it { Some(it) } else { None }).collect()
}

fn targets(findings: &[Finding]) -> Vec<&str> {
    present(findings).iter().map(|fault| fault.target.as_str()).collect()
}

fn consequences(findings: &[Finding]) -> Vec<String> {
    let [fault] = &present(findings)[..] else { panic!("one fault: {findings:?}") };
    let told = fault.evidence.iter().filter(|it| it.key == "fault.consequence");
    told.map(|it| it.value.to_string()).collect()
}

fn actions(recovery: &Recovery) -> Vec<&str> {
    match recovery {
        Recovery::Act(plan) => plan.actions.iter().map(|action| action.target.as_str()).collect(),
        _ => vec![],
    }
}

fn attempt(plugin: &mut Harness<RootCause>, target: &str) -> Attempt {
    let Recovery::Act(plan) = plugin.recover(&fault(target), vec![]) else { panic!("a plan") };
    Attempt { verdict: None, ..plugin.attempt(1, &plan, Verdict::Undecided) }
}

#[test]
fn the_fault_is_at_what_heals_the_cause_and_names_it() {
    let mut plugin = plugin();
    let findings = plugin.event(state("db.service", "failed"));
    let [fault] = &present(&findings)[..] else { panic!("a fault") };
    assert_eq!((fault.kind.as_str(), fault.target.as_str()), ("root-cause.shop-down", "db.service"));
    assert_eq!((fault.summary.as_str(), fault.severity), ("shop down: db down", Severity::Critical));
    let fault = (*fault).clone();
    let causes = plugin.diagnose(&fault);
    assert_eq!(causes[0].path, ["shop down", "no data", "db down"]);
    assert_eq!(causes.len(), 1, "all others are ruled out: {causes:?}");
    assert_eq!(plugin.event(state("db.service", "failed")), [], "it is told once");
    assert_eq!(plugin.event(state("db.service", "active")), [self::fault("db.service").cleared()]);
}

#[test]
fn incidents_below_the_top_that_are_no_cause_are_consequences() {
    let mut plugin = plugin();
    plugin.event(incident("1", "service.down", "shop", "detected"));
    plugin.event(incident("2", "probe.down", "shop-window", "escalated"));
    plugin.event(incident("3", "probe.down", "mail", "detected"));
    let findings = plugin.event(state("db.service", "failed"));
    assert_eq!(consequences(&findings), ["shop", "shop-window", "worker"]);
    // One more, and one less.
    let findings = plugin.event(incident("4", "log.error", "shop-app", "detected"));
    assert_eq!(consequences(&findings), ["shop", "shop-app", "shop-window", "worker"]);
    let findings = plugin.event(incident("1", "service.down", "shop", "resolved"));
    assert_eq!(consequences(&findings), ["shop-app", "shop-window", "worker"]);
    let findings = plugin.event(incident("2", "probe.down", "shop-window", "orphaned"));
    assert_eq!(consequences(&findings), ["shop-app", "worker"]);
}

#[test]
fn an_incident_that_is_a_part_of_the_cause_is_no_consequence_and_nothing_may_heal_it() {
    let mut plugin = plugin();
    plugin.event(incident("1", "service.down", "shop", "suppressed"));
    let findings = plugin.sample("disk", &[], 0.99);
    assert_eq!(targets(&findings), ["the shop"], "no remedy, so the target of the top");
    assert_eq!(consequences(&findings), ["worker"]);
    assert!(matches!(plugin.recover(&fault("the shop"), vec![]), Recovery::Escalate(_)));
    let causes = plugin.diagnose(&fault("the shop"));
    assert_eq!(causes[0].summary, "disk full and shop sick");
}

#[test]
fn its_own_incidents_and_garbage_are_no_signals() {
    let mut plugin = plugin();
    plugin.sample("disk", &[], 0.99);
    for event in [
        incident("1", "root-cause.shop-down", "shop", "detected"),
        incident("2", "service.down", "shop", "resolved"),
        incident("3", "service.down", "shop", "orphaned"),
        Event::new("incident.state", "4").with("incident.target", "shop").with("incident.state", "detected"),
        Event::new("incident.state", ""),
        Event::new("service.state", "db.service").with("service.active_state", 7),
        Event::new("service.state", "db.service"),
    ] {
        assert_eq!(plugin.event(event), []);
    }
    assert_eq!(plugin.sample("disk", &[], f64::NAN), []);
}

#[test]
fn the_cause_stays_what_it_was_while_it_is_one() {
    let mut plugin = plugin();
    assert_eq!(targets(&plugin.event(state("db.service", "failed"))), ["db.service"]);
    assert_eq!(plugin.event(state("cache.service", "failed")), []);
    let findings = plugin.event(state("db.service", "active"));
    assert!(findings.contains(&fault("db.service").cleared()));
    assert_eq!(targets(&findings), ["cache.service"]);
    // What is said of the first one is over; of the second one it is not.
    assert_eq!(plugin.verify(&fault("db.service"), vec![]), Verdict::Healthy);
    assert!(matches!(plugin.verify(&fault("cache.service"), vec![]), Verdict::Unhealthy(_)));
}

#[test]
fn the_cause_is_healed_then_other_observed_ones_then_a_person_is_asked() {
    let mut plugin = plugin();
    plugin.event(state("cache.service", "failed"));
    plugin.event(state("db.service", "failed"));
    let mut attempts = vec![];
    for expected in ["cache.service", "db.service"] {
        let recovery = plugin.recover(&fault("cache.service"), attempts.clone());
        assert_eq!(actions(&recovery), [expected]);
        let Recovery::Act(plan) = recovery else { panic!("a plan") };
        attempts.push(plugin.attempt(attempts.len() as u32 + 1, &plan, Verdict::Unhealthy("down".into())));
    }
    assert!(matches!(plugin.recover(&fault("cache.service"), attempts), Recovery::Escalate(_)));
    assert!(matches!(plugin.recover(&Fault::new("root-cause.other", "x"), vec![]), Recovery::Escalate(_)));
}

#[test]
fn what_is_a_guess_is_not_acted_on() {
    // Nothing is known of the cache: the top may hold, and does not for sure.
    let mut plugin = Harness::<RootCause>::new(SHOP).unwrap();
    assert_eq!(plugin.event(state("db.service", "active")), []);
    assert!(matches!(plugin.recover(&fault("cache.service"), vec![]), Recovery::Wait(_)));
    assert_eq!(plugin.verify(&fault("cache.service"), vec![]), Verdict::Undecided);
    assert!(!plugin.diagnose(&fault("cache.service")).is_empty(), "guesses are told");
}

#[test]
fn it_worked_when_the_top_has_not_held_for_a_time() {
    let mut plugin = plugin();
    plugin.event(state("db.service", "failed"));
    let attempt = attempt(&mut plugin, "db.service");
    let verify =
        |plugin: &mut Harness<_>, attempt: &Attempt| plugin.verify(&fault("db.service"), vec![attempt.clone()]);
    assert_eq!(verify(&mut plugin, &attempt), Verdict::Undecided);
    let mut failed = attempt.clone();
    failed.outcomes[0].ok = false;
    assert!(matches!(verify(&mut plugin, &failed), Verdict::Unhealthy(_)));
    plugin.event(echo(state("db.service", "activating")));
    assert_eq!(verify(&mut plugin, &attempt), Verdict::Undecided, "for a moment only");
    plugin.event(echo(state("db.service", "active")));
    // Nothing more happens: nothing calls the plugin but the question.
    plugin.pass(Duration::from_secs(5));
    assert_eq!(verify(&mut plugin, &attempt), Verdict::Healthy);
}

#[test]
fn what_somebody_is_acting_on_is_no_fault_unless_it_stays() {
    let mut plugin = plugin();
    assert_eq!(plugin.event(echo(state("db.service", "inactive"))), []);
    assert_eq!(plugin.event(echo(state("db.service", "active"))), []);
    plugin.event(echo(state("db.service", "failed")));
    plugin.pass(Duration::from_secs(60));
    assert_eq!(targets(&plugin.batch(&[], vec![])), ["db.service"]);
    let mut plugin = self::plugin();
    plugin.event(echo(state("db.service", "inactive")));
    assert_eq!(targets(&plugin.event(state("db.service", "failed"))), ["db.service"], "word of its own");
}

#[test]
fn what_is_raised_outlasts_a_restart() {
    let mut plugin = plugin();
    plugin.event(state("cache.service", "failed"));
    plugin.event(state("db.service", "failed"));
    let mut plugin = plugin.restart(SHOP).unwrap();
    assert_eq!(plugin.verify(&fault("cache.service"), vec![]), Verdict::Undecided);
    // It learns how things are, and goes on with the same cause.
    assert_eq!(plugin.event(state("db.service", "active")), []);
    assert_eq!(targets(&plugin.event(state("cache.service", "failed"))), ["cache.service"]);
    let mut plugin = plugin.restart(SHOP).unwrap();
    plugin.event(state("db.service", "active"));
    plugin.sample("disk", &[], 0.5);
    assert_eq!(plugin.event(state("cache.service", "active")), [fault("cache.service").cleared()]);
    // What was cleared is not taken over.
    let mut plugin = plugin.restart(SHOP).unwrap();
    for service in ["db.service", "cache.service"] {
        assert_eq!(plugin.event(state(service, "active")), []);
    }
}

#[test]
fn a_flood_of_incidents_takes_no_memory() {
    let mut plugin = plugin();
    for batch in 0..60 {
        let events = (0..100)
            .map(|number| incident(&format!("{batch}-{number}"), "x", &format!("shop-{batch}-{number}"), "detected"));
        plugin.batch(&[], events.collect());
    }
    assert_eq!(consequences(&plugin.event(state("db.service", "failed"))).len(), 60);
}

#[test]
fn without_a_configuration_there_is_nothing_to_do() {
    let mut plugin = Harness::<RootCause>::new("{}").unwrap();
    assert!(plugin.subscription().events.is_empty() && plugin.subscription().every == 0);
    assert_eq!(plugin.event(state("db.service", "failed")), []);
    assert_eq!(plugin.diagnose(&fault("x")), []);
    assert!(matches!(plugin.recover(&fault("x"), vec![]), Recovery::Escalate(_)));
}

#[test]
fn a_configuration_that_makes_no_sense_is_refused() {
    for (config, reason) in [
        (r#"{ "event": { "a": {} } }"#, "there is no gate"),
        (
            r#"{ "event": { "a": { "remedy": "restart a" } }, "tree": { "t": { "any": ["a"] } } }"#,
            "event `a`: remedy: ",
        ),
        (r#"{ "event": { "a": {} }, "tree": { "t": { "any": ["b"] } } }"#, "`b`"),
        (r#"{ "event": { "a": {} }, "tree": { "t": { "any": ["a"] } }, "top": { "tt": {} } }"#, "top.`tt`: "),
        (
            r#"{ "event": { "a": {} }, "tree": { "t t": { "any": ["a"] }, "t:t": { "any": ["a"] } } }"#,
            "name one differently",
        ),
        (
            r#"{ "event": { "a": {} }, "tree": { "t": { "any": ["a"] } }, "top": { "t": { "target": "" } } }"#,
            "is empty",
        ),
        (r#"{ "events": {} }"#, "unknown field `events`"),
    ] {
        let error = Harness::<RootCause>::new(config).err().unwrap();
        assert!(error.contains(reason), "{config}: {error}");
    }
}

#[test]
fn the_ready_policy_is_valid() {
    let policy: serde_json::Value = toml::from_str(include_str!("../policy.toml")).unwrap();
    assert_eq!((policy["plugin"].as_str(), policy["mode"].as_str()), (Some("root-cause"), Some("observe")));
    let mut plugin = Harness::<RootCause>::new(&policy["config"].to_string()).unwrap();
    assert_eq!(targets(&plugin.event(state("postgresql.service", "failed"))), ["postgresql.service"]);
}
