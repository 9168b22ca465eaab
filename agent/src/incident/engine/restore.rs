use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use super::load::Load;
use super::waiting::ORPHAN_AFTER;
use super::{Due, Engine, Move, Office};
use crate::clock::Now;
use crate::config::HostRules;
use crate::guard::{Chain, Waits};
use crate::incident::ident::Ids;
use crate::incident::message::Step;
use crate::incident::{Hold, Incident, Quarantine, Recency, State, Terrain, Trip};

/// What the ledger remembers, for an engine to carry on with. Times are on the monotonic count.
#[derive(Debug, Default)]
pub struct Past {
    /// Incidents that are open, the oldest first.
    pub open: Vec<Incident>,
    /// The greatest name an incident has, open or not; empty if there was none.
    pub last_id: String,
    /// What was tried lately on each policy's targets.
    pub recency: HashMap<(String, String), Recency>,
    /// Holds in force.
    pub holds: Vec<Hold>,
    /// The first number that no hold has had.
    pub next_hold: i64,
    /// The breaker's trip, if it is open.
    pub trip: Option<Trip>,
    /// Plugins that are quarantined.
    pub quarantines: Vec<Quarantine>,
    /// When a person closed the breaker the last time: what was before does not count for it any more.
    pub forgiven: Option<Duration>,
    /// Plans begun lately, in order.
    pub begun: Vec<Begun>,
    /// Incidents opened lately, in order.
    pub changes: Vec<Change>,
}

/// A plan that was begun.
#[derive(Debug, Clone, PartialEq)]
pub struct Begun {
    /// Under this policy.
    pub policy: String,
    /// On these.
    pub targets: Vec<String>,
    /// With so many actions.
    pub actions: usize,
    /// Whether one of them rebooted the host.
    pub reboot: bool,
    /// When.
    pub at: Duration,
}

/// A fault that opened, and perhaps cleared.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Of this policy.
    pub policy: String,
    /// The fault's kind.
    pub kind: String,
    /// The fault's target.
    pub target: String,
    /// When it opened.
    pub opened: Duration,
    /// When it was resolved.
    pub resolved: Option<Duration>,
}

impl Engine {
    /// An engine that carries on where the ledger's record ends. Actions that were under way are not begun again: whether
    /// they worked is looked at first.
    pub fn restore(host: HostRules, guards: Chain, terrain: Box<dyn Terrain>, past: Past, now: Now) -> (Self, Step) {
        let mut engine = Self {
            load: Load::restore(&host, &past),
            host,
            guards,
            terrain,
            offices: HashMap::new(),
            gone: HashMap::new(),
            cases: BTreeMap::new(),
            by_fault: HashMap::new(),
            by_target: HashMap::new(),
            by_policy: HashMap::new(),
            explained: HashMap::new(),
            due: BTreeSet::new(),
            recency: past.recency,
            locks: HashMap::new(),
            under_way: BTreeSet::new(),
            waiters: HashMap::new(),
            queue: BTreeSet::new(),
            offered: BTreeSet::new(),
            echoes: HashMap::new(),
            flaps: HashMap::new(),
            many_flaps: super::findings::MANY,
            #[cfg(test)]
            flaps_looked_at: 0,
            holds: past.holds,
            next_hold: past.next_hold.max(1),
            trip: past.trip,
            quarantines: past.quarantines.into_iter().map(|it| (it.policy.clone(), it)).collect(),
            ids: Ids::after(&past.last_id),
        };
        let mut step = Step::default();
        engine.end_holds(now, &mut step);
        for incident in past.open {
            engine.resume_case(incident, now, &mut step);
        }
        (engine, step)
    }

    fn resume_case(&mut self, incident: Incident, now: Now, step: &mut Step) {
        let (id, state, policy) = (incident.id.clone(), incident.state, incident.policy.clone());
        let cause = incident.cause.clone();
        let busy = incident.attempts.last().filter(|attempt| attempt.verdict.is_none());
        let targets = busy.map(|attempt| attempt.targets.clone()).unwrap_or_default();
        let failed = incident.attempts.iter().any(|attempt| attempt.verdict.is_some());
        self.enter(incident);
        if matches!(state, State::Recovering | State::Verifying) {
            targets.into_iter().for_each(|target| drop(self.locks.insert(target, id.clone())));
            self.under_way.insert(id.clone());
        }
        if state == State::Recovering {
            let reason = "the agent ended while actions were under way; what they did is looked at first";
            self.shift(&id, Move::new(State::Verifying, reason), now, step);
        }
        if let Some(case) = self.cases.get_mut(&id) {
            case.told = failed || matches!(state, State::Escalated | State::AwaitingApproval);
            case.next = match (state, &case.incident.pending) {
                // What it waited for is judged anew.
                (State::Deferred | State::Suppressed, _) => Some(now.mono),
                (State::AwaitingApproval, Some(pending)) => Some(now.mono_of(pending.expires_at)),
                (State::AwaitingApproval, None) => Some(now.mono),
                _ => None,
            };
            if let Some(cause) = cause.filter(|_| state == State::Suppressed) {
                case.waits = Some(Waits::Cause(cause.clone()));
                self.waiters.entry(cause).or_default().insert(id);
            }
        }
        self.due.insert((now.mono + ORPHAN_AFTER, Due::Orphans(policy.as_str().into())));
    }

    /// A policy is in force, with what it did before.
    pub(super) fn open_office(&mut self, office: Office) {
        let (policy, rules) = (office.name.clone(), office.rules.clone());
        self.load.arrived(&policy, &rules);
        for (key, flaps) in self.load.flaps_of(&policy, &rules.flapping) {
            self.flaps.insert(key, flaps);
        }
        self.gone.remove(&policy);
        self.offices.insert(policy, office);
    }

    /// An instance has come up, for the first time or again.
    pub(super) fn arrived(&mut self, office: Office, now: Now, step: &mut Step) {
        let (policy, rules) = (office.name.clone(), office.rules.clone());
        self.free(&policy, None, "plugin or policy changed", now, step);
        self.open_office(office);
        for id in self.cases_of(&policy) {
            if let Some(case) = self.cases.get_mut(&id)
                && case.incident.state == State::Escalated
                && case.next.is_none()
                // A plan that is still there and was not agreed to is one that a person said no to.
                && case.incident.pending.as_ref().is_none_or(|pending| pending.approved_by.is_some())
            {
                let since = now.mono_of(case.incident.since);
                case.next = rules.retry_escalated.map(|wait| since.saturating_add(wait));
            }
            self.recheck(&id, now, step);
        }
    }
}
