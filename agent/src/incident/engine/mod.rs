//! The incident engine: findings, answers and outcomes in; records and effects out. Pure, with the time and the lie of the
//! land as arguments, so that what must be in the ledger first is a matter of order in one list, and any schedule can be
//! tried in a test.

mod answers;
mod attempts;
mod findings;
mod load;
mod people;
mod quarantine;
mod restore;
#[cfg(test)]
mod tests;
mod waiting;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

pub use restore::Past;
pub(in crate::incident) use restore::{Begun, Change};

use super::ident::Ids;
use super::message::{Effect, Input, Question, Step, Topic};
use super::{
    About, Fault, Finding, Hold, Incident, Notice, NoticeKind, Plan, Quarantine, Recency, Record, Resolution, State,
    Terrain, Trip,
};
use crate::clock::{Now, Timestamp};
use crate::config::{HostRules, Rules};
use crate::guard::{Chain, Flaps, Waits};
use load::Load;

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
    /// When the state it is parked in ends by itself.
    next: Option<Duration>,
    /// What else ends it.
    waits: Option<Waits>,
    /// The plan under way.
    plan: Option<Plan>,
    /// How often the plugin failed to say what to do.
    stumbles: u32,
    /// Whether a person was told of it in a way that wants an end.
    told: bool,
}

impl Case {
    fn new(incident: Incident) -> Self {
        Self { incident, turn: 0, due: None, next: None, waits: None, plan: None, stumbles: 0, told: false }
    }
}

/// A policy whose instance is up.
#[derive(Debug)]
struct Office {
    name: Arc<str>,
    plugin: Arc<str>,
    rules: Arc<Rules>,
    basis: Arc<str>,
    digest: Arc<str>,
}

/// What is due at some time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// To look at an incident.
    Case(String),
    /// To give up on a policy that is gone.
    Orphans(Arc<str>),
}

/// A move to another state, with what is known of it.
struct Move<'a> {
    to: State,
    reason: &'a str,
    actor: Option<&'a str>,
    cause: Option<&'a str>,
    resolution: Option<Resolution>,
}

impl<'a> Move<'a> {
    fn new(to: State, reason: &'a str) -> Self {
        Self { to, reason, actor: None, cause: None, resolution: None }
    }
}

/// The engine.
pub struct Engine {
    host: HostRules,
    guards: Chain,
    terrain: Box<dyn Terrain>,
    offices: HashMap<Arc<str>, Office>,
    /// What policies were allowed that are gone, and whose incidents may be open still.
    gone: HashMap<Arc<str>, Arc<Rules>>,
    cases: BTreeMap<String, Case>,
    by_fault: HashMap<Key, String>,
    by_target: HashMap<String, BTreeSet<String>>,
    by_policy: HashMap<String, BTreeSet<String>>,
    /// Incidents by the targets they say to have brought down.
    explained: HashMap<String, BTreeSet<String>>,
    due: BTreeSet<(Duration, Due)>,
    recency: HashMap<(String, String), Recency>,
    /// Which incident's plan has a target.
    locks: HashMap<String, String>,
    /// Incidents with a plan under way, verification included.
    under_way: BTreeSet<String>,
    /// Who waits for whom: for an incident's lock, or its end.
    waiters: HashMap<String, BTreeSet<String>>,
    /// Who waits for a place among the plans under way.
    queue: BTreeSet<String>,
    /// Who was offered such a place and has not decided.
    offered: BTreeSet<String>,
    /// Findings of other policies about a fault that is just being healed: looked at when that is over.
    echoes: HashMap<String, Vec<(Arc<str>, Fault, Timestamp)>>,
    flaps: HashMap<Key, Flaps>,
    /// With so many of these it is time to forget some.
    many_flaps: usize,
    /// How many of them were looked at for that.
    #[cfg(test)]
    flaps_looked_at: usize,
    load: Load,
    holds: Vec<Hold>,
    next_hold: i64,
    trip: Option<Trip>,
    /// Plugins that are not called any more, by policy.
    quarantines: BTreeMap<String, Quarantine>,
    ids: Ids,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("guards", &self.guards).field("open", &self.cases.len()).finish()
    }
}

impl Engine {
    /// Every open incident.
    pub fn incidents(&self) -> impl Iterator<Item = &Incident> {
        self.cases.values().map(|case| &case.incident)
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
            Input::Arrived { policy, plugin, rules, basis, digest } => {
                self.arrived(Office { name: policy, plugin, rules, basis, digest }, now, step);
            }
            Input::Gone { policy } => {
                if let Some(office) = self.offices.remove(&policy) {
                    self.gone.insert(policy.clone(), office.rules);
                }
                self.due.insert((now.mono + waiting::ORPHAN_AFTER, Due::Orphans(policy)));
            }
            Input::Found { policy, findings } => {
                for (finding, seen_at) in findings {
                    match finding {
                        Finding::Present(fault) => self.raise(&policy, fault, seen_at, now, step),
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
            Input::Collected { incident, attempt, evidence } => {
                let known = self.cases.get(&incident).is_some_and(|case| case.incident.state == State::Recovering);
                if known && !evidence.is_empty() {
                    step.records.push(Record::Collected { id: incident, attempt, evidence });
                }
            }
            Input::Done { incident, attempt, outcome } => self.done(&incident, attempt, outcome, step),
            Input::Performed { incident, attempt } => self.performed(&incident, attempt, now, step),
            Input::Ailing { policy, trouble } => {
                let kind = if trouble.is_some() { NoticeKind::PluginDown } else { NoticeKind::PluginUp };
                let reason = trouble.unwrap_or_else(|| "it runs again".to_owned());
                let key = format!("plugin:{policy}");
                let reason = format!("plugin under policy {policy}: {reason}");
                notify(Notice { kind, at: now.wall, key, reason, incident: None, actions: vec![] }, step);
            }
            Input::Quarantined { plugin, rules, quarantine } => {
                let Quarantine { policy, basis, digest, .. } = &quarantine;
                let (name, basis, digest) = (policy.as_str().into(), basis.as_str().into(), digest.as_str().into());
                self.quarantined(Office { name, plugin, rules, basis, digest }, quarantine, now, step);
            }
            Input::Told { token, actor, word } => {
                let answer = self.told(word, &actor, now, step);
                step.effects.push(Effect::Reply { token, answer });
            }
        }
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Now, step: &mut Step) {
        while let Some((at, due)) = self.due.first().cloned() {
            if at > now.mono {
                break;
            }
            self.due.remove(&(at, due.clone()));
            match due {
                Due::Orphans(policy) => self.orphan(&policy, now, step),
                Due::Case(id) => self.case_due(&id, now, step),
            }
        }
    }

    fn case_due(&mut self, id: &str, now: Now, step: &mut Step) {
        let Some(case) = self.cases.get_mut(id) else { return };
        case.due = None;
        match (case.incident.state, case.plan.take()) {
            // It has settled: now the plugin may take as long as the plan says.
            (State::Verifying, Some(plan)) => {
                self.ask(id, Topic::Verify, step);
                self.set_due(id, now.mono + plan.deadline);
            }
            (State::Verifying, None) => {
                let reason = "it could not be told in time whether the attempt worked";
                self.judged(id, super::Verdict::Unhealthy(reason.to_owned()), now, step);
            }
            (_, plan) => {
                case.plan = plan;
                self.proceed(id, now, step);
            }
        }
    }

    // === the small moves ===

    /// Moves an incident and writes it down. A move that does not exist is a bug of the engine: it is left out, loudly, since
    /// an incident in a wrong state is worse than one that stays where it is.
    fn shift(&mut self, id: &str, to: Move<'_>, now: Now, step: &mut Step) -> bool {
        let Some(case) = self.cases.get_mut(id) else { return false };
        let from = case.incident.state;
        if let Err(forbidden) = from.to(to.to) {
            tracing::error!(incident = id, %forbidden, "a bug in the incident engine; please report it");
            debug_assert!(false, "{forbidden}");
            return false;
        }
        let incident = &mut case.incident;
        if let Some(office) = self.offices.get(incident.policy.as_str()) {
            incident.basis = office.basis.to_string();
        }
        incident.state = to.to;
        incident.since = now.wall;
        incident.cause = to.cause.map(str::to_owned);
        incident.resolution = to.resolution;
        incident.resolved_at = (to.to == State::Resolved).then_some(now.wall);
        step.records.push(Record::Moved {
            id: id.to_owned(),
            from,
            to: to.to,
            at: now.wall,
            reason: to.reason.to_owned(),
            basis: incident.basis.clone(),
            actor: to.actor.map(str::to_owned),
            cause: incident.cause.clone(),
            resolution: to.resolution,
        });
        let (due, waits) = (case.due.take(), case.waits.take());
        case.next = None;
        self.forget_due(id, due);
        self.forget_waits(id, waits);
        if from == State::Diagnosed && to.to != State::Recovering {
            // Whoever let it go first, or left it a place, has waited for nothing.
            self.offered.remove(id);
            self.wake_lock_waiters(id, now, step);
            self.offer_slots(now, step);
        }
        true
    }

    /// Parks an incident: until a time, until something else happens, or until a person comes.
    fn park(
        &mut self,
        id: &str,
        to: Move<'_>,
        next: Option<Duration>,
        waits: Option<Waits>,
        now: Now,
        step: &mut Step,
    ) {
        let (state, reason) = (to.to, to.reason.to_owned());
        if !self.shift(id, to, now, step) {
            return;
        }
        match &waits {
            Some(Waits::Lock(other) | Waits::Cause(other)) => {
                self.waiters.entry(other.clone()).or_default().insert(id.to_owned());
            }
            Some(Waits::Slot) => {
                self.queue.insert(id.to_owned());
            }
            Some(Waits::Person) | None => {}
        }
        if let Some(case) = self.cases.get_mut(id) {
            (case.next, case.waits) = (next, waits);
        }
        if let Some(next) = next {
            self.set_due(id, next);
        }
        if state == State::Escalated {
            self.tell(id, NoticeKind::Escalated, &reason, vec![], now, step);
        }
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
        self.due.insert((due, Due::Case(id.to_owned())));
    }

    fn forget_due(&mut self, id: &str, due: Option<Duration>) {
        if let Some(due) = due {
            self.due.remove(&(due, Due::Case(id.to_owned())));
        }
    }

    fn forget_waits(&mut self, id: &str, waits: Option<Waits>) {
        match waits {
            Some(Waits::Lock(other) | Waits::Cause(other)) => {
                if let Some(waiters) = self.waiters.get_mut(&other) {
                    waiters.remove(id);
                    if waiters.is_empty() {
                        self.waiters.remove(&other);
                    }
                }
            }
            Some(Waits::Slot) => {
                self.queue.remove(id);
            }
            Some(Waits::Person) | None => {}
        }
    }

    /// Tells persons of an incident.
    fn tell(&mut self, id: &str, kind: NoticeKind, reason: &str, actions: Vec<String>, now: Now, step: &mut Step) {
        let Some(case) = self.cases.get_mut(id) else { return };
        case.told |= !kind.ends();
        let incident = Some(About::from(&case.incident));
        notify(Notice { kind, at: now.wall, key: id.to_owned(), reason: reason.to_owned(), incident, actions }, step);
    }

    fn cases_of(&self, policy: &str) -> Vec<String> {
        self.by_policy.get(policy).map(|ids| ids.iter().cloned().collect()).unwrap_or_default()
    }

    fn rules_of(&self, policy: &str) -> Option<Arc<Rules>> {
        self.offices.get(policy).map(|office| office.rules.clone())
    }

    /// Whether a policy may do something about a target. One that has not come up yet is given the benefit of the doubt.
    fn may_touch(&self, policy: &str, target: &str) -> bool {
        let rules = self.offices.get(policy).map(|office| &office.rules).or_else(|| self.gone.get(policy));
        rules.is_none_or(|rules| rules.may_touch(target))
    }

    /// Takes an incident in.
    fn enter(&mut self, incident: Incident) {
        let id = incident.id.clone();
        self.by_fault.insert(key(&incident.policy, &incident.fault), id.clone());
        self.by_target.entry(incident.fault.target.clone()).or_default().insert(id.clone());
        self.by_policy.entry(incident.policy.clone()).or_default().insert(id.clone());
        for target in incident.fault.consequences() {
            self.explained.entry(target.to_owned()).or_default().insert(id.clone());
        }
        self.cases.insert(id, Case::new(incident));
    }

    /// Lets a resolved incident go.
    fn leave(&mut self, id: &str) -> Option<Case> {
        let case = self.cases.remove(id)?;
        self.forget_due(id, case.due);
        self.by_fault.remove(&key(&case.incident.policy, &case.incident.fault));
        let fault = &case.incident.fault;
        strike(&mut self.by_target, &fault.target, id);
        strike(&mut self.by_policy, &case.incident.policy, id);
        fault.consequences().for_each(|target| strike(&mut self.explained, target, id));
        Some(case)
    }
}

/// Takes an incident out of an index.
fn strike(index: &mut HashMap<String, BTreeSet<String>>, name: &str, id: &str) {
    if let Some(ids) = index.get_mut(name) {
        ids.remove(id);
        if ids.is_empty() {
            index.remove(name);
        }
    }
}

fn notify(notice: Notice, step: &mut Step) {
    step.records.push(Record::Notice(Box::new(notice)));
}

fn key(policy: &str, fault: &Fault) -> Key {
    (policy.to_owned(), fault.kind.clone(), fault.target.clone())
}
