//! The plugin's decisions, natively: which containers are at fault, what is done about them, and when they are well again.

#![expect(clippy::unwrap_used, clippy::panic, reason = "the helpers of tests fail as the tests do")]

use std::time::Duration;

use container_health::ContainerHealth;
use salve_plugin_sdk::Attempt;
use salve_plugin_sdk::prelude::*;
use salve_plugin_sdk::state as kept;
use salve_plugin_sdk::testing::Harness;

fn plugin() -> Harness<ContainerHealth> {
    // State is kept for each thread: that of an earlier plugin of the same test is none of this one's.
    kept::keys().iter().for_each(|key| kept::delete(key).unwrap());
    Harness::new("{}").unwrap()
}

fn state(status: &str) -> Event {
    Event::new("container.state", "shop").with("container.status", status)
}

fn exited(code: i64) -> Event {
    state("exited").with("container.exit_code", code)
}

fn health(health: &str) -> Event {
    state("running").with("container.health", health)
}

fn died() -> Event {
    Event::new("container.exit", "shop").with("container.exit_code", 1)
}

fn echo(event: Event) -> Event {
    Event { caused_by: Some("1".into()), ..event }
}

fn fault(kind: &str) -> Fault {
    Fault::new(kind, "shop")
}

fn raised(findings: &[Finding]) -> Option<&str> {
    let mut raised = findings.iter().filter_map(|it| if let Finding::Present(it) = it { Some(it) } else { None });
    let kind = raised.next().map(|fault| fault.kind.as_str());
    assert!(raised.next().is_none(), "one fault at a time");
    kind
}

fn restart(plugin: &mut Harness<ContainerHealth>, kind: &str) -> Attempt {
    let Recovery::Act(plan) = plugin.recover(&fault(kind), vec![]) else { panic!("a plan") };
    assert_eq!(plan.actions, [Action::new("container.restart", "shop")]);
    let mut attempt = plugin.attempt(1, &plan, Verdict::Undecided);
    attempt.verdict = None;
    attempt
}

#[test]
fn deaths_nobody_asked_for_are_faults_and_others_are_not() {
    for (event, expected) in [
        (exited(1), Some("container.down")),
        (exited(139), Some("container.down")),
        (exited(137), Some("container.down")),
        (exited(0).with("container.oom_killed", true), Some("container.down")),
        (exited(143).with("container.stop_requested", false), Some("container.down")),
        (state("dead"), Some("container.down")),
        (exited(0), None),
        (exited(143), None),
        (exited(137).with("container.stop_requested", true), None),
        (state("exited"), None),
        (state("created"), None),
        (state("paused"), None),
        (state("restarting"), None),
        (state("running"), None),
        (echo(exited(1)), None),
    ] {
        let said = format!("{event:?}");
        assert_eq!(raised(&plugin().event(event)), expected, "{said}");
    }
}

#[test]
fn garbage_says_nothing() {
    let mut plugin = plugin();
    for event in [
        Event::new("container.state", "shop"),
        state("💥"),
        Event::new("container.state", "shop").with("container.status", 7),
        Event::new("container.state", ""),
        Event::new("container.oom", "unheard-of"),
        exited(0).with("container.restarts", -1).with("container.health", true),
    ] {
        assert_eq!(raised(&plugin.event(event)), None);
    }
    // A time in the far future does not stop the clock.
    plugin.event(Event { at: u64::MAX, ..died() });
    plugin.event(Event { at: u64::MAX, ..state("running") });
    assert_eq!(raised(&plugin.event(exited(1))), Some("container.down"));
    assert_eq!(
        plugin.verify(&fault("container.down"), vec![]),
        Verdict::Unhealthy("shop is down: it exited with status 1".into())
    );
}

#[test]
fn an_unhealthy_container_has_some_patience() {
    let mut plugin = plugin();
    assert_eq!(raised(&plugin.event(health("unhealthy"))), None);
    plugin.pass(Duration::from_secs(20));
    assert_eq!(raised(&plugin.batch(&[], vec![])), None);
    plugin.pass(Duration::from_secs(20));
    assert_eq!(raised(&plugin.batch(&[], vec![])), Some("container.unhealthy"));
    assert_eq!(plugin.batch(&[], vec![]), [], "it is told once");
    assert_eq!(plugin.event(health("healthy")), [fault("container.unhealthy").cleared()]);
    // In between it was well: the time begins anew.
    plugin.event(health("unhealthy"));
    plugin.event(health("healthy"));
    plugin.pass(Duration::from_secs(60));
    assert_eq!(raised(&plugin.event(health("unhealthy"))), None);
}

#[test]
fn so_many_deaths_are_a_loop_until_it_runs_steadily() {
    let mut plugin = plugin();
    for _ in 0..4 {
        assert_eq!(raised(&plugin.batch(&[], vec![died(), state("restarting")])), None);
    }
    assert_eq!(raised(&plugin.batch(&[], vec![died(), state("restarting")])), Some("container.restart-loop"));
    assert_eq!(raised(&plugin.event(state("running"))), None, "it stays raised");
    plugin.pass(Duration::from_secs(30));
    assert_eq!(plugin.batch(&[], vec![]), []);
    plugin.pass(Duration::from_secs(40));
    assert_eq!(plugin.batch(&[], vec![]), [fault("container.restart-loop").cleared()]);
    assert_eq!(raised(&plugin.batch(&[], vec![died(), exited(1)])), Some("container.down"), "what was is forgiven");
}

#[test]
fn a_loop_shows_in_the_count_of_the_restart_policy_too() {
    let mut plugin = plugin();
    let running = |restarts: i64| state("running").with("container.restarts", restarts);
    assert_eq!(raised(&plugin.event(running(100))), None, "what was before counts for nothing");
    assert_eq!(raised(&plugin.event(running(104))), None);
    assert_eq!(raised(&plugin.event(running(105))), Some("container.restart-loop"));
    let mut plugin = self::plugin();
    for _ in 0..9 {
        plugin.pass(Duration::from_secs(300));
        assert_eq!(raised(&plugin.batch(&[], vec![died(), state("running")])), None, "seldom enough");
    }
    for _ in 0..9 {
        assert_eq!(raised(&plugin.batch(&[], vec![echo(died()), state("running")])), None, "an action's echo");
    }
}

#[test]
fn a_restart_of_the_plugin_forgets_no_death_and_clears_what_is_over() {
    let mut plugin = plugin();
    (0..4).for_each(|_| drop(plugin.batch(&[], vec![died(), state("restarting")])));
    let mut plugin = plugin.restart("{}").unwrap();
    assert_eq!(plugin.verify(&fault("container.down"), vec![]), Verdict::Undecided);
    assert_eq!(raised(&plugin.batch(&[], vec![died(), state("restarting")])), Some("container.restart-loop"));
    let mut plugin = plugin.restart("{}").unwrap();
    plugin.pass(Duration::from_secs(3600));
    let findings = plugin.event(Event { at: 1_000_000_000, ..health("healthy") });
    assert_eq!(findings.len(), 4, "whatever was raised before: {findings:?}");
    assert_eq!(raised(&findings), None);
}

#[test]
fn it_is_restarted_twice_and_then_a_person_is_asked() {
    let mut plugin = plugin();
    plugin.event(exited(1));
    let mut attempts = vec![];
    for _ in 0..2 {
        let Recovery::Act(plan) = plugin.recover(&fault("container.down"), attempts.clone()) else { panic!("a plan") };
        attempts.push(plugin.attempt(attempts.len() as u32 + 1, &plan, Verdict::Unhealthy("down".into())));
    }
    assert!(matches!(plugin.recover(&fault("container.down"), attempts), Recovery::Escalate(_)));
    // No restart gives it more memory.
    assert!(matches!(plugin.recover(&fault("container.oom"), vec![]), Recovery::Escalate(_)));
    // What its engine is doing something about is left to it; a loop never stands still.
    plugin.event(state("restarting"));
    assert!(matches!(plugin.recover(&fault("container.down"), vec![]), Recovery::Wait(_)));
    assert!(matches!(plugin.recover(&fault("container.restart-loop"), vec![]), Recovery::Act(_)));
}

#[test]
fn the_cause_of_a_loop_is_known_while_it_runs_again() {
    let mut plugin = plugin();
    plugin.event(state("running"));
    let findings = plugin.batch(&[], (0..5).map(|_| died()).collect());
    assert_eq!(raised(&findings), Some("container.restart-loop"));
    let cause = plugin.diagnose(&fault("container.restart-loop")).remove(0);
    assert_eq!(cause.summary, "it exited with status 1");
}

#[test]
fn the_cause_is_read_from_how_it_ended() {
    for (event, expected) in [
        (exited(137).with("container.oom_killed", true), "out of memory"),
        (exited(137), "killed"),
        (exited(139), "crash"),
        (exited(125), "engine"),
        (exited(127), "command"),
        (exited(136), "signal"),
        (exited(3), "exit code"),
        (exited(-5), "exit code"),
    ] {
        let mut plugin = plugin();
        plugin.event(event);
        assert_eq!(plugin.diagnose(&fault("container.down"))[0].path, ["container.down", expected]);
    }
    assert_eq!(plugin().diagnose(&fault("container.down")), []);
}

#[test]
fn it_is_well_when_it_runs_and_its_health_check_agrees() {
    let mut plugin = plugin();
    plugin.event(exited(1));
    let attempt = restart(&mut plugin, "container.down");
    let verify = |plugin: &mut Harness<_>, kind: &str| plugin.verify(&fault(kind), vec![attempt.clone()]);
    assert_eq!(verify(&mut plugin, "container.down"), Verdict::Undecided, "word may be on its way");
    plugin.event(echo(health("starting")));
    assert_eq!(verify(&mut plugin, "container.down"), Verdict::Undecided);
    plugin.event(echo(state("running")));
    assert_eq!(verify(&mut plugin, "container.down"), Verdict::Healthy);
    assert_eq!(verify(&mut plugin, "container.unhealthy"), Verdict::Undecided, "its health check has to say so");
    plugin.event(echo(health("healthy")));
    assert_eq!(verify(&mut plugin, "container.unhealthy"), Verdict::Healthy);
    assert_eq!(verify(&mut plugin, "container.restart-loop"), Verdict::Undecided, "not steadily yet");
    plugin.pass(Duration::from_secs(60));
    assert_eq!(verify(&mut plugin, "container.restart-loop"), Verdict::Healthy);
    plugin.event(echo(exited(1)));
    assert!(matches!(verify(&mut plugin, "container.down"), Verdict::Unhealthy(_)));
    plugin.event(echo(exited(0)));
    assert_eq!(verify(&mut plugin, "container.down"), Verdict::Healthy, "somebody stopped it meanwhile");
}

#[test]
fn one_that_its_own_policy_brings_back_is_left_to_it_until_that_gives_up() {
    let died = |policy: &str, restarts: i64| {
        exited(1).with("container.restart_policy", policy).with("container.restarts", restarts)
    };
    for (policy, restarts, is_left) in [
        ("always", 9, true),
        ("unless-stopped", 0, true),
        ("on-failure", 9, true),
        ("on-failure:3", 2, true),
        ("on-failure:3", 3, false),
        ("on-failure:x", 9, true),
        ("never", 0, false),
    ] {
        let mut plugin = plugin();
        let expected = (!is_left).then_some("container.down");
        assert_eq!(raised(&plugin.event(died(policy, restarts))), expected, "{policy} {restarts}");
        if is_left {
            plugin.pass(Duration::from_secs(5));
            assert_eq!(raised(&plugin.batch(&[], vec![])), None, "it has some time");
        }
        // It has not come back all the same.
        plugin.pass(Duration::from_secs(10));
        let later = raised(&plugin.batch(&[], vec![])).or(expected).map(str::to_owned);
        assert_eq!(later.as_deref(), Some("container.down"), "{policy} {restarts}");
    }
    let mut plugin = plugin();
    for restarts in 0..4 {
        let findings = plugin.batch(&[], vec![self::died(), died("on-failure:4", restarts)]);
        assert_eq!(raised(&findings), None, "{restarts}");
    }
    let findings = plugin.batch(&[], vec![self::died(), died("on-failure:4", 4)]);
    assert_eq!(raised(&findings), Some("container.restart-loop"), "so many deaths are a loop");
    // How it is may be told before its last exit is.
    let mut plugin = self::plugin();
    plugin.event(state("running").with("container.restarts", 0));
    plugin.event(state("running").with("container.restarts", 4));
    assert_eq!(raised(&plugin.event(died("on-failure:4", 4))), Some("container.restart-loop"));
}

#[test]
fn a_health_check_of_the_run_before_is_no_verdict_on_the_restart() {
    let mut plugin = plugin();
    plugin.event(health("unhealthy"));
    plugin.pass(Duration::from_secs(40));
    assert_eq!(raised(&plugin.batch(&[], vec![])), Some("container.unhealthy"));
    let attempt = restart(&mut plugin, "container.unhealthy");
    let verify = |plugin: &mut Harness<ContainerHealth>, event: Event, pass: u64| {
        plugin.pass(Duration::from_secs(pass));
        plugin.event(event);
        plugin.verify(&fault("container.unhealthy"), vec![attempt.clone()])
    };
    assert_eq!(verify(&mut plugin, health("starting"), 1), Verdict::Undecided);
    // Podman counts the check that the restart has cut off as one of the new run.
    assert_eq!(verify(&mut plugin, health("unhealthy"), 1), Verdict::Undecided);
    assert_eq!(verify(&mut plugin, health("healthy"), 5), Verdict::Healthy);
    assert_eq!(verify(&mut plugin, health("unhealthy"), 1), Verdict::Undecided);
    assert!(matches!(verify(&mut plugin, health("unhealthy"), 30), Verdict::Unhealthy(_)));
}

#[test]
fn an_echo_that_stays_is_a_fault() {
    let mut plugin = plugin();
    assert_eq!(raised(&plugin.event(echo(exited(1)))), None);
    plugin.pass(Duration::from_secs(180));
    assert_eq!(raised(&plugin.batch(&[], vec![])), Some("container.down"));
}

#[test]
fn a_process_killed_for_want_of_memory_is_a_warning_while_the_container_runs_on() {
    let mut plugin = plugin();
    plugin.event(state("running"));
    let oom = Event::new("container.oom", "shop");
    assert_eq!(raised(&plugin.event(oom.clone())), Some("container.oom"));
    assert_eq!(plugin.diagnose(&fault("container.oom"))[0].path, ["container.oom", "out of memory"]);
    assert!(matches!(plugin.verify(&fault("container.oom"), vec![]), Verdict::Unhealthy(_)));
    plugin.pass(Duration::from_secs(700));
    assert_eq!(plugin.batch(&[], vec![]), [fault("container.oom").cleared()]);
    // It took the container down with it: that is the fault.
    let findings = plugin.batch(&[], vec![oom, exited(137).with("container.oom_killed", true)]);
    assert_eq!(raised(&findings), Some("container.down"));
}

#[test]
fn what_was_removed_is_forgotten() {
    let mut plugin = plugin();
    plugin.event(exited(1));
    assert_eq!(plugin.event(state("removed")), [fault("container.down").cleared()]);
    assert_eq!(plugin.verify(&fault("container.down"), vec![]), Verdict::Undecided);
    assert_eq!(raised(&plugin.event(exited(1))), Some("container.down"));
}

#[test]
fn the_ready_policy_is_valid() {
    let policy: serde_json::Value = toml::from_str(include_str!("../policy.toml")).unwrap();
    assert_eq!((policy["plugin"].as_str(), policy["mode"].as_str()), (Some("container-health"), Some("approve")));
    Harness::<ContainerHealth>::new(&policy["config"].to_string()).unwrap();
    assert!(Harness::<ContainerHealth>::new(r#"{ "container": [] }"#).is_err());
}
