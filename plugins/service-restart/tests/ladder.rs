//! The plugin's decisions, natively: which deaths count, and what is done about them in which order.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use salve_plugin_sdk::prelude::*;
use salve_plugin_sdk::testing::Harness;
use service_restart::ServiceRestart;

fn plugin() -> Harness<ServiceRestart> {
    Harness::new(r#"{ "services": ["nginx.service"] }"#).unwrap()
}

fn state(active: &str, result: &str, stop_requested: Option<bool>) -> Event {
    let event = Event::new("service.state", "nginx.service")
        .with("service.active_state", active)
        .with("service.result", result);
    match stop_requested {
        Some(requested) => event.with("service.stop_requested", requested),
        None => event,
    }
}

fn is_raised(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| matches!(finding, Finding::Present(_)))
}

fn kinds(recovery: &Recovery) -> Vec<&str> {
    match recovery {
        Recovery::Act(plan) => plan.actions.iter().map(|action| action.kind.as_str()).collect(),
        _ => vec![],
    }
}

#[test]
fn deaths_nobody_asked_for_are_faults_and_others_are_not() {
    let cases = [
        ("failed", "exit-code", Some(false), true),
        ("failed", "signal", None, true),
        ("failed", "start-limit-hit", Some(false), true),
        ("failed", "timeout", Some(true), false),
        ("inactive", "success", Some(false), true),
        ("inactive", "success", Some(true), false),
        ("inactive", "success", None, false),
        ("activating", "exit-code", Some(false), false),
        ("active", "success", None, false),
    ];
    for (active, result, requested, fault) in cases {
        let raised = is_raised(&plugin().event(state(active, result, requested)));
        assert_eq!(raised, fault, "{active}, {result}, stop requested {requested:?}");
    }
}

#[test]
fn what_ended_a_service_is_told_also_where_the_result_is_that_of_its_stop_command() {
    // Debian's PostgreSQL after `kill -9`: pg_ctlcluster has nothing to stop and exits with 2.
    let killed = state("failed", "exit-code", Some(false)).with("process.exit.signal", 9_i64);
    let findings = plugin().event(killed);
    let [Finding::Present(fault)] = &findings[..] else { panic!("{findings:?}") };
    assert_eq!(fault.summary, "nginx.service is failed: signal 9 ended it");
}

#[test]
fn a_clean_exit_is_left_alone_where_the_operator_says_so() {
    let mut plugin =
        Harness::<ServiceRestart>::new(r#"{ "services": ["nginx.service"], "ignore-clean-exit": true }"#).unwrap();
    assert!(!is_raised(&plugin.event(state("inactive", "success", Some(false)))));
}

#[test]
fn the_ladder_is_restart_then_reset_and_start_then_a_person() {
    let mut plugin = plugin();
    plugin.event(state("failed", "exit-code", Some(false)));
    let fault = Fault::new("service.down", "nginx.service");
    let mut attempts = Vec::new();
    for expected in [vec!["service.restart"], vec!["service.reset-failed", "service.start"]] {
        let recovery = plugin.recover(&fault, attempts.clone());
        assert_eq!(kinds(&recovery), expected);
        let Recovery::Act(plan) = recovery else { panic!("a plan") };
        attempts.push(plugin.attempt(attempts.len() as u32 + 1, &plan, Verdict::Unhealthy("down".into())));
    }
    let after_two = Recovery::escalate("nginx.service is still down after 2 attempts");
    assert_eq!(plugin.recover(&fault, attempts.clone()), after_two);
    // The host begins anew: so does the ladder.
    plugin.next_round();
    assert_eq!(kinds(&plugin.recover(&fault, attempts)), ["service.restart"]);
}

#[test]
fn a_rung_is_climbed_only_when_the_last_attempt_was_judged() {
    let mut plugin = plugin();
    plugin.event(state("failed", "exit-code", Some(false)));
    let fault = Fault::new("service.down", "nginx.service");
    let Recovery::Act(plan) = plugin.recover(&fault, vec![]) else { panic!("a plan") };
    let mut attempt = plugin.attempt(1, &plan, Verdict::Undecided);
    attempt.verdict = None;
    assert!(matches!(plugin.recover(&fault, vec![attempt.clone()]), Recovery::Wait(_)));
    // An action that failed, for want of a grant, is an attempt as well.
    attempt.verdict = Some(Verdict::Unhealthy("down".into()));
    attempt.outcomes[0].ok = false;
    assert_eq!(kinds(&plugin.recover(&fault, vec![attempt])), ["service.reset-failed", "service.start"]);
}

#[test]
fn what_its_manager_is_restarting_is_left_to_it() {
    let mut plugin = plugin();
    plugin.event(state("failed", "signal", Some(false)));
    plugin.event(state("activating", "signal", Some(false)));
    let recovery = plugin.recover(&Fault::new("service.down", "nginx.service"), vec![]);
    assert!(matches!(recovery, Recovery::Wait(_)), "{recovery:?}");
}

#[test]
fn a_hit_start_limit_is_forgotten_first() {
    let mut plugin = plugin();
    plugin.event(state("failed", "start-limit-hit", Some(false)));
    let fault = Fault::new("service.down", "nginx.service");
    let recovery = plugin.recover(&fault, vec![]);
    assert_eq!(kinds(&recovery), ["service.reset-failed", "service.start"]);
    // It failed for another reason this time: the rung that was left out is not made up for.
    let Recovery::Act(plan) = recovery else { panic!("a plan") };
    let attempt = plugin.attempt(1, &plan, Verdict::Unhealthy("down".into()));
    plugin.event(state("failed", "exit-code", Some(false)));
    let after_one = Recovery::escalate("nginx.service is still down after an attempt");
    assert_eq!(plugin.recover(&fault, vec![attempt]), after_one);
}

#[test]
fn a_start_limit_hit_by_the_restart_does_not_cost_the_next_rung() {
    let mut plugin = plugin();
    plugin.event(state("failed", "exit-code", Some(false)));
    let fault = Fault::new("service.down", "nginx.service");
    let Recovery::Act(plan) = plugin.recover(&fault, vec![]) else { panic!("a plan") };
    let attempt = plugin.attempt(1, &plan, Verdict::Unhealthy("down".into()));
    plugin.event(state("failed", "start-limit-hit", Some(false)));
    assert_eq!(kinds(&plugin.recover(&fault, vec![attempt])), ["service.reset-failed", "service.start"]);
}

#[test]
fn a_failure_from_before_the_last_action_is_no_verdict_on_it() {
    let mut plugin = plugin();
    plugin.event(state("failed", "exit-code", Some(false)));
    let fault = Fault::new("service.down", "nginx.service");
    let Recovery::Act(plan) = plugin.recover(&fault, vec![]) else { panic!("a plan") };
    let mut attempt = plugin.attempt(1, &plan, Verdict::Undecided);
    attempt.verdict = None;
    assert_eq!(plugin.verify(&fault, vec![attempt.clone()]), Verdict::Undecided);
    // Where the action failed, nothing has changed, and no news will come.
    attempt.outcomes[0].ok = false;
    assert!(matches!(plugin.verify(&fault, vec![attempt.clone()]), Verdict::Unhealthy(_)));
    attempt.outcomes[0].ok = true;
    plugin.event(state("failed", "exit-code", Some(false)));
    assert!(matches!(plugin.verify(&fault, vec![attempt]), Verdict::Unhealthy(_)));
}

#[test]
fn the_cause_is_read_from_the_result() {
    let mut plugin = plugin();
    plugin.event(state("failed", "oom-kill", Some(false)));
    let causes = plugin.diagnose(&Fault::new("service.down", "nginx.service"));
    assert!(causes[0].summary.contains("memory"), "{causes:?}");
}

#[test]
fn it_is_healthy_when_up_and_undecided_while_it_moves() {
    let mut plugin = plugin();
    let fault = Fault::new("service.down", "nginx.service");
    assert_eq!(plugin.verify(&fault, vec![]), Verdict::Undecided);
    plugin.event(state("activating", "success", None));
    assert_eq!(plugin.verify(&fault, vec![]), Verdict::Undecided);
    plugin.event(state("active", "success", None));
    assert_eq!(plugin.verify(&fault, vec![]), Verdict::Healthy);
    plugin.event(state("failed", "signal", Some(false)));
    assert!(matches!(plugin.verify(&fault, vec![]), Verdict::Unhealthy(_)));
}
