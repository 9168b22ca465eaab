use proptest::prelude::*;

use super::*;
use crate::bindings::salve::plugin::types::Incident as WireIncident;
use crate::{Attempt, Fault, Value};

fn incident(round: u32, attempts: Vec<Attempt>) -> Incident {
    let fault = Fault::new("service.down", "web");
    Incident::new(WireIncident { id: "1".into(), at: 9, opened: 1, fault, causes: vec![], round, attempts })
}

fn attempt(round: u32, plan: &Plan, verdict: Option<Verdict>) -> Attempt {
    // No outcomes: the host was interrupted, or the attempt ended before its first action did.
    let actions = plan.actions.clone();
    Attempt { number: 1, round, started: 1, finished: None, actions, outcomes: vec![], verdict }
}

fn unhealthy() -> Option<Verdict> {
    Some(Verdict::Unhealthy("down".into()))
}

fn plan(action: Action) -> Plan {
    Plan::new([action])
}

fn acts(recovery: Recovery) -> Option<Plan> {
    match recovery {
        Recovery::Act(plan) => Some(plan),
        Recovery::Wait(_) | Recovery::Escalate(_) => None,
    }
}

/// Climbs to the end with the ladder that `ladder` gives for each attempt, all of which fail, and gives what was planned.
fn climb<'a>(round: u32, mut attempts: Vec<Attempt>, ladder: impl Fn(usize) -> Ladder<'a>) -> Vec<Plan> {
    let mut climbed = Vec::new();
    for count in 0..1000 {
        match ladder(count).recover(&incident(round, attempts.clone())) {
            Recovery::Act(plan) => {
                attempts.push(attempt(round, &plan, unhealthy()));
                climbed.push(plan);
            }
            Recovery::Escalate(_) => return climbed,
            Recovery::Wait(wait) => panic!("waits {wait} ms though every attempt was judged"),
        }
    }
    panic!("no end")
}

#[test]
fn a_skipped_rung_is_neither_repeated_nor_counted_as_another() {
    let (mild, middle, strong) =
        (plan(Action::reload_service("web")), plan(Action::restart_service("web")), plan(Action::reboot_host()));
    let ladder = |with_mild| {
        Ladder::new()
            .then_if(with_mild, mild.clone())
            .then(middle.clone())
            .then(strong.clone())
            .escalate(|_| "!".into())
    };
    // It did not apply at first and does so later: there is no way down.
    assert_eq!(climb(0, vec![], |count| ladder(count > 0)), [middle.clone(), strong.clone()]);
    // It applied at first and does so no more: its attempt is not the next rung's.
    assert_eq!(climb(0, vec![], |count| ladder(count == 0)), [mild.clone(), middle.clone(), strong.clone()]);
}

#[test]
fn a_rung_whose_target_has_changed_is_known_by_what_remains() {
    let signal = |signal: &'static str| {
        move |incident: &Incident| {
            let pid = 100 + incident.attempts.len() as u32;
            plan(Action::signal_process(pid, u64::from(pid), signal))
        }
    };
    let ladder =
        |with_term| Ladder::new().then_if(with_term, Rung::made(signal("TERM"))).then(Rung::made(signal("KILL")));
    let signals = |plans: Vec<Plan>| -> Vec<String> {
        plans.iter().map(|plan| plan.actions[0].parameters[1].value.to_string()).collect()
    };
    assert_eq!(signals(climb(0, vec![], |_| ladder(true))), ["TERM", "KILL"]);
    assert_eq!(signals(climb(0, vec![], |count| ladder(count > 0))), ["KILL"]);
}

#[test]
fn a_rung_made_without_actions_or_with_no_attempts_is_passed_over() {
    let nothing = Rung::made(|_| Plan::new([]));
    let never = Rung::new(plan(Action::reboot_host())).attempts(0);
    let restart = plan(Action::restart_service("web"));
    let ladder = Ladder::new().then(nothing).then(never).then(restart.clone());
    assert_eq!(acts(ladder.recover(&incident(0, vec![]))), Some(restart.clone()));
    let tried = incident(0, vec![attempt(0, &restart, unhealthy())]);
    assert_eq!(ladder.recover(&tried), Recovery::escalate("service.down at web; one attempt did not help"));
    let empty = Ladder::new().recover(&incident(0, vec![]));
    assert_eq!(empty, Recovery::escalate("service.down at web; there is nothing to try"));
}

#[test]
fn an_attempt_that_fits_no_rung_counts_for_the_lowest() {
    let other = attempt(0, &plan(Action::run_command("of an older version")), unhealthy());
    let (first, second) = (plan(Action::reload_service("web")), plan(Action::restart_service("web")));
    let ladder = |_| Ladder::new().then(first.clone()).then(second.clone());
    assert_eq!(climb(0, vec![other], ladder), std::slice::from_ref(&second));
}

/// A rung of the properties: how often it is tried, and at which attempts it applies.
type Spec = (u32, u32);

fn specs() -> impl Strategy<Value = Vec<Spec>> {
    prop::collection::vec((0..4_u32, any::<u32>()), 0..6)
}

fn applies(spec: Spec, count: usize) -> bool {
    spec.1 >> (count % 32) & 1 == 1
}

/// A ladder of those rungs for the attempt after `count`; `plan` makes the plan of a rung.
fn built(specs: &[Spec], count: usize, plan: impl Fn(usize) -> Plan) -> Ladder<'static> {
    let add = |ladder: Ladder<'static>, (place, spec): (usize, &Spec)| {
        ladder.then_if(applies(*spec, count), Rung::new(plan(place)).attempts(spec.0))
    };
    specs.iter().enumerate().fold(Ladder::new(), add)
}

/// The plan of a rung, at a target that is another one at each attempt if `moving`.
fn told_apart(place: usize, count: usize, moving: bool) -> Plan {
    let target = if moving { format!("{place} {count}") } else { "web".into() };
    plan(Action::run_command(target).with("rung", place as i64))
}

fn place_told(plan: &Plan) -> usize {
    let Value::Integer(place) = plan.actions[0].parameters[0].value else { panic!("a place") };
    place as usize
}

proptest! {
    /// With rungs that come and go, and processes that change their ids: each next rung is the lowest, from the last
    /// one's upwards, that has attempts left and applies. No rung has more than its attempts, and the end is a person.
    #[test]
    fn the_next_rung_is_the_lowest_that_is_left(specs in specs(), moving: bool, round in 0..3_u32, earlier in 0..5_usize) {
        let earlier: Vec<Attempt> = (0..if round > 0 { earlier } else { 0 })
            .map(|n| attempt(round - 1, &told_apart(n, 0, moving), unhealthy()))
            .collect();
        let ladder = |count| built(&specs, count, |place| told_apart(place, count, moving));
        let climbed: Vec<usize> = climb(round, earlier, ladder).iter().map(place_told).collect();

        let mut expected = Vec::new();
        let (mut lowest, mut left) = (0, specs.iter().map(|spec| spec.0).collect::<Vec<_>>());
        while let Some(next) = (lowest..specs.len()).find(|place| left[*place] > 0 && applies(specs[*place], expected.len())) {
            left[next] -= 1;
            lowest = next;
            expected.push(next);
        }
        prop_assert_eq!(climbed, expected);
    }

    /// Whatever plans the rungs make, and whatever other plugin or version made the attempts before: no more attempts than
    /// the rungs have together, and the end is a person.
    #[test]
    fn it_ends_whatever_the_plans_are(
        specs in specs(),
        plans in prop::collection::vec((0..3_u8, 0..3_u8), 1..40),
        foreign in 0..4_usize,
    ) {
        let any_plan = |n: usize| {
            let (kind, target) = plans[n % plans.len()];
            plan(Action::new(format!("kind {kind}"), target.to_string()))
        };
        let foreign: Vec<Attempt> = (0..foreign).map(|n| attempt(0, &any_plan(n), unhealthy())).collect();
        let before = foreign.len();
        let climbed = climb(0, foreign, |count| built(&specs, count, |place| any_plan(place * 7 + count * 3)));
        let together: u32 = specs.iter().map(|spec| spec.0).sum();
        prop_assert!(climbed.len() <= (together as usize).saturating_sub(before), "{} of {together}", climbed.len());
    }

    /// Nothing is done while the last attempt is not known to have failed, wherever on the ladder.
    #[test]
    fn nothing_is_climbed_before_a_verdict(specs in specs(), before in 0..6_usize, verdict in 0..3_u8, round in 0..2_u32) {
        let verdict = match verdict {
            0 => None,
            1 => Some(Verdict::Undecided),
            _ => Some(Verdict::Healthy),
        };
        let made = |n, verdict| attempt(round, &told_apart(n, 0, false), verdict);
        let mut attempts: Vec<Attempt> = (0..before).map(|n| made(n, unhealthy())).collect();
        attempts.push(made(before, verdict));
        let recovery = built(&specs, before, |place| told_apart(place, before, false)).recover(&incident(round, attempts));
        prop_assert_eq!(recovery, Recovery::wait(NOT_JUDGED));
    }
}
