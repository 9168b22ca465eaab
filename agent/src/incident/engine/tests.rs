//! The engine by itself: an injected clock, a scripted plugin, and a fake world instead of actuators.

mod neighbours;
mod quarantine;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::{Engine, Past};
use crate::action::actuator::Order;
use crate::action::{Action, Outcome};
use crate::clock::{Now, Timestamp};
use crate::config::{Backoff, Breaker, Budget, Flapping, HostRules, Mode, Pattern, Rules};
use crate::guard::Chain;
use crate::incident::{
    Attempt, Cause, Effect, Fault, Finding, Ground, Incident, Input, NoticeKind, Plan, Quarantine, Question, Record,
    Recovery, Reply, Resolution, Severity, State, Step, Terrain, Topic, Verdict, Word,
};

/// The engine with everything it said so far.
struct Desk {
    engine: Engine,
    now: Duration,
    records: Vec<Record>,
    questions: Vec<Question>,
    orders: Vec<Order>,
    replies: Vec<Result<String, String>>,
}

/// `app` depends on `db`; nothing else on anything. Deleting cannot be undone.
struct Flat;

impl Terrain for Flat {
    fn ground(&self, target: &str, actions: &[Action]) -> Ground {
        let mut ground = Ground { targets: [target.to_owned()].into(), ..Ground::default() };
        ground.targets.extend(actions.iter().map(|action| action.target.clone()));
        if ground.targets.contains("app") {
            ground.requires.insert("db".to_owned());
        }
        ground.irreversible = actions.iter().filter(|a| a.kind == "file.delete").map(ToString::to_string).collect();
        ground
    }
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
        Self::with(HostRules::default(), Past { open, ..Past::default() })
    }

    fn with(host: HostRules, past: Past) -> Self {
        let now = seconds(1000);
        let (engine, first) = Engine::restore(host, Chain::standard(), Box::new(Flat), past, at(now));
        let mut desk = Self { engine, now, records: vec![], questions: vec![], orders: vec![], replies: vec![] };
        desk.take(first);
        desk
    }

    fn on(host: HostRules, rules: Rules) -> Self {
        let mut desk = Self::with(host, Past::default());
        desk.arrive(rules, "basis");
        desk
    }

    fn take(&mut self, step: Step) {
        self.records.extend(step.records);
        for effect in step.effects {
            match effect {
                Effect::Ask(_, question) => self.questions.push(*question),
                Effect::Perform(order) => self.orders.push(order),
                Effect::Settled(_) | Effect::Release(_) => {}
                Effect::Reply { answer, .. } => self.replies.push(answer),
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
        self.arrive_as("web", rules, basis);
    }

    fn arrive_as(&mut self, policy: &str, rules: Rules, basis: &str) {
        let (policy, plugin, rules, basis) = (policy.into(), "p".into(), Arc::new(rules), basis.into());
        self.give(Input::Arrived { policy, plugin, rules, basis, digest: "d".into() });
    }

    fn quarantine_as(&mut self, policy: &str, rules: Rules, basis: &str) {
        let (plugin, rules, since) = ("p".into(), Arc::new(rules), at(self.now).wall);
        let (policy, basis, reason) = (policy.to_owned(), basis.to_owned(), "5 strikes".to_owned());
        let quarantine = Quarantine { policy, plugin: "p".into(), basis, digest: "d".into(), since, reason };
        self.give(Input::Quarantined { plugin, rules, quarantine });
    }

    fn find(&mut self, finding: Finding) {
        self.find_as("web", finding);
    }

    fn find_as(&mut self, policy: &str, finding: Finding) {
        let findings = vec![(finding, at(self.now).wall)];
        self.give(Input::Found { policy: policy.into(), findings });
    }

    fn say(&mut self, word: Word) -> Result<String, String> {
        self.give(Input::Told { token: 1, actor: "root".into(), word });
        self.replies.pop().unwrap()
    }

    /// From a fault to a healed target, at once.
    fn heal(&mut self, target: &str) {
        self.find(Finding::Present(fault(target)));
        self.answer(Topic::Diagnose, Ok(Reply::Causes(vec![])));
        self.recover(act(target));
        self.perform(true);
        self.wait(seconds(1));
        self.verify(Verdict::Healthy);
    }

    /// The state of the last incident at a target.
    fn state_of(&self, target: &str) -> State {
        let mut state = None;
        let mut id = String::new();
        for record in &self.records {
            match record {
                Record::Opened(incident) if incident.fault.target == target => {
                    (state, id) = (Some(incident.state), incident.id.clone());
                }
                Record::Moved { id: moved, to, .. } if *moved == id => state = Some(*to),
                _ => {}
            }
        }
        state.unwrap()
    }

    fn id_of(&self, target: &str) -> String {
        let opened = self.records.iter().rev().find_map(|record| match record {
            Record::Opened(incident) if incident.fault.target == target => Some(incident.id.clone()),
            _ => None,
        });
        opened.unwrap()
    }

    /// Answers the question about this target.
    fn answer_about(&mut self, target: &str, topic: Topic, reply: Reply) {
        let place = self.questions.iter().rposition(|q| q.incident.fault.target == target && q.topic == topic).unwrap();
        let question = self.questions.remove(place);
        self.give(Input::Answered { incident: question.incident.id, turn: question.turn, reply: Ok(reply) });
    }

    /// From a fault to the moment its first plan is judged by the guards.
    fn propose(&mut self, policy: &str, target: &str) {
        self.find_as(policy, Finding::Present(fault(target)));
        self.answer_about(target, Topic::Diagnose, Reply::Causes(vec![]));
        self.answer_about(target, Topic::Recover, Reply::Recovery(act(target)));
    }

    fn notices(&self) -> Vec<NoticeKind> {
        let kind = |record: &Record| match record {
            Record::Notice(notice) => Some(notice.kind),
            _ => None,
        };
        self.records.iter().filter_map(kind).collect()
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
        let Order { incident, attempt, actions, .. } = self.orders.pop().unwrap();
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

use State::{
    AwaitingApproval, Deferred, Detected, Diagnosed, Escalated, Orphaned, Recovering, Resolved, Suppressed, Verifying,
};

#[test]
fn a_fault_is_healed_in_one_attempt() {
    let mut desk = Desk::new(auto());
    desk.until_recover();
    desk.recover(act("demo"));
    // The intent is in the ledger before the order leaves.
    assert!(matches!(desk.records.last(), Some(Record::Began { attempt: 1, streak: 1, .. })), "{:?}", desk.records);
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
        [.., Record::Judged { verdict: Verdict::Unhealthy(_), .. }, Record::Moved { .. }, Record::Notice(_)]
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

#[test]
fn a_hold_defers_everything_it_covers_until_somebody_resumes() {
    let mut desk = Desk::new(auto());
    let pause = |target: Option<&str>| Word::Pause {
        policy: None,
        target: target.map(str::to_owned),
        lasting: None,
        reason: "release".into(),
    };
    desk.say(pause(Some("other"))).unwrap();
    desk.heal("demo");
    desk.say(pause(None)).unwrap();
    desk.propose("web", "late");
    assert_eq!(desk.state_of("late"), Deferred);
    assert!(desk.last_reason().contains("release"), "{}", desk.last_reason());
    desk.wait(seconds(100_000));
    assert_eq!(desk.state_of("late"), Deferred);
    desk.say(Word::Resume { policy: Some("db".into()), target: None, all: false }).unwrap_err();
    desk.say(Word::Resume { policy: None, target: None, all: false }).unwrap();
    desk.recover(act("late"));
    assert_eq!(desk.state_of("late"), Recovering);
}

#[test]
fn a_hold_with_an_end_ends_by_itself() {
    let mut desk = Desk::new(auto());
    let lasting = Some(seconds(60));
    desk.say(Word::Pause { policy: None, target: None, lasting, reason: String::new() }).unwrap();
    desk.propose("web", "demo");
    desk.wait(seconds(59));
    assert_eq!(desk.state_of("demo"), Deferred);
    desk.wait(seconds(1));
    desk.recover(act("demo"));
    assert_eq!(desk.state_of("demo"), Recovering);
}

#[test]
fn the_breaker_opens_before_one_action_too_many_and_only_a_person_closes_it() {
    let breaker = Breaker { incidents: 100, actions: 2, within: seconds(600) };
    let mut desk = Desk::on(HostRules { breaker, ..HostRules::default() }, auto());
    desk.heal("a");
    desk.heal("b");
    desk.propose("web", "c");
    assert_eq!(desk.state_of("c"), Deferred);
    assert!(desk.notices().contains(&NoticeKind::BreakerOpened));
    desk.wait(seconds(100_000));
    assert_eq!(desk.state_of("c"), Deferred, "time does not close it");
    desk.say(Word::CloseBreaker).unwrap();
    desk.recover(act("c"));
    assert_eq!(desk.state_of("c"), Recovering);
    desk.say(Word::CloseBreaker).unwrap_err();
}

#[test]
fn a_storm_of_incidents_opens_the_breaker() {
    let breaker = Breaker { incidents: 3, actions: 100, within: seconds(600) };
    let mut desk = Desk::on(HostRules { breaker, ..HostRules::default() }, auto());
    (0..3).for_each(|n| desk.find(Finding::Present(fault(&format!("t{n}")))));
    assert!(!desk.notices().contains(&NoticeKind::BreakerOpened));
    desk.wait(seconds(601));
    desk.find(Finding::Present(fault("t3")));
    assert!(!desk.notices().contains(&NoticeKind::BreakerOpened), "those before are too long ago");
    (4..7).for_each(|n| desk.find(Finding::Present(fault(&format!("t{n}")))));
    assert!(desk.notices().contains(&NoticeKind::BreakerOpened));
}

#[test]
fn one_plan_at_a_time_on_a_target_and_the_other_is_looked_at_afterwards() {
    let mut desk = Desk::new(auto());
    desk.arrive_as("other", auto(), "basis");
    desk.propose("web", "demo");
    let slow = Finding::Present(Fault { kind: "service.slow".into(), ..fault("demo") });
    desk.find_as("other", slow);
    desk.answer(Topic::Diagnose, Ok(Reply::Causes(vec![])));
    desk.recover(act("demo"));
    assert_eq!(desk.states().last(), Some(&Deferred));
    assert!(desk.last_reason().starts_with("lock: "), "{}", desk.last_reason());
    desk.perform(true);
    desk.wait(seconds(1));
    desk.verify(Verdict::Healthy);
    desk.answer(Topic::Diagnose, Ok(Reply::Causes(vec![])));
    desk.recover(act("demo"));
    assert_eq!(desk.states().last(), Some(&Recovering));
}

#[test]
fn the_higher_priority_goes_first() {
    let mut desk = Desk::new(auto());
    desk.arrive_as("urgent", Rules { priority: 90, ..auto() }, "basis");
    let slow = Finding::Present(Fault { kind: "service.slow".into(), ..fault("demo") });
    desk.find_as("urgent", slow);
    desk.answer(Topic::Diagnose, Ok(Reply::Causes(vec![])));
    let urgent = desk.questions.pop().unwrap();
    desk.propose("web", "demo");
    assert_eq!(desk.states().last(), Some(&Deferred), "{}", desk.last_reason());
    let reply = Ok(Reply::Recovery(Recovery::Escalate("not for me".into())));
    desk.give(Input::Answered { incident: urgent.incident.id, turn: urgent.turn, reply });
    desk.answer(Topic::Diagnose, Ok(Reply::Causes(vec![])));
    desk.recover(act("demo"));
    assert_eq!(desk.states().last(), Some(&Recovering));
}

#[test]
fn a_consequence_is_suppressed_until_its_cause_is_resolved() {
    let mut desk = Desk::new(auto());
    desk.propose("web", "db");
    desk.propose("web", "app");
    assert_eq!(desk.state_of("app"), Suppressed);
    assert!(desk.last_reason().contains(&desk.id_of("db")), "{}", desk.last_reason());
    desk.perform(true);
    desk.wait(seconds(1));
    desk.verify(Verdict::Healthy);
    desk.answer(Topic::Diagnose, Ok(Reply::Causes(vec![])));
    desk.recover(act("app"));
    assert_eq!(desk.state_of("app"), Recovering);
}

#[test]
fn a_budget_is_kept_also_over_a_restart_of_the_agent() {
    let budget = Some(Budget { count: 2, per: seconds(600) });
    let backoff = Backoff { initial: Duration::ZERO, ..Backoff::default() };
    let rules = Rules { budget, backoff, flapping: Flapping { enabled: false, ..Flapping::default() }, ..auto() };
    let mut desk = Desk::new(rules.clone());
    desk.heal("a");
    desk.heal("b");
    desk.propose("web", "c");
    assert_eq!(desk.state_of("c"), Deferred);
    assert!(desk.last_reason().starts_with("budget: "), "{}", desk.last_reason());

    let begun = |at| super::Begun { policy: "web".into(), targets: vec![], actions: 1, reboot: false, at };
    let past = Past { begun: vec![begun(seconds(900)), begun(seconds(900))], ..Past::default() };
    let mut desk = Desk::with(HostRules::default(), past);
    desk.arrive(rules, "basis");
    desk.propose("web", "c");
    assert_eq!(desk.state_of("c"), Deferred, "{}", desk.last_reason());
    desk.wait(seconds(200));
    desk.recover(act("c"));
    assert_eq!(desk.state_of("c"), Recovering);
}

#[test]
fn what_was_used_of_a_budget_counts_by_the_one_that_is_in_force() {
    let backoff = Backoff { initial: Duration::ZERO, ..Backoff::default() };
    let flapping = Flapping { enabled: false, ..Flapping::default() };
    let rules = |count| Rules { budget: Some(Budget { count, per: seconds(600) }), backoff, flapping, ..auto() };
    let mut desk = Desk::new(rules(1));
    desk.heal("a");
    desk.propose("web", "b");
    assert_eq!(desk.state_of("b"), Deferred);
    desk.arrive(rules(2), "more");
    desk.verify(Verdict::Unhealthy("still there".into()));
    desk.recover(act("b"));
    assert_eq!(desk.state_of("b"), Recovering, "{}", desk.last_reason());
    desk.propose("web", "c");
    assert_eq!(desk.state_of("c"), Deferred, "two are used up");
}

#[test]
fn only_so_many_plans_are_under_way_and_the_next_follows() {
    let mut desk = Desk::on(HostRules { max_plans: 1, ..HostRules::default() }, auto());
    for target in ["a", "b", "c"] {
        desk.propose("web", target);
    }
    assert_eq!(["a", "b", "c"].map(|target| desk.state_of(target)), [Recovering, Deferred, Deferred]);
    desk.perform(true);
    desk.wait(seconds(1));
    desk.verify(Verdict::Healthy);
    assert_eq!(["b", "c"].map(|target| desk.state_of(target)), [Diagnosed, Deferred]);
    // It does not take its place: the next one gets it.
    desk.recover(Recovery::Escalate("no".into()));
    assert_eq!(["b", "c"].map(|target| desk.state_of(target)), [Escalated, Diagnosed]);
    desk.recover(act("c"));
    assert_eq!(desk.state_of("c"), Recovering);
}

#[test]
fn a_fault_that_comes_and_goes_is_not_healed_for_ever() {
    let backoff = Backoff { initial: Duration::ZERO, ..Backoff::default() };
    let mut desk = Desk::new(Rules { backoff, ..auto() });
    let mut healed = 0;
    while desk.states().last() != Some(&Escalated) {
        desk.propose("web", "demo");
        if desk.states().last() == Some(&Recovering) {
            healed += 1;
            desk.perform(true);
            desk.wait(seconds(1));
            desk.verify(Verdict::Healthy);
        }
        assert!(healed < 10, "healed for ever");
    }
    assert!(healed >= 3, "healed {healed} times only");
    assert!(desk.last_reason().starts_with("flapping: "), "{}", desk.last_reason());
    assert!(desk.records.iter().any(|record| matches!(record, Record::Flapping { flapping: true, .. })));
    // Once it has been down for long, it is tried again.
    desk.wait(seconds(3600));
    desk.recover(act("demo"));
    assert_eq!(desk.states().last(), Some(&Recovering));
}

#[test]
fn used_up_attempts_are_tried_again_slowly_and_in_a_new_round() {
    let backoff = Backoff { initial: Duration::ZERO, ..Backoff::default() };
    let mut desk = Desk::new(Rules { attempts: 1, backoff, ..auto() });
    desk.propose("web", "demo");
    for round in 1..4 {
        desk.perform(true);
        desk.wait(seconds(1));
        desk.verify(Verdict::Unhealthy("still down".into()));
        desk.recover(act("demo"));
        assert_eq!(desk.states().last(), Some(&Escalated));
        desk.wait(seconds(15 * 60));
        desk.recover(act("demo"));
        assert_eq!(desk.states().last(), Some(&Recovering));
        assert!(matches!(desk.records.last(), Some(Record::Began { round: r, .. }) if *r == round));
    }
    let mut desk = Desk::new(Rules { retry_escalated: None, ..auto() });
    desk.until_recover();
    desk.recover(Recovery::Escalate("no".into()));
    desk.wait(seconds(1_000_000));
    assert!(desk.questions.is_empty());
}

#[test]
fn a_yes_lets_exactly_the_plan_through_that_was_asked_about() {
    let mut desk = Desk::new(Rules { mode: Mode::Approve, ..auto() });
    desk.propose("web", "demo");
    assert_eq!(desk.state_of("demo"), AwaitingApproval);
    assert_eq!(desk.notices(), [NoticeKind::ApprovalAsked]);
    let approve = || Word::Approve { incident: String::new(), reason: "go".into() };
    desk.say(approve()).unwrap_err();
    let incident = desk.id_of("demo");
    desk.say(Word::Approve { incident: incident.clone(), reason: "go".into() }).unwrap();
    let stop = Action { kind: "service.restart".into(), target: "demo2".into(), parameters: vec![] };
    desk.recover(Recovery::Act(Plan { actions: vec![stop], settle: seconds(1), deadline: seconds(1) }));
    assert_eq!(desk.state_of("demo"), AwaitingApproval, "another plan than the one agreed to");
    assert!(desk.last_reason().contains("changed"), "{}", desk.last_reason());
    desk.say(Word::Approve { incident: incident.clone(), reason: "go".into() }).unwrap();
    let stop = Action { kind: "service.restart".into(), target: "demo2".into(), parameters: vec![] };
    desk.recover(Recovery::Act(Plan { actions: vec![stop], settle: seconds(1), deadline: seconds(1) }));
    assert_eq!(desk.state_of("demo"), Recovering);
    assert!(desk.last_reason().contains("approved by root"), "{}", desk.last_reason());
    desk.say(Word::Approve { incident, reason: String::new() }).unwrap_err();
}

#[test]
fn a_no_is_not_asked_again_and_silence_is_an_answer_too() {
    let rules = Rules { mode: Mode::Approve, ..auto() };
    let mut desk = Desk::new(rules.clone());
    desk.propose("web", "demo");
    let incident = desk.id_of("demo");
    desk.say(Word::Deny { incident, reason: "not at noon".into() }).unwrap();
    assert_eq!(desk.state_of("demo"), Escalated);
    desk.wait(seconds(1_000_000));
    assert_eq!(desk.state_of("demo"), Escalated);

    let mut desk = Desk::new(rules);
    desk.propose("web", "demo");
    desk.wait(seconds(3600));
    assert_eq!(desk.state_of("demo"), Escalated);
    desk.wait(seconds(15 * 60));
    desk.recover(act("demo"));
    assert_eq!(desk.state_of("demo"), AwaitingApproval);
}

#[test]
fn what_cannot_be_undone_waits_for_a_person_in_auto_mode_too() {
    let grant = vec![Pattern::parse("service.restart:*").unwrap()];
    let mut desk = Desk::new(Rules { grant, ..auto() });
    desk.until_recover();
    desk.recover(act("demo"));
    assert_eq!(desk.states().last(), Some(&Recovering));
}

#[test]
fn an_incident_whose_plugin_was_taken_away_is_shown_and_closed_by_a_person() {
    let mut desk = Desk::new(auto());
    desk.until_recover();
    desk.give(Input::Gone { policy: "web".into() });
    desk.wait(seconds(59));
    assert_eq!(desk.states().last(), Some(&Diagnosed), "an upgrade takes a moment");
    desk.wait(seconds(1));
    assert_eq!(desk.states().last(), Some(&Orphaned));
    let incident = desk.id_of("demo");
    desk.say(Word::Resolve { incident, reason: "gone".into() }).unwrap();
    assert_eq!(desk.states().last(), Some(&Resolved));
    assert_eq!(desk.engine.open(), 0);

    // One that comes back takes its incidents up again.
    let mut desk = Desk::new(auto());
    desk.until_recover();
    desk.give(Input::Gone { policy: "web".into() });
    desk.wait(seconds(60));
    desk.arrive(auto(), "basis");
    desk.verify(Verdict::Unhealthy("down".into()));
    desk.answer(Topic::Diagnose, Ok(Reply::Causes(vec![])));
    desk.recover(act("demo"));
    assert_eq!(desk.states().last(), Some(&Recovering));
}

#[test]
fn what_healing_does_to_a_target_is_no_new_fault_for_another_policy() {
    let mut desk = Desk::new(auto());
    desk.arrive_as("other", auto(), "basis");
    desk.propose("web", "demo");
    desk.find_as("other", Finding::Present(fault("demo")));
    desk.find_as("other", cleared("demo"));
    desk.find_as("other", Finding::Present(fault("demo")));
    assert_eq!(desk.engine.open(), 1);
    desk.perform(true);
    desk.wait(seconds(1));
    desk.verify(Verdict::Healthy);
    assert_eq!(desk.engine.open(), 1, "it was never taken back, so it counts now");
    assert!(desk.questions.last().is_some_and(|question| question.incident.policy == "other"));
}

#[test]
fn persons_hear_of_what_was_healed_and_what_failed() {
    let mut desk = Desk::new(auto());
    desk.heal("demo");
    assert_eq!(desk.notices(), [NoticeKind::Healed]);
    let resolution = desk.records.iter().rev().find_map(|record| match record {
        Record::Moved { resolution, .. } => *resolution,
        _ => None,
    });
    assert_eq!(resolution, Some(Resolution::Healed));
    let mut desk = Desk::new(auto());
    desk.until_recover();
    desk.recover(Recovery::Escalate("help".into()));
    desk.find(cleared("demo"));
    assert_eq!(desk.notices(), [NoticeKind::Escalated, NoticeKind::Resolved]);
}

#[test]
fn what_another_policy_explains_waits_for_the_root_and_is_looked_at_when_that_is_over() {
    let mut desk = Desk::new(auto());
    let tree = Rules { mode: Mode::Observe, explains: vec!["shop-*".into()], ..Rules::default() };
    desk.arrive_as("tree", tree, "other");
    let consequence = |target: &str| crate::signal::Attribute::new("fault.consequence", target);
    let root = |targets: &[&str]| {
        let evidence = targets.iter().map(|target| consequence(target)).collect();
        Finding::Present(Fault { kind: "root".into(), evidence, ..fault("db") })
    };
    desk.find_as("tree", root(&["shop-api", "bank"]));
    desk.propose("web", "shop-api");
    assert_eq!(desk.state_of("shop-api"), State::Suppressed);
    desk.propose("web", "bank");
    assert_eq!(desk.state_of("bank"), State::Recovering, "nobody lets the policy explain that one");
    desk.find_as("tree", root(&[]));
    desk.propose("web", "shop-web");
    assert_eq!(desk.state_of("shop-web"), State::Recovering, "not said any more");
    desk.find_as("tree", Finding::Cleared { kind: "root".into(), target: "db".into() });
    assert_ne!(desk.state_of("shop-api"), State::Suppressed);
}

#[test]
fn a_hold_whose_time_is_over_leaves_the_record() {
    let mut desk = Desk::new(auto());
    let pause = |lasting| Word::Pause { policy: None, target: None, lasting, reason: String::new() };
    desk.say(pause(Some(seconds(60)))).unwrap();
    desk.wait(seconds(60));
    desk.say(Word::Resume { policy: None, target: None, all: true }).unwrap_err();
    assert!(matches!(desk.records.last(), Some(Record::Released { hold: 1, actor: None, .. })), "{:?}", desk.records);
    assert!(desk.engine.holds.is_empty());
}

#[test]
fn nobody_has_to_answer_for_a_fault_that_is_gone() {
    let mut desk = Desk::new(Rules { mode: Mode::Approve, ..auto() });
    desk.propose("web", "demo");
    desk.find(cleared("demo"));
    assert!(desk.records.iter().any(|record| matches!(record, Record::Pending { pending: None, .. })));
}

#[test]
fn what_a_person_forgave_stays_forgiven_when_the_agent_starts_again() {
    let breaker = Breaker { incidents: 2, actions: 100, within: seconds(600) };
    let host = HostRules { breaker, ..HostRules::default() };
    let opened = |at| super::Change {
        policy: "web".into(),
        kind: "service.down".into(),
        target: format!("{at:?}"),
        opened: at,
        resolved: Some(at),
    };
    for (forgiven, opens) in [(Some(seconds(950)), false), (None, true)] {
        let changes = (900..903).map(|at| opened(seconds(at))).collect();
        let mut desk = Desk::with(host.clone(), Past { changes, forgiven, ..Past::default() });
        desk.arrive(auto(), "basis");
        desk.find(Finding::Present(fault("demo")));
        assert_eq!(desk.notices().contains(&NoticeKind::BreakerOpened), opens, "{forgiven:?}");
    }
}

/// The incident as the records have it: what a ledger would give back.
fn rebuilt(records: &[Record]) -> Incident {
    let mut incident = None;
    for record in records {
        match (record, &mut incident) {
            (Record::Opened(opened), _) => incident = Some((**opened).clone()),
            (Record::Moved { to, .. }, Some(incident)) => incident.state = *to,
            (Record::Began { attempt, at, actions, .. }, Some(incident)) => incident.attempts.push(Attempt {
                round: 0,
                digest: String::new(),
                targets: vec![],
                number: *attempt,
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
    Raise { policy: u8, target: u8 },
    Clear { policy: u8, target: u8 },
    Answer { which: usize, reply: u8 },
    Perform { which: usize, ok: bool },
    Wait(u64),
    Arrive { policy: u8, mode: u8, basis: u8 },
    Gone(u8),
    Quarantine(u8),
    Release(u8),
    Pause { target: Option<u8>, lasting: Option<u64> },
    Resume,
    CloseBreaker,
    Word { which: usize, word: u8 },
    Crash,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        4 => (0..2_u8, 0..4_u8).prop_map(|(policy, target)| Happening::Raise { policy, target }),
        1 => (0..2_u8, 0..4_u8).prop_map(|(policy, target)| Happening::Clear { policy, target }),
        12 => (0..4_usize, 0..12_u8).prop_map(|(which, reply)| Happening::Answer { which, reply }),
        6 => (0..3_usize, any::<bool>()).prop_map(|(which, ok)| Happening::Perform { which, ok }),
        4 => (0..20_u64).prop_map(Happening::Wait),
        1 => (60..2000_u64).prop_map(Happening::Wait),
        2 => (0..2_u8, 0..3_u8, 0..2_u8).prop_map(|(policy, mode, basis)| Happening::Arrive { policy, mode, basis }),
        1 => (0..2_u8).prop_map(Happening::Gone),
        1 => (0..2_u8).prop_map(Happening::Quarantine),
        1 => (0..2_u8).prop_map(Happening::Release),
        1 => (proptest::option::of(0..4_u8), proptest::option::of(1..100_u64))
            .prop_map(|(target, lasting)| Happening::Pause { target, lasting }),
        2 => Just(Happening::Resume),
        1 => Just(Happening::CloseBreaker),
        2 => (0..4_usize, 0..3_u8).prop_map(|(which, word)| Happening::Word { which, word }),
        1 => Just(Happening::Crash),
    ]
}

const TARGETS: [&str; 4] = ["app", "db", "t2", "t3"];
const POLICIES: [&str; 2] = ["web", "other"];
const BUDGET: Budget = Budget { count: 4, per: Duration::from_secs(120) };

/// What the ledger would give back to an agent that was killed: the records, and nothing else.
fn recalled(records: &[Record], now: Duration) -> Past {
    let mut all: Vec<Incident> = Vec::new();
    let mut past = Past { next_hold: 1, ..Past::default() };
    for record in records {
        if let Record::Opened(opened) = record {
            all.push((**opened).clone());
            continue;
        }
        match record {
            Record::Held(hold) => {
                past.next_hold = hold.id + 1;
                past.holds.push(hold.clone());
            }
            Record::Released { hold, .. } => past.holds.retain(|held| held.id != *hold),
            Record::Tripped(trip) => past.trip = Some(trip.clone()),
            Record::Closed { .. } => past.trip = None,
            Record::Quarantined(quarantine) => past.quarantines.push(quarantine.clone()),
            Record::Freed { policy, .. } => past.quarantines.retain(|it| it.policy != *policy),
            _ => {}
        }
        let Some(incident) = all.iter_mut().find(|incident| record.incident() == Some(&incident.id)) else { continue };
        match record {
            Record::Moved { to, at, cause, resolution, basis, .. } => {
                (incident.state, incident.since) = (*to, *at);
                incident.cause.clone_from(cause);
                incident.resolution = *resolution;
                incident.basis.clone_from(basis);
            }
            Record::Began { attempt, at: started, round, targets, actions, .. } => {
                let mono = at(now).mono_of(*started);
                past.begun.push(super::Begun {
                    policy: incident.policy.clone(),
                    targets: targets.clone(),
                    actions: actions.len(),
                    reboot: false,
                    at: mono,
                });
                incident.attempts.push(Attempt {
                    number: *attempt,
                    started: *started,
                    finished: None,
                    round: *round,
                    digest: String::new(),
                    targets: targets.clone(),
                    actions: actions.clone(),
                    outcomes: vec![],
                    verdict: None,
                });
            }
            Record::Judged { verdict, .. } => incident.attempts.last_mut().unwrap().verdict = Some(verdict.clone()),
            Record::Pending { pending, .. } => incident.pending.clone_from(pending),
            Record::Round { round, .. } => incident.round = *round,
            _ => {}
        }
    }
    past.last_id = all.last().map(|incident| incident.id.clone()).unwrap_or_default();
    past.open = all.into_iter().filter(|incident| incident.state != Resolved).collect();
    past
}

/// What must hold of everything that was ever written down.
fn check_history(records: &[Record]) -> Result<(), TestCaseError> {
    let mut incidents: HashMap<&str, &Incident> = HashMap::new();
    let mut state: HashMap<&str, State> = HashMap::new();
    let mut busy: HashMap<&str, &Vec<String>> = HashMap::new();
    let mut begun: Vec<(Timestamp, &str)> = Vec::new();
    let mut rounds: HashMap<(&str, u32), u32> = HashMap::new();
    for record in records {
        match record {
            Record::Opened(incident) => {
                let same = |open: &&Incident| {
                    (&open.policy, &open.fault.kind, &open.fault.target)
                        == (&incident.policy, &incident.fault.kind, &incident.fault.target)
                        && state.get(open.id.as_str()) != Some(&Resolved)
                };
                prop_assert!(!incidents.values().any(same), "two open incidents of one fault");
                incidents.insert(&incident.id, incident);
                state.insert(&incident.id, Detected);
            }
            Record::Moved { id, from, to, .. } => {
                prop_assert_eq!(state.get(id.as_str()), Some(from), "{:?}", record);
                prop_assert!(from.to(*to).is_ok(), "{:?}", record);
                state.insert(id, *to);
                if *from == Verifying {
                    busy.remove(id.as_str());
                }
            }
            Record::Began { id, at, round, targets, .. } => {
                for (other, held) in &busy {
                    prop_assert!(
                        !held.iter().any(|target| targets.contains(target)),
                        "{} and {} on {:?}",
                        other,
                        id,
                        targets
                    );
                }
                busy.insert(id, targets);
                let acting = busy.keys().filter(|id| state.get(**id) == Some(&Recovering)).count();
                prop_assert!(acting <= 2, "{acting} plans at once");
                let policy = &incidents[id.as_str()].policy;
                let own = busy.keys().filter(|id| incidents[**id].policy == *policy).count();
                prop_assert!(own <= 2, "{own} plans of one policy at once");
                let count = rounds.entry((id, *round)).or_default();
                *count += 1;
                prop_assert!(*count <= 3, "{count} attempts in one round");
                begun.push((*at, incidents[id.as_str()].policy.as_str()));
                // A token bucket lets at most its size and what flows in meanwhile through, in any stretch of time.
                for policy in POLICIES {
                    let own: Vec<_> = begun.iter().filter(|(_, of)| *of == policy).map(|(at, _)| *at).collect();
                    for (n, first) in own.iter().enumerate() {
                        let most = f64::from(BUDGET.count)
                            + at.since(*first).as_secs_f64() / BUDGET.per.as_secs_f64() * f64::from(BUDGET.count);
                        prop_assert!((own.len() - n) as f64 <= most + 1e-6, "budget of {policy} exceeded");
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

proptest! {
    /// No schedule of findings, answers, outcomes, waits, reloads, quarantines, holds, words and crashes reaches a forbidden move, begins
    /// more attempts than allowed, exceeds a budget, has two plans on one target, acts in observe mode, under a hold or an
    /// open breaker, or without a yes in approve mode, has two open incidents of one fault, or resolves without a verdict of
    /// healthy, a clearing or a person's word.
    #[test]
    fn no_schedule_breaks_the_rules(happenings in proptest::collection::vec(happening(), 1..150)) {
        let breaker = Breaker { incidents: 30, actions: 20, within: seconds(300) };
        let host = HostRules { max_plans: 2, breaker, ..HostRules::default() };
        let rules = |mode| Rules { mode, budget: Some(BUDGET), ..auto() };
        let mut desk = Desk::with(host.clone(), Past::default());
        let mut modes = [Mode::Auto; 2];
        for policy in POLICIES {
            desk.arrive_as(policy, rules(Mode::Auto), "basis");
        }
        for happening in happenings {
            let before = desk.records.len();
            let mut may_resolve = false;
            match happening {
                Happening::Raise { policy, target } => {
                    desk.find_as(POLICIES[usize::from(policy)], Finding::Present(fault(TARGETS[usize::from(target)])));
                }
                Happening::Clear { policy, target } => {
                    may_resolve = true;
                    desk.find_as(POLICIES[usize::from(policy)], cleared(TARGETS[usize::from(target)]));
                }
                Happening::Answer { which, reply } => {
                    if which >= desk.questions.len() { continue }
                    let question = desk.questions.remove(which);
                    let target = question.incident.fault.target.clone();
                    let reply = match (reply, question.topic) {
                        (0, _) => Err("trap".into()),
                        (1, _) => Ok(Reply::Recovery(Recovery::Wait(seconds(3)))),
                        (2, _) => Ok(Reply::Recovery(Recovery::Escalate("help".into()))),
                        (3, _) => Ok(Reply::Verdict(Verdict::Unhealthy("no".into()))),
                        (4, _) => Ok(Reply::Verdict(Verdict::Undecided)),
                        (_, Topic::Diagnose) => Ok(Reply::Causes(vec![])),
                        (5, Topic::Verify) => Ok(Reply::Verdict(Verdict::Unhealthy("no".into()))),
                        (_, Topic::Verify) => Ok(Reply::Verdict(Verdict::Healthy)),
                        (_, Topic::Recover) => Ok(Reply::Recovery(act(&target))),
                    };
                    may_resolve = reply == Ok(Reply::Verdict(Verdict::Healthy));
                    desk.give(Input::Answered { incident: question.incident.id, turn: question.turn, reply });
                }
                Happening::Perform { which, ok } => {
                    if which >= desk.orders.len() { continue }
                    let order = desk.orders.remove(which);
                    desk.orders.push(order);
                    desk.perform(ok);
                }
                Happening::Wait(n) => desk.wait(seconds(n)),
                Happening::Arrive { policy, mode, basis } => {
                    let policy = usize::from(policy);
                    modes[policy] = [Mode::Observe, Mode::Approve, Mode::Auto][usize::from(mode)];
                    desk.arrive_as(POLICIES[policy], rules(modes[policy]), &format!("basis {basis}"));
                }
                Happening::Gone(policy) => desk.give(Input::Gone { policy: POLICIES[usize::from(policy)].into() }),
                Happening::Quarantine(policy) => {
                    let policy = usize::from(policy);
                    desk.quarantine_as(POLICIES[policy], rules(modes[policy]), "basis");
                    for case in desk.engine.cases.values().filter(|case| case.incident.policy == POLICIES[policy]) {
                        let state = case.incident.state;
                        prop_assert!(matches!(state, Escalated | Recovering | Verifying | Orphaned), "{state}");
                    }
                }
                Happening::Release(policy) => {
                    let (policy, mode) = (POLICIES[usize::from(policy)], modes[usize::from(policy)]);
                    let known = desk.engine.quarantines.contains_key(policy);
                    let said = desk.say(Word::Release { name: policy.into(), reason: String::new() });
                    prop_assert_eq!(said.is_ok(), known);
                    if known {
                        desk.arrive_as(policy, rules(mode), "basis");
                    }
                }
                Happening::Pause { target, lasting } => {
                    let target = target.map(|target| TARGETS[usize::from(target)].to_owned());
                    let lasting = lasting.map(seconds);
                    desk.say(Word::Pause { policy: None, target, lasting, reason: String::new() }).unwrap();
                }
                Happening::Resume => drop(desk.say(Word::Resume { policy: None, target: None, all: true })),
                Happening::CloseBreaker => drop(desk.say(Word::CloseBreaker)),
                Happening::Word { which, word } => {
                    let Some(incident) = desk.engine.cases.keys().nth(which).cloned() else { continue };
                    may_resolve = word == 2;
                    drop(desk.say(match word {
                        0 => Word::Approve { incident, reason: String::new() },
                        1 => Word::Deny { incident, reason: String::new() },
                        _ => Word::Resolve { incident, reason: String::new() },
                    }));
                }
                Happening::Crash => {
                    let past = recalled(&desk.records, desk.now);
                    let (records, now) = (std::mem::take(&mut desk.records), desk.now);
                    let (engine, first) = Engine::restore(host.clone(), Chain::standard(), Box::new(Flat), past, at(now));
                    desk = Desk { engine, now, records, questions: vec![], orders: vec![], replies: vec![] };
                    desk.take(first);
                    for (policy, mode) in POLICIES.into_iter().zip(modes) {
                        match desk.engine.quarantines.contains_key(policy) {
                            true => desk.quarantine_as(policy, rules(mode), "basis"),
                            false => desk.arrive_as(policy, rules(mode), "basis"),
                        }
                    }
                }
            }
            let (holds, trip) = (desk.engine.holds.clone(), desk.engine.trip.clone());
            let quarantined: Vec<String> = desk.engine.quarantines.keys().cloned().collect();
            for (n, record) in desk.records[before..].iter().enumerate() {
                match record {
                    Record::Moved { to: Resolved, .. } => prop_assert!(may_resolve, "{record:?}"),
                    Record::Began { id, actions, .. } => {
                        let incident = &desk.engine.cases[id].incident;
                        let mode = modes[usize::from(incident.policy == POLICIES[1])];
                        prop_assert!(mode != Mode::Observe, "{record:?} in {mode:?}");
                        prop_assert!(!quarantined.contains(&incident.policy), "{record:?} in quarantine");
                        let reason = desk.records[..before + n].iter().rev().find_map(|record| match record {
                            Record::Moved { id: moved, reason, .. } if moved == id => Some(reason),
                            _ => None,
                        });
                        if mode == Mode::Approve {
                            prop_assert!(reason.unwrap().contains("approved by root"), "{record:?}");
                        }
                        let held = holds.iter().any(|hold| {
                            hold.until.is_none_or(|until| until > at(desk.now).wall)
                                && hold.target.as_ref().is_none_or(|target| actions.iter().any(|a| a.target == *target))
                        });
                        prop_assert!(!held && trip.is_none(), "{record:?} under {holds:?} {trip:?}");
                    }
                    _ => {}
                }
            }
        }
        check_history(&desk.records)?;
    }
}

#[test]
fn forgetting_what_is_calm_costs_each_fault_of_a_storm_a_few_looks() {
    let faults = 5 * super::findings::MANY;
    let mut desk = Desk::new(Rules::default());
    for number in 0..faults {
        desk.find(Finding::Present(fault(&format!("t{number}"))));
        // More at once would not be taken up.
        desk.now += Duration::from_secs(1);
    }
    assert_eq!(desk.engine.flaps.len(), faults, "those that are open are remembered");
    let looks = desk.engine.flaps_looked_at;
    assert!((1..2 * faults).contains(&looks), "{looks} looks at {faults} faults");
}

#[test]
fn faults_that_are_over_and_calm_are_forgotten() {
    let many = super::findings::MANY;
    let mut desk = Desk::new(Rules::default());
    let mut most = 0;
    // Each comes and goes once, and long before the next.
    for number in 0..3 * many {
        let target = format!("t{number}");
        desk.find(Finding::Present(fault(&target)));
        desk.find(cleared(&target));
        desk.now += Duration::from_secs(3600);
        most = most.max(desk.engine.flaps.len());
        desk.records.clear();
        desk.questions.clear();
    }
    assert!(most <= many, "{most}");
    let looks = desk.engine.flaps_looked_at;
    assert!((1..4 * many).contains(&looks), "{looks} looks");
}
