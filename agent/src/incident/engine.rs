//! The incident engine: findings, answers and outcomes in; records and effects out. Pure, with the time as an argument, so
//! that what must be in the ledger first is a matter of order in one list, and any schedule can be tried in a test.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::ident::Ids;
use super::message::{Effect, Input, Question, Reply, Step, Topic};
use super::{Attempt, Cause, Fault, Finding, Incident, Plan, Recency, Record, Recovery, State, Verdict};
use crate::action::Outcome;
use crate::action::actuator::Order;
use crate::clock::Now;
use crate::config::{Mode, Rules};
use crate::guard::{Answer, Chain, Request};

/// How long a plugin that has just come up may take to say whether an open incident's fault is still there, before it
/// counts as being there.
const RECHECK: Duration = Duration::from_secs(10);
/// How often a plugin may fail to answer `recover` for one incident before a person is needed.
const MAX_STUMBLES: u32 = 3;

/// A fault's name: policy, kind, target. There is at most one open incident of each.
type Key = (String, String, String);

/// An open incident and what is going on with it.
#[derive(Debug)]
struct Case {
    incident: Incident,
    /// The last question's.
    turn: u64,
    /// When to look at it again without being told anything, on the monotonic count.
    due: Option<Duration>,
    /// The plan under way.
    plan: Option<Plan>,
    /// How often the plugin failed to say what to do.
    stumbles: u32,
}

/// A policy whose instance is up.
#[derive(Debug)]
struct Office {
    name: Arc<str>,
    plugin: Arc<str>,
    rules: Arc<Rules>,
    basis: Arc<str>,
}

/// The engine.
#[derive(Debug)]
pub struct Engine {
    ceiling: Mode,
    guards: Chain,
    offices: HashMap<Arc<str>, Office>,
    cases: BTreeMap<String, Case>,
    by_fault: HashMap<Key, String>,
    due: BTreeSet<(Duration, String)>,
    recency: HashMap<(String, String), Recency>,
    ids: Ids,
}

impl Engine {
    /// An engine that carries on with the incidents that are open in the ledger and with what was tried lately on each
    /// policy's targets. Actions that were under way are not begun again: whether they worked is looked at first.
    pub fn restore(
        ceiling: Mode,
        guards: Chain,
        open: Vec<Incident>,
        recency: HashMap<(String, String), Recency>,
        now: Now,
    ) -> (Self, Step) {
        let mut engine = Self {
            ceiling,
            guards,
            offices: HashMap::new(),
            cases: BTreeMap::new(),
            by_fault: HashMap::new(),
            due: BTreeSet::new(),
            recency,
            ids: Ids::default(),
        };
        let mut step = Step::default();
        for incident in open {
            let mut case = Case { incident, turn: 0, due: None, plan: None, stumbles: 0 };
            if case.incident.state == State::Recovering {
                let reason = "the agent ended while actions were under way; what they did is looked at first";
                case.shift(State::Verifying, reason, now, None, &mut step);
            }
            engine.by_fault.insert(key(&case.incident.policy, &case.incident.fault), case.incident.id.clone());
            engine.cases.insert(case.incident.id.clone(), case);
        }
        (engine, step)
    }

    /// How many incidents are open.
    pub fn open(&self) -> usize {
        self.cases.len()
    }

    /// When [`tick`](Self::tick) has something to do.
    pub fn next_due(&self) -> Option<Duration> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Takes in one thing that happened.
    pub fn handle(&mut self, input: Input, now: Now, step: &mut Step) {
        match input {
            Input::Arrived { policy, plugin, rules, basis } => {
                self.offices.insert(policy.clone(), Office { name: policy.clone(), plugin, rules, basis });
                for id in self.cases_of(&policy) {
                    self.recheck(&id, now, step);
                }
            }
            Input::Gone { policy } => {
                self.offices.remove(&policy);
            }
            Input::Found { policy, findings } => {
                for finding in findings {
                    match finding {
                        Finding::Present(fault) => self.raise(&policy, fault, now, step),
                        Finding::Cleared { kind, target } => self.clear(&policy, kind, target, now, step),
                    }
                }
            }
            Input::Answered { incident, turn, reply } => {
                let current = self.cases.get(&incident).is_some_and(|case| case.turn == turn);
                if current {
                    self.answered(&incident, reply, now, step);
                }
            }
            Input::Done { incident, attempt, outcome } => self.done(&incident, attempt, outcome, step),
            Input::Performed { incident, attempt } => self.performed(&incident, attempt, now, step),
        }
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Now, step: &mut Step) {
        while let Some((due, id)) = self.due.first().cloned() {
            if due > now.mono {
                break;
            }
            self.due.remove(&(due, id.clone()));
            let Some(case) = self.cases.get_mut(&id) else { continue };
            case.due = None;
            match (case.incident.state, case.plan.take()) {
                // It has settled: now the plugin may take as long as the plan says.
                (State::Verifying, Some(plan)) => {
                    self.ask(&id, Topic::Verify, step);
                    self.set_due(&id, now.mono + plan.deadline);
                }
                (State::Verifying, None) => {
                    let reason = "it could not be told in time whether the attempt worked";
                    self.judged(&id, Verdict::Unhealthy(reason.to_owned()), now, step);
                }
                (_, plan) => {
                    case.plan = plan;
                    self.proceed(&id, now, step);
                }
            }
        }
    }

    // === findings ===

    fn raise(&mut self, policy: &Arc<str>, fault: Fault, now: Now, step: &mut Step) {
        let Some(office) = self.offices.get(policy) else { return };
        if let Some(case) = self.by_fault.get(&key(policy, &fault)).and_then(|id| self.cases.get_mut(id)) {
            if case.incident.fault != fault {
                case.incident.fault = fault.clone();
                step.records.push(Record::Raised { id: case.incident.id.clone(), fault });
            }
            return;
        }
        let incident = Incident {
            id: self.ids.next(now.wall),
            plugin: office.plugin.to_string(),
            policy: office.name.to_string(),
            fault,
            state: State::Detected,
            opened_at: now.wall,
            resolved_at: None,
            causes: Vec::new(),
            round: 0,
            attempts: Vec::new(),
            basis: office.basis.to_string(),
        };
        let id = incident.id.clone();
        step.records.push(Record::Opened(Box::new(incident.clone())));
        self.by_fault.insert(key(policy, &incident.fault), id.clone());
        self.cases.insert(id.clone(), Case { incident, turn: 0, due: None, plan: None, stumbles: 0 });
        self.ask(&id, Topic::Diagnose, step);
    }

    fn clear(&mut self, policy: &str, kind: String, target: String, now: Now, step: &mut Step) {
        let Some(id) = self.by_fault.get(&(policy.to_owned(), kind, target)).cloned() else {
            return;
        };
        let Some(case) = self.cases.get(&id) else { return };
        // An attempt is judged by `verify`, after it has settled: that it looks well at this moment is not yet proof.
        if !matches!(case.incident.state, State::Recovering | State::Verifying) {
            self.resolve(&id, "the fault cleared by itself", now, step);
        }
    }

    // === answers ===

    fn answered(&mut self, id: &str, reply: Result<Reply, String>, now: Now, step: &mut Step) {
        let Some(state) = self.cases.get(id).map(|case| case.incident.state) else {
            return;
        };
        match (state, reply) {
            // A verdict outside of an attempt is the answer to a recheck.
            (State::Verifying, Ok(Reply::Verdict(verdict))) => self.judged(id, verdict, now, step),
            (_, Ok(Reply::Verdict(Verdict::Healthy))) => {
                self.resolve(id, "the fault was gone when it was looked at again", now, step);
            }
            (_, Ok(Reply::Verdict(Verdict::Unhealthy(_)))) => self.proceed(id, now, step),
            (State::Detected, Ok(Reply::Causes(causes))) => self.diagnosed(id, causes, now, step),
            // A plugin that cannot explain a fault may still know what to do about it.
            (State::Detected, Err(_)) => self.diagnosed(id, Vec::new(), now, step),
            (State::Diagnosed, Ok(Reply::Recovery(recovery))) => self.decided(id, recovery, now, step),
            (State::Diagnosed, Err(error)) => self.stumbled(id, &error, now, step),
            _ => {}
        }
    }

    fn diagnosed(&mut self, id: &str, causes: Vec<Cause>, now: Now, step: &mut Step) {
        let Some(case) = self.cases.get_mut(id) else { return };
        let reason = causes.first().map_or("no cause is known".to_owned(), |cause| cause.summary.clone());
        if !causes.is_empty() {
            step.records.push(Record::Diagnosed { id: id.to_owned(), causes: causes.clone() });
            case.incident.causes = causes;
        }
        self.shift(id, State::Diagnosed, &reason, now, step);
        self.ask(id, Topic::Recover, step);
    }

    fn decided(&mut self, id: &str, recovery: Recovery, now: Now, step: &mut Step) {
        let plan = match recovery {
            Recovery::Act(plan) if plan.actions.is_empty() => {
                return self.shift(id, State::Escalated, "the plugin's plan has no action in it", now, step);
            }
            Recovery::Act(plan) => plan,
            Recovery::Wait(wait) => {
                let reason = format!("the plugin waits for {} s", wait.as_secs_f64());
                self.shift(id, State::Deferred, &reason, now, step);
                return self.set_due(id, now.mono + wait);
            }
            Recovery::Escalate(reason) => return self.shift(id, State::Escalated, &reason, now, step),
        };
        let Some(case) = self.cases.get(id) else { return };
        let Some(office) = self.offices.get(case.incident.policy.as_str()) else {
            return;
        };
        let attempts = u32::try_from(case.incident.attempts.len()).unwrap_or(u32::MAX);
        let target = (case.incident.policy.clone(), case.incident.fault.target.clone());
        let recency = self.recency.get(&target).copied().unwrap_or_default();
        let rules = office.rules.clone();
        let answer = self.guards.judge(&Request {
            rules: &rules,
            ceiling: self.ceiling,
            target: &target.1,
            actions: &plan.actions,
            attempts,
            recency,
            now,
        });
        match answer {
            Answer::Allow => self.begin(id, plan, attempts + 1, target, &rules, now, step),
            Answer::Defer { until, reason } => {
                self.shift(id, State::Deferred, &reason, now, step);
                self.set_due(id, until);
            }
            Answer::Deny { reason } => self.shift(id, State::Escalated, &reason, now, step),
            Answer::Suppress { reason } => self.shift(id, State::Suppressed, &reason, now, step),
            Answer::Ask { reason } => self.shift(id, State::AwaitingApproval, &reason, now, step),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "what `decided` has at hand, split off for its length")]
    fn begin(
        &mut self,
        id: &str,
        plan: Plan,
        number: u32,
        target: (String, String),
        rules: &Rules,
        now: Now,
        step: &mut Step,
    ) {
        let recency = self.recency.entry(target).or_default();
        recency.began(now.mono, &rules.backoff);
        let streak = recency.streak;
        let actions: Vec<String> = plan.actions.iter().map(ToString::to_string).collect();
        self.shift(id, State::Recovering, &format!("attempt {number}: {}", actions.join(", ")), now, step);
        let Some(case) = self.cases.get_mut(id) else { return };
        let (at, actions) = (now.wall, plan.actions.clone());
        step.records.push(Record::Began { id: id.to_owned(), attempt: number, at, streak, actions: actions.clone() });
        case.incident.attempts.push(Attempt {
            number,
            round: case.incident.round,
            started: at,
            finished: None,
            actions: actions.clone(),
            outcomes: Vec::new(),
            verdict: None,
        });
        case.plan = Some(plan);
        step.effects.push(Effect::Perform(Order { incident: id.to_owned(), attempt: number, actions }));
    }

    fn stumbled(&mut self, id: &str, error: &str, now: Now, step: &mut Step) {
        let Some(case) = self.cases.get_mut(id) else { return };
        case.stumbles += 1;
        if case.stumbles >= MAX_STUMBLES {
            let reason = format!("the plugin failed {MAX_STUMBLES} times to say what to do: {error}");
            return self.shift(id, State::Escalated, &reason, now, step);
        }
        let wait = Duration::from_secs(1 << case.stumbles);
        self.shift(id, State::Deferred, &format!("the plugin failed to say what to do: {error}"), now, step);
        self.set_due(id, now.mono + wait);
    }

    // === actions and verdicts ===

    fn done(&mut self, id: &str, number: u32, outcome: Outcome, step: &mut Step) {
        let Some(case) = self.cases.get_mut(id) else { return };
        let Some(attempt) = case.incident.attempts.last_mut().filter(|attempt| attempt.number == number) else {
            return;
        };
        let place = u32::try_from(attempt.outcomes.len()).unwrap_or(u32::MAX);
        attempt.outcomes.push(outcome.clone());
        step.records.push(Record::Done { id: id.to_owned(), attempt: number, step: place, outcome });
    }

    fn performed(&mut self, id: &str, number: u32, now: Now, step: &mut Step) {
        let Some(case) = self.cases.get(id) else { return };
        let Some(attempt) = case.incident.attempts.last().filter(|attempt| attempt.number == number) else {
            return;
        };
        if case.incident.state != State::Recovering {
            return;
        }
        let settle = case.plan.as_ref().map_or(Duration::ZERO, |plan| plan.settle);
        let (reason, wait) = match attempt.outcomes.iter().find(|outcome| !outcome.ok) {
            // Nothing that could settle was done. Whether the fault is still there is looked at all the same: an action
            // can fail because somebody else was faster.
            Some(failed) => (format!("{} failed: {}", failed.action, failed.detail), Duration::ZERO),
            None => ("all actions done".to_owned(), settle),
        };
        self.shift(id, State::Verifying, &reason, now, step);
        self.set_due(id, now.mono + wait);
    }

    fn judged(&mut self, id: &str, verdict: Verdict, now: Now, step: &mut Step) {
        let Some(case) = self.cases.get_mut(id) else { return };
        if verdict == Verdict::Undecided {
            return;
        }
        if let Some(attempt) = case.incident.attempts.last_mut().filter(|attempt| attempt.verdict.is_none()) {
            attempt.finished = Some(now.wall);
            attempt.verdict = Some(verdict.clone());
            let (number, at) = (attempt.number, now.wall);
            step.records.push(Record::Judged { id: id.to_owned(), attempt: number, at, verdict: verdict.clone() });
        }
        match verdict {
            Verdict::Unhealthy(reason) => {
                self.shift(id, State::Diagnosed, &reason, now, step);
                self.ask(id, Topic::Recover, step);
            }
            _ => self.resolve(id, "verified healthy", now, step),
        }
    }

    fn resolve(&mut self, id: &str, reason: &str, now: Now, step: &mut Step) {
        self.shift(id, State::Resolved, reason, now, step);
        let Some(case) = self.cases.remove(id) else { return };
        self.forget_due(id, case.due);
        self.by_fault.remove(&key(&case.incident.policy, &case.incident.fault));
        if !case.incident.attempts.is_empty() {
            let target = (case.incident.policy, case.incident.fault.target);
            self.recency.entry(target).or_default().healthy_since = Some(now.mono);
        }
    }

    // === looking again ===

    /// An instance has come up that knows nothing yet of this incident: first it says whether the fault is still there.
    fn recheck(&mut self, id: &str, now: Now, step: &mut Step) {
        let Some(case) = self.cases.get(id) else { return };
        match case.incident.state {
            // Actions are under way, or their effect is settling: what follows asks the new instance by itself.
            State::Recovering => {}
            State::Verifying if case.plan.is_some() => {}
            state => {
                // An attempt that is being judged keeps the time its plan gave it.
                let due = if state == State::Verifying { case.due } else { None };
                self.ask(id, Topic::Verify, step);
                self.set_due(id, due.unwrap_or(now.mono + RECHECK));
            }
        }
    }

    /// The fault is still there, or nobody can tell; the incident goes on from where it stands.
    fn proceed(&mut self, id: &str, now: Now, step: &mut Step) {
        let Some(case) = self.cases.get(id) else { return };
        let Some(office) = self.offices.get(case.incident.policy.as_str()) else {
            return;
        };
        let changed = *office.basis != *case.incident.basis;
        match case.incident.state {
            State::Detected => self.ask(id, Topic::Diagnose, step),
            State::Diagnosed => self.ask(id, Topic::Recover, step),
            State::Deferred => {
                self.shift(id, State::Diagnosed, "the wait is over", now, step);
                self.ask(id, Topic::Recover, step);
            }
            // Somebody else is needed; unless the policy or the plugin is another one by now.
            State::AwaitingApproval | State::Escalated | State::Suppressed if changed => {
                self.shift(id, State::Diagnosed, "policy or plugin changed", now, step);
                self.ask(id, Topic::Recover, step);
            }
            // Still watched: what `detect` says to have cleared is resolved from here too.
            State::AwaitingApproval | State::Escalated | State::Suppressed => {}
            State::Recovering | State::Verifying | State::Resolved => {}
        }
    }

    // === the small moves ===

    fn shift(&mut self, id: &str, to: State, reason: &str, now: Now, step: &mut Step) {
        let Some(case) = self.cases.get_mut(id) else { return };
        let due = case.due.take();
        let basis = self.offices.get(case.incident.policy.as_str()).map(|office| office.basis.clone());
        case.shift(to, reason, now, basis, step);
        self.forget_due(id, due);
    }

    fn ask(&mut self, id: &str, topic: Topic, step: &mut Step) {
        let Some(case) = self.cases.get_mut(id) else { return };
        let Some(office) = self.offices.get(case.incident.policy.as_str()) else {
            return;
        };
        case.turn += 1;
        let question = Question { topic, incident: case.incident.clone(), turn: case.turn };
        step.effects.push(Effect::Ask(office.name.clone(), Box::new(question)));
    }

    fn set_due(&mut self, id: &str, due: Duration) {
        let Some(case) = self.cases.get_mut(id) else { return };
        let before = case.due.replace(due);
        self.forget_due(id, before);
        self.due.insert((due, id.to_owned()));
    }

    fn forget_due(&mut self, id: &str, due: Option<Duration>) {
        if let Some(due) = due {
            self.due.remove(&(due, id.to_owned()));
        }
    }

    fn cases_of(&self, policy: &str) -> Vec<String> {
        self.cases.values().filter(|case| case.incident.policy == policy).map(|case| case.incident.id.clone()).collect()
    }
}

impl Case {
    /// Moves to another state and writes it down. A move that does not exist is a bug of the engine: it is left out, loudly,
    /// since an incident in a wrong state is worse than one that stays where it is.
    fn shift(&mut self, to: State, reason: &str, now: Now, basis: Option<Arc<str>>, step: &mut Step) {
        let from = self.incident.state;
        if let Err(forbidden) = from.to(to) {
            tracing::error!(incident = self.incident.id, %forbidden, "a bug in the incident engine; please report it");
            debug_assert!(false, "{forbidden}");
            return;
        }
        self.incident.state = to;
        if let Some(basis) = basis {
            self.incident.basis = basis.to_string();
        }
        if to == State::Resolved {
            self.incident.resolved_at = Some(now.wall);
        }
        step.records.push(Record::Moved {
            id: self.incident.id.clone(),
            from,
            to,
            at: now.wall,
            reason: reason.to_owned(),
            basis: self.incident.basis.clone(),
        });
    }
}

fn key(policy: &str, fault: &Fault) -> Key {
    (policy.to_owned(), fault.kind.clone(), fault.target.clone())
}
