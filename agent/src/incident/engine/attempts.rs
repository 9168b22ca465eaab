use std::time::Duration;

use super::answers::Proposal;
use super::{Engine, Move};
use crate::action::Outcome;
use crate::action::actuator::Order;
use crate::clock::Now;
use crate::config::Rules;
use crate::incident::message::{Effect, Step, Topic};
use crate::incident::{Attempt, NoticeKind, Record, Resolution, State, Verdict};

impl Engine {
    /// Every guard has let it through: the plan is written down, and then carried out.
    pub(super) fn begin(
        &mut self,
        id: &str,
        proposal: Proposal,
        rules: &std::sync::Arc<Rules>,
        now: Now,
        step: &mut Step,
    ) {
        let Proposal { plan, ground, buckets } = proposal;
        let Some(case) = self.cases.get(id) else { return };
        let policy = case.incident.policy.clone();
        let digest = self.offices.get(policy.as_str()).map_or(String::new(), |office| office.digest.to_string());
        let (target, round) = (case.incident.fault.target.clone(), case.incident.round);
        let number = u32::try_from(case.incident.attempts.len()).unwrap_or(u32::MAX).saturating_add(1);
        let approved_by = case.incident.pending.as_ref().and_then(|pending| pending.approved_by.clone());

        let of = policy.clone();
        let recency = self.recency.entry((policy, target.clone())).or_default();
        recency.began(now.mono, &rules.backoff);
        let streak = recency.streak;
        self.load.began(buckets, &of, plan.actions.len(), now.mono);
        self.offered.remove(id);
        self.under_way.insert(id.to_owned());
        for target in &ground.targets {
            self.locks.insert(target.clone(), id.to_owned());
        }

        let listed: Vec<String> = plan.actions.iter().map(ToString::to_string).collect();
        let yes = approved_by.map(|by| format!(", approved by {by}")).unwrap_or_default();
        let reason = format!("attempt {number}: {}{yes}", listed.join(", "));
        self.shift(id, Move::new(State::Recovering, &reason), now, step);
        // A yes is for one attempt.
        self.set_pending(id, None, step);
        let targets: Vec<String> = ground.targets.into_iter().collect();
        step.records.push(Record::Began {
            id: id.to_owned(),
            attempt: number,
            at: now.wall,
            round,
            streak,
            digest: digest.clone(),
            targets: targets.clone(),
            actions: plan.actions.clone(),
        });
        let order = Order {
            incident: id.to_owned(),
            attempt: number,
            target,
            targets: targets.clone(),
            rules: rules.clone(),
            actions: plan.actions.clone(),
        };
        if let Some(case) = self.cases.get_mut(id) {
            case.incident.attempts.push(Attempt {
                number,
                started: now.wall,
                finished: None,
                round,
                digest,
                targets,
                actions: plan.actions.clone(),
                outcomes: Vec::new(),
                verdict: None,
            });
            case.plan = Some(plan);
        }
        step.effects.push(Effect::Perform(order));
    }

    pub(super) fn done(&mut self, id: &str, number: u32, outcome: Outcome, step: &mut Step) {
        let Some(case) = self.cases.get_mut(id) else { return };
        let Some(attempt) = case.incident.attempts.last_mut().filter(|attempt| attempt.number == number) else {
            return;
        };
        let place = u32::try_from(attempt.outcomes.len()).unwrap_or(u32::MAX);
        attempt.outcomes.push(outcome.clone());
        step.records.push(Record::Done { id: id.to_owned(), attempt: number, step: place, outcome });
    }

    pub(super) fn performed(&mut self, id: &str, number: u32, now: Now, step: &mut Step) {
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
        self.shift(id, Move::new(State::Verifying, &reason), now, step);
        self.set_due(id, now.mono.saturating_add(wait));
        self.let_go_of_foreign_target(id, now, step);
        self.offer_slots(now, step);
    }

    /// What a policy may do nothing about it does not keep others from while its plan settles and is judged: only for as long
    /// as it acts.
    fn let_go_of_foreign_target(&mut self, id: &str, now: Now, step: &mut Step) {
        let Some(incident) = self.cases.get(id).map(|case| &case.incident) else { return };
        let target = incident.fault.target.clone();
        let acted_on = incident.attempts.last().is_some_and(|last| last.actions.iter().any(|it| it.target == target));
        if acted_on
            || self.may_touch(&incident.policy, &target)
            || self.locks.get(&target).is_none_or(|holder| holder != id)
        {
            return;
        }
        self.locks.remove(&target);
        for (policy, fault, seen_at) in self.echoes.remove(id).unwrap_or_default() {
            self.raise(&policy, fault, seen_at, now, step);
        }
        self.wake_lock_waiters(id, now, step);
    }

    pub(super) fn judged(&mut self, id: &str, verdict: Verdict, now: Now, step: &mut Step) {
        let Some(case) = self.cases.get_mut(id) else { return };
        if verdict == Verdict::Undecided {
            return;
        }
        case.plan = None;
        if let Some(attempt) = case.incident.attempts.last_mut().filter(|attempt| attempt.verdict.is_none()) {
            attempt.finished = Some(now.wall);
            attempt.verdict = Some(verdict.clone());
            let (number, at) = (attempt.number, now.wall);
            step.records.push(Record::Judged { id: id.to_owned(), attempt: number, at, verdict: verdict.clone() });
        }
        match verdict {
            Verdict::Unhealthy(reason) => {
                self.shift(id, Move::new(State::Diagnosed, &reason), now, step);
                self.tell(id, NoticeKind::RecoveryFailed, &reason, vec![], now, step);
                self.release(id, now, step);
                self.ask(id, Topic::Recover, step);
            }
            _ => self.resolve(id, "verified healthy", Resolution::Healed, None, now, step),
        }
    }

    /// The plan is over: its targets are free, and so is its place.
    pub(super) fn release(&mut self, id: &str, now: Now, step: &mut Step) {
        if !self.under_way.remove(id) {
            return;
        }
        let last = self.cases.get(id).and_then(|case| case.incident.attempts.last());
        let targets = last.map(|attempt| attempt.targets.clone()).unwrap_or_default();
        for target in &targets {
            if self.locks.get(target).is_some_and(|holder| holder == id) {
                self.locks.remove(target);
            }
        }
        step.effects.push(Effect::Settled(targets));
        for (policy, fault, seen_at) in self.echoes.remove(id).unwrap_or_default() {
            self.raise(&policy, fault, seen_at, now, step);
        }
        self.wake_lock_waiters(id, now, step);
        self.offer_slots(now, step);
    }
}
