use super::findings::breaker_of;
use super::{Engine, Move, notify};
use crate::clock::{Now, Timestamp};
use crate::incident::message::{Step, Topic, Word};
use crate::incident::{BREAKER, Hold, Notice, NoticeKind, Pending, Record, Resolution, State};

impl Engine {
    /// Does what a person says; what came of it, or why it cannot be.
    pub(super) fn told(&mut self, word: Word, actor: &str, now: Now, step: &mut Step) -> Result<String, String> {
        match word {
            Word::Pause { policy, target, lasting, reason } => {
                let nanos = |wait: std::time::Duration| u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
                let until = lasting.map(|wait| now.wall.as_nanos().saturating_add(nanos(wait)));
                let until = until.map(Timestamp::from_nanos);
                self.end_holds(now, step);
                let id = self.next_hold;
                self.next_hold += 1;
                let hold = Hold { id, policy, target, since: now.wall, until, reason, actor: actor.to_owned() };
                step.records.push(Record::Held(hold.clone()));
                self.holds.push(hold);
                Ok(format!("hold {id} is in force; plans under way are finished, no new one begins"))
            }
            Word::Resume { policy, target, all } => self.resume(policy, target, all, actor, now, step),
            Word::CloseBreaker => {
                if self.trip.take().is_none() {
                    return Err("the breaker is closed already".to_owned());
                }
                self.load.forgive();
                step.records.push(Record::Closed { at: now.wall, actor: actor.to_owned() });
                let reason = format!("closed by {actor}");
                let (kind, key) = (NoticeKind::BreakerClosed, "breaker".to_owned());
                notify(Notice { kind, at: now.wall, key, reason, incident: None, actions: vec![] }, step);
                self.wake_held("the breaker was closed", actor, now, step);
                Ok("the breaker is closed; what waited goes on".to_owned())
            }
            Word::Approve { incident, reason } => {
                let pending = self.awaiting(&incident, now)?;
                self.set_pending(&incident, Some(Pending { approved_by: Some(actor.to_owned()), ..pending }), step);
                let reason = said("approved", actor, &reason);
                self.reopen(&incident, &reason, Some(actor), Topic::Recover, now, step);
                Ok(format!("incident {incident}: {reason}; it is carried out if the plan is still the same"))
            }
            Word::Deny { incident, reason } => {
                self.awaiting(&incident, now)?;
                let reason = said("denied", actor, &reason);
                // The plan stays on record: what was said no to is not asked again by itself.
                let to = Move { actor: Some(actor), ..Move::new(State::Escalated, &reason) };
                self.park(&incident, to, None, None, now, step);
                Ok(format!("incident {incident}: {reason}"))
            }
            Word::Release { name, reason } => self.let_go(&name, &reason, actor, now, step),
            Word::Resolve { incident, reason } => {
                let Some(case) = self.cases.get(&incident) else {
                    return Err(format!("incident {incident} is not open"));
                };
                if !case.incident.state.to_resolved_by_person() {
                    let state = case.incident.state;
                    return Err(format!("incident {incident} is {state}: it can be closed when its plan is over"));
                }
                let reason = said("closed", actor, &reason);
                self.resolve(&incident, &reason, Resolution::Closed, Some(actor), now, step);
                Ok(format!("incident {incident}: {reason}"))
            }
        }
    }

    fn resume(
        &mut self,
        policy: Option<String>,
        target: Option<String>,
        all: bool,
        actor: &str,
        now: Now,
        step: &mut Step,
    ) -> Result<String, String> {
        self.end_holds(now, step);
        let (ended, rest): (Vec<Hold>, Vec<Hold>) = std::mem::take(&mut self.holds)
            .into_iter()
            .partition(|hold| all || (hold.policy == policy && hold.target == target));
        self.holds = rest;
        if ended.is_empty() {
            return Err("there is no such hold; `salve status` shows those in force".to_owned());
        }
        for hold in &ended {
            let (hold, at) = (hold.id, now.wall);
            step.records.push(Record::Released { hold, at, actor: Some(actor.to_owned()) });
        }
        for policy in ended.iter().filter(|hold| hold.actor == BREAKER).filter_map(|hold| hold.policy.as_deref()) {
            let (kind, key, reason) = (NoticeKind::BreakerClosed, breaker_of(policy), format!("closed by {actor}"));
            notify(Notice { kind, at: now.wall, key, reason, incident: None, actions: vec![] }, step);
        }
        self.wake_held("resumed", actor, now, step);
        Ok(format!("{} ended", if ended.len() == 1 { "1 hold".to_owned() } else { format!("{} holds", ended.len()) }))
    }

    /// Lets go of the holds whose time is over.
    pub(super) fn end_holds(&mut self, now: Now, step: &mut Step) {
        self.holds.retain(|hold| {
            let in_force = hold.until.is_none_or(|until| until > now.wall);
            if !in_force {
                step.records.push(Record::Released { hold: hold.id, at: now.wall, actor: None });
            }
            in_force
        });
    }

    fn awaiting(&self, id: &str, now: Now) -> Result<Pending, String> {
        let incident = self.cases.get(id).map(|case| &case.incident).ok_or(format!("incident {id} is not open"))?;
        match (incident.state, &incident.pending) {
            (State::AwaitingApproval, Some(pending)) if pending.expires_at > now.wall => Ok(pending.clone()),
            (State::AwaitingApproval, _) => Err(format!("the time to answer incident {id} is over")),
            (state, _) => Err(format!("incident {id} waits for nobody's yes: it is {state}")),
        }
    }
}

pub(super) fn said(what: &str, actor: &str, reason: &str) -> String {
    if reason.is_empty() { format!("{what} by {actor}") } else { format!("{what} by {actor}: {reason}") }
}
