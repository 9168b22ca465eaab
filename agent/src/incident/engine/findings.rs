use std::sync::Arc;

use super::load::Storm;
use super::{Engine, Move, key, notify, strike};
use crate::clock::{Now, Timestamp};
use crate::config::Flapping;
use crate::guard::Flaps;
use crate::incident::message::{Step, Topic};
use crate::incident::{BREAKER, Fault, Hold, Incident, Notice, NoticeKind, Record, Resolution, State, Trip};

/// The name of a notice about the breaker of one policy.
pub(super) fn breaker_of(policy: &str) -> String {
    format!("breaker:{policy}")
}

/// Beyond so many faults it is worth looking which of them need not be remembered.
pub(super) const MANY: usize = 4096;

impl Engine {
    pub(super) fn raise(&mut self, policy: &Arc<str>, fault: Fault, seen_at: Timestamp, now: Now, step: &mut Step) {
        let Some(office) = self.offices.get(policy) else { return };
        if let Some(case) = self.by_fault.get(&key(policy, &fault)).and_then(|id| self.cases.get_mut(id)) {
            if case.incident.fault != fault {
                let id = case.incident.id.clone();
                for target in case.incident.fault.consequences() {
                    strike(&mut self.explained, target, &id);
                }
                for target in fault.consequences() {
                    self.explained.entry(target.to_owned()).or_default().insert(id.clone());
                }
                case.incident.fault = fault.clone();
                step.records.push(Record::Raised { id: case.incident.id.clone(), fault });
            }
            return;
        }
        // Another policy sees the fault that is just being healed, or what healing it does: if it is still there when that
        // is over, it counts.
        if let Some(holder) = self.locks.get(&fault.target)
            && self.cases.get(holder).is_some_and(|case| case.incident.fault.kind == fault.kind)
        {
            let echoes = self.echoes.entry(holder.clone()).or_default();
            echoes.retain(|(other, earlier, _)| !(other == policy && earlier.kind == fault.kind));
            echoes.push((policy.clone(), fault, seen_at));
            return;
        }
        if !self.load.admits(&self.host.breaker, policy, now.mono) {
            // Told when the storm began, and not again with each fault.
            tracing::debug!(policy = &**policy, kind = fault.kind, target = fault.target, "one fault too many");
            return;
        }
        let incident = Incident {
            id: self.ids.next(now.wall),
            plugin: office.plugin.to_string(),
            digest: office.digest.to_string(),
            policy: office.name.to_string(),
            fault,
            state: State::Detected,
            since: now.wall,
            occurred_at: seen_at.min(now.wall),
            opened_at: now.wall,
            resolved_at: None,
            causes: Vec::new(),
            attempts: Vec::new(),
            round: 0,
            pending: None,
            cause: None,
            flapping: false,
            resolution: None,
            basis: office.basis.to_string(),
        };
        let limits = office.rules.flapping;
        let id = incident.id.clone();
        self.forget_calm_faults(&limits, now);
        self.flaps
            .entry(key(policy, &incident.fault))
            .or_insert_with(|| Flaps::new(now.mono))
            .change(&limits, now.mono);
        step.records.push(Record::Opened(Box::new(incident.clone())));
        self.enter(incident);
        if !self.is_set_apart(policy)
            && let Some(storm) = self.load.opened(&self.host.breaker, policy, now.mono)
        {
            self.stop_storm(storm, now, step);
        }
        self.ask(&id, Topic::Diagnose, step);
    }

    pub(super) fn clear(&mut self, policy: &str, kind: String, target: String, now: Now, step: &mut Step) {
        if let Some(echoes) = self.locks.get(&target).and_then(|holder| self.echoes.get_mut(holder)) {
            echoes.retain(|(other, fault, _)| !(**other == *policy && fault.kind == kind && fault.target == target));
        }
        let Some(id) = self.by_fault.get(&(policy.to_owned(), kind, target)).cloned() else {
            return;
        };
        let Some(case) = self.cases.get(&id) else { return };
        // An attempt is judged by `verify`, after it has settled: that it looks well at this moment is not yet proof.
        if !matches!(case.incident.state, State::Recovering | State::Verifying) {
            self.resolve(&id, "the fault cleared by itself", Resolution::SelfCleared, None, now, step);
        }
    }

    /// The fault is gone, or a person says so.
    pub(super) fn resolve(
        &mut self,
        id: &str,
        reason: &str,
        resolution: Resolution,
        actor: Option<&str>,
        now: Now,
        step: &mut Step,
    ) {
        let Some(case) = self.cases.get(id) else { return };
        let (told, policy) = (case.told, case.incident.policy.clone());
        if case.incident.state == State::AwaitingApproval {
            // Nobody has to answer any more; only what somebody said no to stays on record.
            self.set_pending(id, None, step);
        }
        let Some(case) = self.cases.get(id) else { return };
        let last = case.incident.attempts.last();
        let actions: Vec<String> = last.iter().flat_map(|attempt| &attempt.actions).map(ToString::to_string).collect();
        let to = Move { actor, resolution: Some(resolution), ..Move::new(State::Resolved, reason) };
        if !self.shift(id, to, now, step) {
            return;
        }
        match resolution {
            Resolution::Healed => self.tell(id, NoticeKind::Healed, reason, actions, now, step),
            _ if told => self.tell(id, NoticeKind::Resolved, reason, vec![], now, step),
            _ => {}
        }
        self.release(id, now, step);
        let Some(case) = self.leave(id) else { return };
        let fault = key(&policy, &case.incident.fault);
        let limits = self.rules_of(&policy).map(|rules| rules.flapping).unwrap_or_default();
        if let Some(flaps) = self.flaps.get_mut(&fault) {
            flaps.change(&limits, now.mono);
        }
        if !case.incident.attempts.is_empty() {
            let target = (policy, case.incident.fault.target);
            self.recency.entry(target).or_default().healthy_since = Some(now.mono);
        }
        self.wake_consequences(id, now, step);
    }

    /// Where many faults have been seen, those that are over and do not come and go are forgotten.
    fn forget_calm_faults(&mut self, limits: &Flapping, now: Now) {
        if self.flaps.len() < self.many_flaps {
            return;
        }
        #[cfg(test)]
        {
            self.flaps_looked_at += self.flaps.len();
        }
        let open = &self.by_fault;
        self.flaps.retain(|fault, flaps| {
            flaps.rest(limits, now.mono);
            open.contains_key(fault) || flaps.share() > 0.0
        });
        // In a storm most of them stay: looking again with each new one would take longer than all the rest.
        self.many_flaps = MANY.max(2 * self.flaps.len());
    }

    /// Too much happened. If a large part of it is of one policy among others, nothing more is done for that one: its storm is no
    /// reason to leave the others' faults alone. Where several make up a storm, they are stopped one after the other.
    pub(super) fn stop_storm(&mut self, storm: Storm, now: Now, step: &mut Step) {
        let Storm { reason, by } = storm;
        match by.filter(|policy| self.offices.keys().any(|other| **other != **policy)) {
            Some(policy) => self.set_apart(policy, reason, now, step),
            None => self.open_breaker(reason, now, step),
        }
    }

    fn set_apart(&mut self, policy: String, reason: String, now: Now, step: &mut Step) {
        self.load.set_apart(&policy);
        let reason = format!("{reason}, a large part of them of this policy");
        let hold = Hold {
            id: self.next_hold,
            policy: Some(policy.clone()),
            target: None,
            since: now.wall,
            until: None,
            reason: reason.clone(),
            actor: BREAKER.to_owned(),
        };
        self.next_hold += 1;
        step.records.push(Record::Held(hold.clone()));
        self.holds.push(hold);
        let (kind, key) = (NoticeKind::BreakerOpened, breaker_of(&policy));
        let reason = format!("nothing is done for policy {policy} until `salve resume --policy {policy}`: {reason}");
        notify(Notice { kind, at: now.wall, key, reason, incident: None, actions: vec![] }, step);
    }

    /// Whether the breaker holds this policy alone.
    fn is_set_apart(&self, policy: &str) -> bool {
        self.holds.iter().any(|hold| hold.actor == BREAKER && hold.policy.as_deref() == Some(policy))
    }

    /// Too much happened: nothing is done any more until a person closes the breaker.
    pub(super) fn open_breaker(&mut self, reason: String, now: Now, step: &mut Step) {
        if self.trip.is_some() {
            return;
        }
        let trip = Trip { at: now.wall, reason: reason.clone() };
        step.records.push(Record::Tripped(trip.clone()));
        self.trip = Some(trip);
        let kind = NoticeKind::BreakerOpened;
        let reason = format!("nothing is done on this host until `salve resume --breaker`: {reason}");
        notify(Notice { kind, at: now.wall, key: "breaker".into(), reason, incident: None, actions: vec![] }, step);
    }
}
