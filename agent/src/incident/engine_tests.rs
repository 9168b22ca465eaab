//! The engine by itself: an injected clock, a scripted plugin, and a fake world instead of actuators.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::{
    Cause, Effect, Engine, Fault, Finding, Incident, Input, Plan, Question, Record, Recovery, Reply, Severity, State,
    Step, Topic, Verdict,
};
use crate::action::actuator::Order;
use crate::action::{Action, Outcome};
use crate::clock::{Now, Timestamp};
use crate::config::{Backoff, Mode, Pattern, Rules};
use crate::guard::Chain;

/// The engine with everything it said so far.
struct Desk {
    engine: Engine,
    now: Duration,
    records: Vec<Record>,
    questions: Vec<Question>,
    orders: Vec<Order>,
}

const START: u64 = 1_000_000;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn at(mono: Duration) -> Now {
    Now { wall: Timestamp::from_nanos((seconds(START) + mono).as_nanos() as u64), mono }
}

fn fault(target: &str) -> Fault {
    let (kind, target, summary) = ("service.down".into(), target.into(), "down".into());
    Fault { kind, target, severity: Severity::Error, summary, evidence: vec![] }
}

fn cleared(target: &str) -> Finding {
    Finding::Cleared { kind: "service.down".into(), target: target.into() }
}

fn restart(target: &str) -> Action {
    Action { kind: "service.restart".into(), target: target.into(), parameters: vec![] }
}

fn act(target: &str) -> Recovery {
    Recovery::Act(Plan { actions: vec![restart(target)], settle: seconds(1), deadline: seconds(10) })
}

fn auto() -> Rules {
    Rules { mode: Mode::Auto, grant: vec![Pattern::parse("service.restart:*").unwrap()], ..Rules::default() }
}

impl Desk {
    fn new(rules: Rules) -> Self {
        let mut desk = Self::restored(vec![]);
        desk.arrive(rules, "basis");
        desk
    }

    fn restored(open: Vec<Incident>) -> Self {
        let now = seconds(1000);
        let (engine, first) = Engine::restore(Mode::Auto, Chain::standard(), open, HashMap::new(), at(now));
        let mut desk = Self { engine, now, records: vec![], questions: vec![], orders: vec![] };
        desk.take(first);
        desk
    }

    fn take(&mut self, step: Step) {
        self.records.extend(step.records);
        for effect in step.effects {
            match effect {
                Effect::Ask(_, question) => self.questions.push(*question),
                Effect::Perform(order) => self.orders.push(order),
            }
        }
    }

    fn give(&mut self, input: Input) {
        let mut step = Step::default();
        self.engine.handle(input, at(self.now), &mut step);
        self.take(step);
    }

    fn wait(&mut self, wait: Duration) {
        self.now += wait;
        let mut step = Step::default();
        self.engine.tick(at(self.now), &mut step);
        self.take(step);
    }

    fn arrive(&mut self, rules: Rules, basis: &str) {
        let (policy, plugin, rules, basis) = ("web".into(), "p".into(), Arc::new(rules), basis.into());
        self.give(Input::Arrived { policy, plugin, rules, basis });
    }

    fn find(&mut self, finding: Finding) {
        self.give(Input::Found { policy: "web".into(), findings: vec![finding] });
    }

    /// Answers the last question, which must be on this topic.
    fn answer(&mut self, topic: Topic, reply: Result<Reply, String>) {
        let question = self.questions.pop().unwrap();
        assert_eq!(question.topic, topic);
        self.give(Input::Answered { incident: question.incident.id, turn: question.turn, reply });
    }

    fn recover(&mut self, recovery: Recovery) {
        self.answer(Topic::Recover, Ok(Reply::Recovery(recovery)));
    }

    fn verify(&mut self, verdict: Verdict) {
        self.answer(Topic::Verify, Ok(Reply::Verdict(verdict)));
    }

    /// Does what was ordered last.
    fn perform(&mut self, ok: bool) {
        let Order { incident, attempt, actions } = self.orders.pop().unwrap();
        let outcome = Outcome { action: actions[0].clone(), ok, detail: "detail".into(), took: seconds(0) };
        self.give(Input::Done { incident: incident.clone(), attempt, outcome });
        self.give(Input::Performed { incident, attempt });
    }

    /// From a fault to the moment its first plan is answered.
    fn until_recover(&mut self) {
        self.find(Finding::Present(fault("demo")));
        self.answer(Topic::Diagnose, Ok(Reply::Causes(vec![])));
    }

    /// The states the incident went through.
    fn states(&self) -> Vec<State> {
        let state = |record: &Record| match record {
            Record::Opened(incident) => Some(incident.state),
            Record::Moved { to, .. } => Some(*to),
            _ => None,
        };
        self.records.iter().filter_map(state).collect()
    }

    fn last_reason(&self) -> &str {
        let mut reasons = self.records.iter().rev().filter_map(|record| match record {
            Record::Moved { reason, .. } => Some(reason),
            _ => None,
        });
        reasons.next().unwrap()
    }
}

use State::{AwaitingApproval, Deferred, Detected, Diagnosed, Escalated, Recovering, Resolved, Suppressed, Verifying};

#[test]
fn a_fault_is_healed_in_one_attempt() {
    let mut desk = Desk::new(auto());
    desk.until_recover();
    desk.recover(act("demo"));
    // The intent is in the ledger before the order leaves.
    assert!(matches!(desk.records.last(), Some(Record::Began { attempt: 1, streak: 1, .. })));
    desk.perform(true);
    assert!(desk.questions.is_empty(), "it settles first");
    desk.wait(seconds(1));
    desk.verify(Verdict::Healthy);
    assert_eq!(desk.states(), [Detected, Diagnosed, Recovering, Verifying, Resolved]);
    assert_eq!(desk.engine.open(), 0);
}

#[test]
fn raising_it_again_updates_it_and_opens_nothing() {
    let mut desk = Desk::new(auto());
    desk.find(Finding::Present(fault("demo")));
    desk.find(Finding::Present(fault("demo")));
    desk.find(Finding::Present(Fault { summary: "worse".into(), ..fault("demo") }));
    assert_eq!(desk.engine.open(), 1);
    assert!(matches!(&desk.records[..], [Record::Opened(_), Record::Raised { .. }]), "{:?}", desk.records);
    desk.find(Finding::Present(fault("other")));
    assert_eq!(desk.engine.open(), 2);
}

#[test]
fn failures_climb_until_the_attempts_are_used_up() {
    let backoff = Backoff { initial: Duration::ZERO, ..Backoff::default() };
    let mut desk = Desk::new(Rules { attempts: 2, backoff, ..auto() });
    desk.until_recover();
    for _ in 0..2 {
        desk.recover(act("demo"));
        desk.perform(true);
        desk.wait(seconds(1));
        desk.verify(Verdict::Unhealthy("still down".into()));
    }
    desk.recover(act("demo"));
    assert_eq!(desk.states().last(), Some(&Escalated));
    assert_eq!(desk.last_reason(), "attempts: all 2 attempts are used up ([guard] attempts)");
    assert!(desk.orders.is_empty());
}

#[test]
fn the_second_attempt_waits_for_the_backoff() {
    let mut desk = Desk::new(auto());
    desk.until_recover();
    desk.recover(act("demo"));
    desk.perform(false);
    // Nothing was done that could settle.
    desk.wait(Duration::ZERO);
    desk.verify(Verdict::Unhealthy("down".into()));
    desk.recover(act("demo"));
    assert_eq!(desk.states().last(), Some(&Deferred));
    desk.wait(Duration::from_millis(999));
    assert!(desk.questions.is_empty());
    desk.wait(Duration::from_millis(1));
    desk.recover(act("demo"));
    assert_eq!(desk.orders.len(), 1);
}

#[test]
fn an_undecided_attempt_fails_at_its_deadline() {
    let mut desk = Desk::new(auto());
    desk.until_recover();
    desk.recover(act("demo"));
    desk.perform(true);
    desk.wait(seconds(1));
    desk.wait(seconds(9));
    assert_eq!(desk.states().last(), Some(&Verifying));
    desk.wait(seconds(1));
    assert_eq!(desk.states().last(), Some(&Diagnosed));
    assert!(matches!(
        &desk.records[..],
        [.., Record::Judged { verdict: Verdict::Unhealthy(_), .. }, Record::Moved { .. }]
    ));
}

#[test]
fn what_clears_is_resolved_except_in_the_middle_of_an_attempt() {
    let mut desk = Desk::new(auto());
    desk.until_recover();
    desk.find(cleared("demo"));
    assert_eq!(desk.states(), [Detected, Diagnosed, Resolved]);

    let mut desk = Desk::new(auto());
    desk.until_recover();
    desk.recover(act("demo"));
    desk.find(cleared("demo"));
    desk.perform(true);
    desk.find(cleared("demo"));
    assert_eq!(desk.states().last(), Some(&Verifying), "an attempt is judged after it has settled");
}

#[test]
fn guards_park_an_incident_and_a_changed_policy_sets_it_going() {
    let cases = [
        (Rules { mode: Mode::Observe, ..auto() }, Suppressed, "mode"),
        (Rules { mode: Mode::Approve, ..auto() }, AwaitingApproval, "approval"),
        (Rules { grant: vec![], ..auto() }, Escalated, "service.restart:demo"),
    ];
    for (rules, parked, reason) in cases {
        let mut desk = Desk::new(rules.clone());
        desk.until_recover();
        desk.recover(act("demo"));
        assert_eq!(desk.states().last(), Some(&parked));
        assert!(desk.last_reason().contains(reason), "{}", desk.last_reason());
        // The same again changes nothing.
        desk.arrive(rules, "basis");
        desk.verify(Verdict::Unhealthy("down".into()));
        assert_eq!(desk.states().last(), Some(&parked));
        desk.arrive(auto(), "another");
        desk.verify(Verdict::Unhealthy("down".into()));
        desk.recover(act("demo"));
        assert_eq!(desk.states().last(), Some(&Recovering));
    }
}

#[test]
fn a_plugin_that_cannot_answer_is_asked_again_and_then_a_person() {
    let mut desk = Desk::new(auto());
    desk.find(Finding::Present(fault("demo")));
    desk.answer(Topic::Diagnose, Err("trap".into()));
    for _ in 0..2 {
        desk.answer(Topic::Recover, Err("trap".into()));
        assert_eq!(desk.states().last(), Some(&Deferred));
        desk.wait(seconds(4));
    }
    desk.answer(Topic::Recover, Err("trap".into()));
    assert_eq!(desk.states().last(), Some(&Escalated));
    assert!(desk.last_reason().contains("trap"));
}

#[test]
fn the_plugin_may_wait_or_give_up() {
    let mut desk = Desk::new(auto());
    desk.until_recover();
    desk.recover(Recovery::Wait(seconds(5)));
    assert_eq!(desk.states().last(), Some(&Deferred));
    desk.wait(seconds(5));
    desk.recover(Recovery::Act(Plan { actions: vec![], settle: seconds(0), deadline: seconds(0) }));
    assert_eq!(desk.states().last(), Some(&Escalated));
    assert!(desk.last_reason().contains("no action"));
}

#[test]
fn late_answers_are_not_taken_for_new_ones() {
    let mut desk = Desk::new(auto());
    desk.find(Finding::Present(fault("demo")));
    let late = desk.questions.pop().unwrap();
    desk.arrive(auto(), "basis");
    desk.verify(Verdict::Unhealthy("down".into()));
    let causes = vec![Cause { summary: "late".into(), path: vec![], confidence: 1.0, evidence: vec![] }];
    desk.give(Input::Answered { incident: late.incident.id, turn: late.turn, reply: Ok(Reply::Causes(causes)) });
    assert_eq!(desk.states(), [Detected]);
}

#[test]
fn after_a_crash_actions_are_looked_at_and_not_repeated() {
    let mut before = Desk::new(auto());
    before.until_recover();
    before.recover(act("demo"));
    let order = before.orders.pop().unwrap();
    let mut open = rebuilt(&before.records);
    assert_eq!(open.state, Recovering);
    open.id.clone_from(&order.incident);

    let mut desk = Desk::restored(vec![open]);
    assert_eq!(desk.states(), [Verifying]);
    desk.arrive(auto(), "basis");
    assert!(desk.orders.is_empty());
    desk.verify(Verdict::Healthy);
    assert_eq!(desk.states(), [Verifying, Resolved]);
    assert!(matches!(desk.records[1], Record::Judged { attempt: 1, .. }));
}

/// The incident as the records have it: what a ledger would give back.
fn rebuilt(records: &[Record]) -> Incident {
    let mut incident = None;
    for record in records {
        match (record, &mut incident) {
            (Record::Opened(opened), _) => incident = Some((**opened).clone()),
            (Record::Moved { to, .. }, Some(incident)) => incident.state = *to,
            (Record::Began { attempt, at, actions, .. }, Some(incident)) => incident.attempts.push(super::Attempt {
                number: *attempt,
                round: 0,
                started: *at,
                finished: None,
                actions: actions.clone(),
                outcomes: vec![],
                verdict: None,
            }),
            _ => {}
        }
    }
    incident.unwrap()
}

/// Anything that can happen, in any order.
#[derive(Debug, Clone)]
enum Happening {
    Raise(u8),
    Clear(u8),
    Answer { which: usize, reply: u8 },
    Perform { ok: bool },
    Wait(u64),
    Arrive { mode: u8, basis: u8 },
    Gone,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        (0..3_u8).prop_map(Happening::Raise),
        (0..3_u8).prop_map(Happening::Clear),
        (0..4_usize, 0..8_u8).prop_map(|(which, reply)| Happening::Answer { which, reply }),
        (0..4_usize, 0..8_u8).prop_map(|(which, reply)| Happening::Answer { which, reply }),
        any::<bool>().prop_map(|ok| Happening::Perform { ok }),
        (0..20_u64).prop_map(Happening::Wait),
        (0..3_u8, 0..2_u8).prop_map(|(mode, basis)| Happening::Arrive { mode, basis }),
        Just(Happening::Gone),
    ]
}

proptest! {
    /// No schedule of findings, answers, outcomes, waits and reloads reaches a forbidden move (the engine asserts that
    /// itself), begins more attempts than allowed, acts in observe or approve mode, has two open incidents of one fault, or
    /// resolves without a verdict of healthy or a clearing.
    #[test]
    fn no_schedule_breaks_the_rules(happenings in proptest::collection::vec(happening(), 1..120)) {
        let mut desk = Desk::new(auto());
        let mut mode = Mode::Auto;
        for happening in happenings {
            let before = desk.records.len();
            let mut may_resolve = false;
            match happening {
                Happening::Raise(n) => desk.find(Finding::Present(fault(&format!("t{n}")))),
                Happening::Clear(n) => {
                    may_resolve = true;
                    desk.find(cleared(&format!("t{n}")));
                }
                Happening::Answer { which, reply } => {
                    if which >= desk.questions.len() { continue }
                    let question = desk.questions.remove(which);
                    let target = question.incident.fault.target.clone();
                    let reply = match reply {
                        0 => Err("trap".into()),
                        1 => Ok(Reply::Causes(vec![])),
                        2 => Ok(Reply::Recovery(Recovery::Wait(seconds(3)))),
                        3 => Ok(Reply::Recovery(Recovery::Escalate("help".into()))),
                        4 => Ok(Reply::Verdict(Verdict::Healthy)),
                        5 => Ok(Reply::Verdict(Verdict::Unhealthy("no".into()))),
                        6 => Ok(Reply::Verdict(Verdict::Undecided)),
                        _ => Ok(Reply::Recovery(act(&target))),
                    };
                    may_resolve = reply == Ok(Reply::Verdict(Verdict::Healthy));
                    desk.give(Input::Answered { incident: question.incident.id, turn: question.turn, reply });
                }
                Happening::Perform { ok } => if !desk.orders.is_empty() { desk.perform(ok) },
                Happening::Wait(n) => desk.wait(seconds(n)),
                Happening::Arrive { mode: which, basis } => {
                    mode = [Mode::Observe, Mode::Approve, Mode::Auto][usize::from(which)];
                    desk.arrive(Rules { mode, ..auto() }, &format!("basis {basis}"));
                }
                Happening::Gone => desk.give(Input::Gone { policy: "web".into() }),
            }
            for record in &desk.records[before..] {
                match record {
                    Record::Moved { to: Resolved, .. } => prop_assert!(may_resolve, "{record:?}"),
                    Record::Began { attempt, .. } => {
                        prop_assert!(mode == Mode::Auto && *attempt <= 3, "{record:?} in {mode:?}");
                    }
                    _ => {}
                }
            }
        }
        let mut open: HashMap<String, i32> = HashMap::new();
        let mut target_of = HashMap::new();
        for record in &desk.records {
            match record {
                Record::Opened(incident) => {
                    target_of.insert(incident.id.clone(), incident.fault.target.clone());
                    let count = open.entry(incident.fault.target.clone()).or_default();
                    *count += 1;
                    prop_assert_eq!(*count, 1);
                }
                Record::Moved { id, to: Resolved, .. } => *open.get_mut(&target_of[id]).unwrap() -= 1,
                _ => {}
            }
        }
    }
}
