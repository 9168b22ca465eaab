//! The plugin's decisions, natively: which lines are whose, when there are too many, and when it is calm again.

#![expect(clippy::unwrap_used, clippy::panic, reason = "the helpers of tests fail as the tests do")]

use std::time::Duration;

use log_sentinel::LogSentinel;
use salve_plugin_sdk::Attempt;
use salve_plugin_sdk::prelude::*;
use salve_plugin_sdk::state;
use salve_plugin_sdk::testing::Harness;

const APP: &str = r#"{ "class": { "oops": {
    "source": "app*", "pattern": "oops", "at-least": 2, "within": "30s", "remedy": ["service.reload:{target}", "service.restart:{target}"]
} } }"#;

/// Three classes, two of which share a source.
const SHARED: &str = r#"{ "class": {
    "a": { "source": "app", "pattern": "timeout|refused" },
    "b": { "source": "*", "pattern": "refused|(?i)panic" },
    "c": { "source": "db", "event": "kernel.*" }
} }"#;

fn plugin(config: &str) -> Harness<LogSentinel> {
    // State is kept for each thread: that of an earlier plugin of the same test is none of this one's.
    state::keys().iter().for_each(|key| state::delete(key).unwrap());
    Harness::new(config).unwrap()
}

fn line(source: &str, body: &str) -> Event {
    Event { body: body.into(), ..Event::new("log.record", source) }
}

fn echo(event: Event) -> Event {
    Event { caused_by: Some("1".into()), ..event }
}

fn oops() -> Event {
    line("app", "an oops\n")
}

fn fault() -> Fault {
    Fault::new("log.oops", "app")
}

fn kinds(findings: &[Finding]) -> Vec<(&str, &str)> {
    let raised = findings.iter().filter_map(|it| if let Finding::Present(it) = it { Some(it) } else { None });
    raised.map(|fault| (fault.kind.as_str(), fault.target.as_str())).collect()
}

fn raise(plugin: &mut Harness<LogSentinel>) {
    assert_eq!(kinds(&plugin.batch(&[], vec![oops(), oops()])), [("log.oops", "app")]);
}

fn attempt(plugin: &mut Harness<LogSentinel>, verdict: Option<Verdict>) -> Attempt {
    let Recovery::Act(plan) = plugin.recover(&fault(), vec![]) else { panic!("a plan") };
    Attempt { verdict, ..plugin.attempt(1, &plan, Verdict::Undecided) }
}

#[test]
fn so_many_lines_within_a_time_are_a_fault_until_there_are_none() {
    let mut plugin = plugin(APP);
    assert_eq!(plugin.event(oops()), []);
    plugin.pass(Duration::from_secs(40));
    assert_eq!(plugin.event(oops()), [], "the first is too long ago");
    let Finding::Present(fault) = &plugin.event(oops())[..][0] else { panic!("a fault") };
    assert_eq!(fault.summary, "oops at app: an oops");
    assert_eq!(plugin.event(line("app", "oops: another"))[..], [fault.clone().present()], "the fault does not change");
    plugin.pass(Duration::from_secs(20));
    assert_eq!(plugin.batch(&[], vec![]), []);
    plugin.pass(Duration::from_secs(20));
    assert_eq!(plugin.batch(&[], vec![]), [self::fault().cleared()]);
    assert_eq!(plugin.batch(&[], vec![]), []);
    assert_eq!(plugin.verify(&self::fault(), vec![]), Verdict::Healthy);
}

#[test]
fn sources_are_counted_apart_unless_they_have_one_target() {
    let mut plugin = plugin(APP);
    assert_eq!(plugin.batch(&[], vec![line("app1", "oops"), line("app2", "oops"), line("db", "oops")]), []);
    assert_eq!(kinds(&plugin.event(line("app2", "oops"))), [("log.oops", "app2")]);
    let one = r#"{ "class": { "x": { "pattern": "x", "at-least": 2, "target": "web", "kind": "web.sick", "severity": "critical",
        "summary": "the web is sick" } } }"#;
    let findings = self::plugin(one).batch(&[], vec![line("a", "x"), line("b", "x")]);
    let Finding::Present(fault) = &findings[0] else { panic!("a fault") };
    assert_eq!((fault.kind.as_str(), fault.target.as_str(), fault.severity), ("web.sick", "web", Severity::Critical));
    assert_eq!(fault.summary, "the web is sick");
}

#[test]
fn lines_of_a_shared_source_are_told_apart() {
    for (event, expected) in [
        (line("app", "timeout"), vec![("log.a", "app")]),
        (line("app", "refused"), vec![("log.a", "app"), ("log.b", "app")]),
        (line("app", "PANIC"), vec![("log.b", "app")]),
        // The host sent it for one of them, and it is not the first one's.
        (line("app", "pänic"), vec![("log.b", "app")]),
        // Only one of them asks for it: the host has looked.
        (line("db", "?"), vec![("log.b", "db")]),
        (Event::new("kernel.io_error", "db"), vec![("log.c", "db")]),
        (Event::new("kernel.io_error", "app"), vec![]),
    ] {
        let said = format!("{event:?}");
        assert_eq!(kinds(&plugin(SHARED).event(event)), expected, "{said}");
    }
}

#[test]
fn other_events_are_chosen_by_their_attributes() {
    let config = r#"{ "class": { "deploy": { "event": "com.example.deploy.*", "attributes": { "state": "fail*", "final": true } } } }"#;
    let deploy = |state: &str| Event::new("com.example.deploy.done", "shop").with("state", state).with("final", true);
    assert_eq!(kinds(&plugin(config).event(deploy("failed"))), [("log.deploy", "shop")]);
    assert_eq!(kinds(&plugin(config).event(deploy("ok"))), []);
    assert_eq!(kinds(&plugin(config).event(Event::new("com.example.deploy.done", "shop"))), []);
    let subscription = plugin(config).subscription().clone();
    assert_eq!(subscription.events[0].matching.len(), 3);
    // Nobody said what happened to it.
    assert_eq!(
        kinds(&plugin(config).event(Event { subject: String::new(), ..deploy("failed") })),
        [("log.deploy", "host")]
    );
}

#[test]
fn the_host_is_asked_for_the_lines_of_each_class() {
    let plugin = plugin(APP);
    let [selector] = &plugin.subscription().events[..] else { panic!("one") };
    assert_eq!((selector.name.as_str(), selector.body.as_deref()), ("log.record", Some("oops")));
    assert_eq!(plugin.subscription().every, 7500);
    assert_eq!(self::plugin("{}").subscription().every, 0, "nothing to look for");
}

#[test]
fn echoes_and_garbage_raise_nothing() {
    let mut plugin = plugin(APP);
    for _ in 0..5 {
        assert_eq!(plugin.event(echo(oops())), []);
        assert_eq!(plugin.event(Event::new("log.record", "")), []);
        assert_eq!(plugin.event(Event { at: u64::MAX, ..line("other", "oops") }), []);
    }
    // A time in the far future does not stop the clock.
    plugin.event(Event { at: u64::MAX, ..oops() });
    plugin.pass(Duration::from_secs(60));
    assert_eq!(plugin.event(oops()), []);
    raise(&mut plugin);
    // What people are shown is short and has no control characters, whatever is said.
    let mut plugin = self::plugin(r#"{ "class": { "x": { "pattern": "." } } }"#);
    let findings = plugin.event(line("app", &format!("\u{1b}[31m{}", "ü".repeat(5000))));
    let Finding::Present(fault) = &findings[0] else { panic!("a fault") };
    let odd = Event { subject: format!("a\n{}", "ü".repeat(200)), ..line("", "x") };
    let Finding::Present(named) = &plugin.event(odd)[0] else { panic!("a fault") };
    assert!(named.target.starts_with("a?ü") && named.target.len() == 256, "{}", named.target);
    assert!(fault.summary.len() < 400 && !fault.summary.contains('\u{1b}'), "{}", fault.summary);
}

#[test]
fn its_remedies_are_tried_one_after_the_other() {
    let mut plugin = plugin(APP);
    raise(&mut plugin);
    let failed = attempt(&mut plugin, Some(Verdict::Unhealthy("goes on".into())));
    assert_eq!(failed.actions, [Action::reload_service("app")]);
    let Recovery::Act(plan) = plugin.recover(&fault(), vec![failed.clone()]) else { panic!("a plan") };
    assert_eq!(plan.actions, [Action::restart_service("app")]);
    assert_eq!((plan.settle, plan.deadline), (1000, 60_000));
    let second = plugin.attempt(2, &plan, Verdict::Unhealthy("goes on".into()));
    assert!(matches!(plugin.recover(&fault(), vec![failed, second]), Recovery::Escalate(_)));
    assert!(matches!(self::plugin(SHARED).recover(&Fault::new("log.a", "app"), vec![]), Recovery::Escalate(_)));
    assert!(matches!(plugin.recover(&Fault::new("log.gone", "app"), vec![]), Recovery::Escalate(_)));
    assert!(plugin.diagnose(&fault())[0].evidence.iter().any(|it| it.value == Value::from("an oops")));
    assert_eq!(plugin.diagnose(&Fault::new("log.gone", "app")), []);
}

#[test]
fn it_worked_when_there_is_no_further_line_for_a_time() {
    let mut plugin = plugin(APP);
    raise(&mut plugin);
    assert!(matches!(plugin.verify(&fault(), vec![]), Verdict::Unhealthy(_)));
    let attempt = attempt(&mut plugin, None);
    let verify = |plugin: &mut Harness<_>| plugin.verify(&fault(), vec![attempt.clone()]);
    assert_eq!(verify(&mut plugin), Verdict::Undecided);
    plugin.pass(Duration::from_secs(20));
    plugin.batch(&[], vec![]);
    assert_eq!(verify(&mut plugin), Verdict::Undecided);
    // Where it is calm, nothing calls the plugin but the question.
    plugin.pass(Duration::from_secs(10));
    assert_eq!(verify(&mut plugin), Verdict::Healthy);
    // It is over: one more line is no fault, two are a new one.
    assert_eq!(plugin.event(oops()), []);
    assert_eq!(kinds(&plugin.event(oops())), [("log.oops", "app")]);
}

#[test]
fn a_further_line_says_at_once_that_it_did_not_work_even_if_it_is_an_echo() {
    let mut plugin = plugin(APP);
    raise(&mut plugin);
    let attempt = attempt(&mut plugin, None);
    // From before the action, and late.
    plugin.event(Event { at: 1_500_000_000, ..oops() });
    let verify = |plugin: &mut Harness<_>| plugin.verify(&fault(), vec![attempt.clone()]);
    assert_eq!(verify(&mut plugin), Verdict::Undecided);
    assert_eq!(plugin.event(echo(line("app", "oops again"))), []);
    assert_eq!(verify(&mut plugin), Verdict::Unhealthy("oops goes on: oops again".into()));
}

#[test]
fn what_is_raised_outlasts_a_restart() {
    let mut plugin = plugin(APP);
    raise(&mut plugin);
    let mut plugin = plugin.restart(APP).unwrap();
    assert_eq!(plugin.verify(&fault(), vec![]), Verdict::Undecided);
    assert_eq!(plugin.batch(&[], vec![]), []);
    assert!(matches!(plugin.verify(&fault(), vec![]), Verdict::Unhealthy(_)), "nobody knows that it is over");
    // One line is enough to go on, and a calm time to end.
    assert_eq!(kinds(&plugin.event(oops())), [("log.oops", "app")]);
    plugin.pass(Duration::from_secs(40));
    assert_eq!(plugin.batch(&[], vec![]), [fault().cleared()]);
    // What was cleared is not taken over.
    let mut plugin = plugin.restart(APP).unwrap();
    assert_eq!(plugin.batch(&[], vec![]), []);
    assert_eq!(plugin.verify(&fault(), vec![]), Verdict::Healthy);
    // Nor is what no class raises any more.
    raise(&mut plugin);
    let mut plugin = plugin.restart(SHARED).unwrap();
    assert_eq!(plugin.batch(&[], vec![]), [fault().cleared()]);
    assert_eq!(plugin.restart(APP).unwrap().batch(&[], vec![]), []);
}

#[test]
fn a_flood_of_sources_takes_no_memory() {
    let mut plugin = plugin(r#"{ "class": { "x": { "pattern": "x" } } }"#);
    let mut raised = 0;
    for batch in 0..34 {
        let events = (0..100).map(|number| line(&format!("app{batch}-{number}"), "x")).collect();
        raised += kinds(&plugin.batch(&[], events)).len();
    }
    assert_eq!(raised, 1024);
    plugin.pass(Duration::from_secs(100));
    let cleared = (0..4).map(|_| plugin.batch(&[], vec![]).len()).sum::<usize>();
    assert_eq!(cleared, 1024, "all of them are over, and told of by as many as the host takes at once");
    assert_eq!(kinds(&plugin.event(line("app", "x"))), [("log.x", "app")]);
}

#[test]
fn a_flood_of_a_shared_source_takes_no_time() {
    let mut plugin = plugin(SHARED);
    let long = format!("{} timeout", "x".repeat(16_000));
    let events = (0..1000).map(|number| line("app", if number == 999 { "PANIC" } else { &long })).collect();
    assert_eq!(kinds(&plugin.batch(&[], events)), [("log.a", "app")], "what there was no time for is nobody's");
    assert_eq!(kinds(&plugin.event(line("app", "PANIC"))), [("log.b", "app")], "the next call has time again");
    // Where only one class asks there is nothing to look at.
    let events = (0..1000).map(|number| line(if number == 999 { "db" } else { "dw" }, &long)).collect();
    assert_eq!(kinds(&plugin.batch(&[], events)), [("log.b", "db"), ("log.b", "dw")]);
}

#[test]
fn a_configuration_that_makes_no_sense_is_refused() {
    for (config, reason) in [
        (r#"{ "class": { "x": {} } }"#, "class `x` takes every line; give it a `pattern`"),
        (r#"{ "class": { "x": { "patern": "" } } }"#, "unknown field `patern`"),
        (r#"{ "class": { "x": { "pattern": "x", "remedy": "restart" } } }"#, "is no action such as"),
        (r#"{ "class": { "x": { "pattern": "x", "remedy": "service.restart:{unit}" } } }"#, "class `x`: remedy: "),
        (
            r#"{ "class": { "x": { "pattern": "x", "kind": "k" }, "y": { "pattern": "y", "kind": "k" } } }"#,
            "classes `x` and `y`",
        ),
        (
            r#"{ "class": { "x": { "pattern": "\\pL" }, "y": { "pattern": "y" } } }"#,
            "class `x` shares a source with `y`",
        ),
    ] {
        let error = Harness::<LogSentinel>::new(config).err().unwrap();
        assert!(error.contains(reason), "{config}: {error}");
    }
    // On its own the host's engine is enough.
    plugin(r#"{ "class": { "x": { "pattern": "\\pL" } } }"#);
}

#[test]
fn the_ready_policy_is_valid() {
    let policy: serde_json::Value = toml::from_str(include_str!("../policy.toml")).unwrap();
    assert_eq!((policy["plugin"].as_str(), policy["mode"].as_str()), (Some("log-sentinel"), Some("observe")));
    let mut plugin = plugin(&policy["config"].to_string());
    assert_eq!(kinds(&plugin.event(Event::new("kernel.io_error", "sda"))), [("log.disk-error", "sda")]);
}
