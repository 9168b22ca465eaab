use std::cmp::Reverse;
use std::time::Duration;

use super::{Due, Engine, Move};
use crate::clock::Now;
use crate::guard::Waits;
use crate::incident::message::{Step, Topic};
use crate::incident::{Record, State, Verdict};

/// How long a plugin that has just come up may take to say whether an open incident's fault is still there, before it
/// counts as being there.
const RECHECK: Duration = Duration::from_secs(10);
/// How long a policy or its plugin may be gone before its incidents are nobody's: an upgrade takes less, and so does
/// compiling at the agent's start.
pub(super) const ORPHAN_AFTER: Duration = Duration::from_secs(60);

impl Engine {
    /// An instance has come up that knows nothing yet of this incident: first it says whether the fault is still there.
    pub(super) fn recheck(&mut self, id: &str, now: Now, step: &mut Step) {
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
    pub(super) fn proceed(&mut self, id: &str, now: Now, step: &mut Step) {
        let Some(case) = self.cases.get(id) else { return };
        let Some(office) = self.offices.get(case.incident.policy.as_str()) else {
            return;
        };
        let changed = *office.basis != *case.incident.basis;
        match case.incident.state {
            State::Detected => self.ask(id, Topic::Diagnose, step),
            State::Diagnosed => self.ask(id, Topic::Recover, step),
            // Somebody else is needed, or something else has to happen; unless policy or plugin are others by now.
            State::Deferred | State::AwaitingApproval | State::Escalated | State::Suppressed if changed => {
                let was_quarantined = case.incident.basis.ends_with(super::quarantine::MARK);
                let reason =
                    if was_quarantined { "its plugin is not quarantined any more" } else { "policy or plugin changed" };
                self.reopen(id, reason, None, Topic::Recover, now, step);
            }
            // Still watched: what `detect` says to have cleared is resolved from here too.
            State::Deferred | State::AwaitingApproval | State::Escalated | State::Suppressed => match case.next {
                Some(next) if next <= now.mono => self.time_is_up(id, now, step),
                Some(next) => self.set_due(id, next),
                None => {}
            },
            State::Orphaned => self.reopen(id, "its plugin is back", None, Topic::Diagnose, now, step),
            State::Recovering | State::Verifying | State::Resolved => {}
        }
    }

    /// What it was parked for has taken its time.
    fn time_is_up(&mut self, id: &str, now: Now, step: &mut Step) {
        let Some(case) = self.cases.get_mut(id) else { return };
        match case.incident.state {
            State::AwaitingApproval => {
                let retry =
                    self.offices.get(case.incident.policy.as_str()).and_then(|office| office.rules.retry_escalated);
                self.set_pending(id, None, step);
                let to = Move::new(State::Escalated, "nobody answered in time whether the plan may be carried out");
                self.park(id, to, retry.map(|wait| now.mono.saturating_add(wait)), None, now, step);
            }
            State::Escalated => {
                case.incident.round += 1;
                case.stumbles = 0;
                step.records.push(Record::Round { id: id.to_owned(), round: case.incident.round });
                self.reopen(id, "begun anew: it has been with a person for long", None, Topic::Recover, now, step);
            }
            _ => self.reopen(id, "the wait is over", None, Topic::Recover, now, step),
        }
    }

    /// Goes back to deciding what to do.
    pub(super) fn reopen(
        &mut self,
        id: &str,
        reason: &str,
        actor: Option<&str>,
        topic: Topic,
        now: Now,
        step: &mut Step,
    ) {
        if self.shift(id, Move { actor, ..Move::new(State::Diagnosed, reason) }, now, step) {
            self.ask(id, topic, step);
        }
    }

    /// Whoever waited for the targets of this incident, or for its decision, is looked at again; the higher priority first.
    pub(super) fn wake_lock_waiters(&mut self, id: &str, now: Now, step: &mut Step) {
        let wanted = Waits::Lock(id.to_owned());
        for waiter in self.waiters_of(id, &wanted) {
            let reason = "what it waited for is over";
            self.reopen(&waiter, reason, None, Topic::Diagnose, now, step);
        }
    }

    /// An incident is resolved: what was a consequence of it is looked at again.
    pub(super) fn wake_consequences(&mut self, id: &str, now: Now, step: &mut Step) {
        let wanted = Waits::Cause(id.to_owned());
        for waiter in self.waiters_of(id, &wanted) {
            let reason = format!("its cause, incident {id}, is resolved");
            self.reopen(&waiter, &reason, None, Topic::Diagnose, now, step);
        }
    }

    fn waiters_of(&self, id: &str, wanted: &Waits) -> Vec<String> {
        let all = self.waiters.get(id).into_iter().flatten();
        let waits = |id: &&String| self.cases.get(*id).is_some_and(|case| case.waits.as_ref() == Some(wanted));
        self.in_order(all.filter(waits).cloned().collect())
    }

    fn in_order(&self, mut ids: Vec<String>) -> Vec<String> {
        ids.sort_by_cached_key(|id| (Reverse(self.priority_of(id)), id.clone()));
        ids
    }

    fn priority_of(&self, id: &str) -> i32 {
        let policy = self.cases.get(id).map_or("", |case| case.incident.policy.as_str());
        self.offices.get(policy).map_or(0, |office| office.rules.priority)
    }

    /// A plan is over, or a place was not taken: the next in the queue decides.
    pub(super) fn offer_slots(&mut self, now: Now, step: &mut Step) {
        loop {
            let places = self.host.max_plans as usize;
            let fits = |id: &&String| {
                let policy = self.cases.get(*id).map_or("", |case| case.incident.policy.as_str());
                !self.offered.contains(*id) && self.places_taken(policy, id) < places
            };
            let queue = self.queue.iter().filter(fits);
            let next = queue.max_by_key(|id| (self.priority_of(id), Reverse((*id).clone()))).cloned();
            let Some(next) = next else { break };
            self.offered.insert(next.clone());
            self.reopen(&next, "there is a place for its plan", None, Topic::Recover, now, step);
            // Without a plugin nobody decides: the place is for others.
            let policy = self.cases.get(&next).map_or("", |case| case.incident.policy.as_str());
            if !self.offices.contains_key(policy) {
                self.offered.remove(&next);
            }
        }
    }

    /// Whoever a person's word held back is looked at again.
    pub(super) fn wake_held(&mut self, reason: &str, actor: &str, now: Now, step: &mut Step) {
        let held = self.cases.iter().filter(|(_, case)| case.waits == Some(Waits::Person)).map(|(id, _)| id.clone());
        for id in self.in_order(held.collect()) {
            self.reopen(&id, reason, Some(actor), Topic::Recover, now, step);
        }
    }

    /// A policy has been gone for so long that its incidents are nobody's.
    pub(super) fn orphan(&mut self, policy: &std::sync::Arc<str>, now: Now, step: &mut Step) {
        if self.offices.contains_key(policy) {
            return;
        }
        let mut busy = false;
        for id in self.cases_of(policy) {
            let state = self.cases.get(&id).map(|case| case.incident.state);
            if state == Some(State::Verifying) {
                let reason = "nobody is left to tell whether the attempt worked";
                self.judged(&id, Verdict::Unhealthy(reason.to_owned()), now, step);
            }
            match self.cases.get(&id).map(|case| case.incident.state) {
                Some(State::Recovering | State::Verifying) => busy = true,
                Some(State::Orphaned) | None => {}
                Some(_) => {
                    let reason =
                        format!("policy {policy} or its plugin was taken away; `salve incident resolve` closes it");
                    self.park(&id, Move::new(State::Orphaned, &reason), None, None, now, step);
                }
            }
        }
        if busy {
            self.due.insert((now.mono + ORPHAN_AFTER, Due::Orphans(policy.clone())));
        }
    }
}
