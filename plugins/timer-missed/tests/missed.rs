//! The plugin's decisions, natively: which timers are missed, what is started for them, and when that is over.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::time::Duration;

use salve_plugin_sdk::prelude::*;
use salve_plugin_sdk::state as kept;
use salve_plugin_sdk::testing::Harness;
use timer_missed::TimerMissed;

const START: &str = r#"{ "timers": ["backup*.timer"], "start": true, "jobs": { "backup-b.timer": "b.service" } }"#;

fn plugin(config: &str) -> Harness<TimerMissed> {
    // State is kept for each thread: that of an earlier plugin of the same test is none of this one's.
    kept::keys().iter().for_each(|key| kept::delete(key).unwrap());
    Harness::new(config).unwrap()
}

fn missed() -> Event {
    Event::new("timer.missed", "backup.timer").with("timer.last_trigger", "Monday")
}

/// In the words of the agent: when it last fired.
fn state(last: &str) -> Event {
    Event::new("timer.state", "backup.timer").with("timer.active_state", "active").with("timer.last_trigger", last)
}

fn job(active: &str, result: &str) -> Event {
    let event = Event::new("service.state", "backup.service");
    event.with("service.active_state", active).with("service.result", result)
}

fn fault() -> Fault {
    Fault::new("timer.missed", "backup.timer")
}

fn is_raised(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| matches!(finding, Finding::Present(_)))
}

fn started(recovery: &Recovery) -> Option<&str> {
    match recovery {
        Recovery::Act(plan) => plan.actions.first().map(|action| action.target.as_str()),
        _ => None,
    }
}

#[test]
fn a_timer_that_did_not_fire_is_a_fault_until_it_fires() {
    let mut plugin = plugin(START);
    let Finding::Present(fault) = &plugin.event(missed())[..][0] else { panic!("a fault") };
    assert_eq!(
        (fault.summary.as_str(), fault.severity),
        ("backup.timer did not fire when it should have", Severity::Warning)
    );
    assert_eq!(plugin.event(state("Monday")), [], "that is not news");
    assert_eq!(plugin.event(state("Tuesday")), [self::fault().cleared()]);
    assert_eq!(plugin.verify(&self::fault(), vec![]), Verdict::Healthy);
}

#[test]
fn a_timer_that_somebody_stops_is_not_meant_to_fire() {
    let mut plugin = plugin("{}");
    plugin.event(missed());
    let stopped = Event::new("timer.state", "backup.timer").with("timer.active_state", "inactive");
    assert_eq!(plugin.event(stopped), [fault().cleared()]);
    let failed = fault().evidence("timer.active_state", "failed").evidence("timer.result", "resources");
    assert_eq!(plugin.diagnose(&failed)[0].summary, "backup.timer itself failed: resources");
}

#[test]
fn what_is_told_again_after_the_job_ran_is_no_fault() {
    let mut plugin = plugin(START);
    plugin.pass(Duration::from_secs(100));
    plugin.event(missed().with("timer.late", 60.0));
    plugin.event(job("activating", "success"));
    plugin.pass(Duration::from_secs(100));
    assert!(!is_raised(&plugin.event(missed().with("timer.late", 162.0))));
    assert!(is_raised(&plugin.event(missed().with("timer.late", 60.0))), "the next one");
    assert!(is_raised(&plugin.event(missed().with("timer.late", -1.0))), "garbage is not late");
}

#[test]
fn the_host_is_told_how_late_is_late() {
    let plugin = plugin(r#"{ "timers": ["a.timer"], "grace": "5s", "every": "1d" }"#);
    let missed = plugin.subscription().events.iter().find(|selector| selector.name == "timer.missed").unwrap();
    assert_eq!(missed.matching.number("grace"), Some(5.0));
    assert_eq!(missed.matching.number("every"), Some(86_400.0));
    assert!(self::plugin("{}").subscription().events.iter().all(|selector| selector.matching.len() == 1));
}

#[test]
fn garbage_echoes_and_other_timers_raise_nothing() {
    let mut plugin = plugin(START);
    let echo = Event { caused_by: Some("1".into()), ..missed() };
    for event in [
        echo,
        Event::new("timer.missed", "logrotate.timer"),
        Event::new("timer.missed", "backup\n.timer"),
        Event::new("timer.missed", format!("backup{}.timer", "x".repeat(300))),
        Event::new("timer.state", "backup.timer").with("timer.last_trigger", true).with("timer.active_state", 7),
        Event::new("timer.state", ""),
        job("", ""),
    ] {
        assert!(!is_raised(&plugin.event(event)));
    }
    assert_eq!(
        plugin.recover(&Fault::new("timer.missed", "backup"), vec![]),
        Recovery::escalate("nobody knows which service backup starts; name it in `jobs`",)
    );
}

#[test]
fn its_job_is_started_once() {
    let mut plugin = plugin(START);
    plugin.event(missed());
    let recovery = plugin.recover(&fault(), vec![]);
    assert_eq!(started(&recovery), Some("backup.service"));
    let Recovery::Act(plan) = recovery else { panic!("a plan") };
    let attempt = plugin.attempt(1, &plan, Verdict::Unhealthy("failed".into()));
    assert!(matches!(plugin.recover(&fault(), vec![attempt]), Recovery::Escalate(_)));
    // By the configuration, and by what the event tells.
    assert_eq!(started(&plugin.recover(&Fault::new("timer.missed", "backup-b.timer"), vec![])), Some("b.service"));
    plugin.event(missed().with("timer.triggers", "c.service"));
    assert_eq!(started(&plugin.recover(&fault(), vec![])), Some("c.service"));
    // Nothing is started unless the operator says so.
    assert!(matches!(self::plugin("{}").recover(&fault(), vec![]), Recovery::Escalate(_)));
}

#[test]
fn a_job_that_still_runs_is_waited_for_and_is_the_cause() {
    let mut plugin = plugin(START);
    plugin.event(job("activating", "success"));
    plugin.event(missed());
    assert!(matches!(plugin.recover(&fault(), vec![]), Recovery::Wait(_)));
    assert_eq!(plugin.diagnose(&fault())[0].path, ["timer.missed", "job still runs"]);
    plugin.event(job("inactive", "success"));
    assert_eq!(started(&plugin.recover(&fault(), vec![])), Some("backup.service"));
    assert!(!plugin.diagnose(&fault()).is_empty());
}

#[test]
fn a_job_that_somebody_started_is_enough() {
    let mut plugin = plugin(START);
    plugin.event(missed());
    assert_eq!(plugin.event(job("activating", "success")), [fault().cleared()]);
    // It is told again after a restart.
    let told_again = Event { at: 2_000_000_000, ..missed() };
    assert!(!is_raised(&plugin.event(told_again.clone())));
    let mut plugin = plugin.restart(START).unwrap();
    assert!(!is_raised(&plugin.event(told_again)));
    plugin.pass(Duration::from_secs(86_400));
    assert!(is_raised(&plugin.event(missed())), "the next one");
}

#[test]
fn the_verdict_is_how_the_job_ended() {
    for (event, expected) in [
        (Some(job("activating", "success")), Verdict::Undecided),
        (Some(job("failed", "exit-code")), Verdict::Unhealthy("backup.service failed: exit-code".into())),
        (Some(job("active", "success")), Verdict::Healthy),
        (Some(job("inactive", "success")), Verdict::Healthy),
        // It was over in a moment: what systemd answered counts.
        (None, Verdict::Healthy),
    ] {
        let mut plugin = plugin(START);
        plugin.event(job("inactive", "success"));
        plugin.event(missed());
        assert!(matches!(plugin.verify(&fault(), vec![]), Verdict::Unhealthy(_)));
        let Recovery::Act(plan) = plugin.recover(&fault(), vec![]) else { panic!("a plan") };
        let mut attempt = plugin.attempt(1, &plan, Verdict::Undecided);
        attempt.verdict = None;
        let said = format!("{event:?}");
        if let Some(event) = event {
            plugin.event(Event { caused_by: Some("1".into()), ..event });
        }
        assert_eq!(plugin.verify(&fault(), vec![attempt.clone()]), expected, "{said}");
    }
}

#[test]
fn an_action_that_failed_or_was_cut_short_heals_nothing() {
    let mut plugin = plugin(START);
    plugin.event(missed());
    let Recovery::Act(plan) = plugin.recover(&fault(), vec![]) else { panic!("a plan") };
    let mut attempt = plugin.attempt(1, &plan, Verdict::Undecided);
    attempt.outcomes[0].ok = false;
    assert!(matches!(plugin.verify(&fault(), vec![attempt.clone()]), Verdict::Unhealthy(_)));
    attempt.outcomes.clear();
    assert_eq!(plugin.verify(&fault(), vec![attempt]), Verdict::Undecided);
}

#[test]
fn what_is_missed_outlasts_a_restart() {
    let mut plugin = plugin(START);
    plugin.event(missed().with("timer.triggers", "c.service"));
    let mut plugin = plugin.restart(START).unwrap();
    assert!(matches!(plugin.verify(&fault(), vec![]), Verdict::Unhealthy(_)));
    assert_eq!(started(&plugin.recover(&fault(), vec![])), Some("c.service"));
    assert_eq!(plugin.event(state("Monday")), []);
    assert_eq!(plugin.event(state("Tuesday")), [fault().cleared()]);
}

#[test]
fn a_flood_of_timers_takes_no_memory() {
    let mut plugin = plugin("{}");
    for number in 0..1000 {
        plugin.event(Event::new("timer.missed", format!("t{number}.timer")));
    }
    // The latest are known, the earliest are not.
    let fault = |number: u32| Fault::new("timer.missed", format!("t{number}.timer"));
    assert!(matches!(plugin.verify(&fault(999), vec![]), Verdict::Unhealthy(_)));
    assert_eq!(plugin.verify(&fault(0), vec![]), Verdict::Undecided);
}

#[test]
fn the_ready_policy_is_valid() {
    let policy: serde_json::Value = toml::from_str(include_str!("../policy.toml")).unwrap();
    assert_eq!((policy["plugin"].as_str(), policy["mode"].as_str()), (Some("timer-missed"), Some("observe")));
    plugin(&policy["config"].to_string());
    assert!(Harness::<TimerMissed>::new(r#"{ "severity": "fatal" }"#).is_err());
}
