use std::time::Duration;

use super::load::{Load, Owner};
use super::{Engine, Move};
use crate::clock::Now;
use crate::config::{Budget, Rules};
use crate::guard::{Answer, Because, Bucket, Later, Request};
use crate::incident::message::{Reply, Step, Topic};
use crate::incident::{Cause, Ground, NoticeKind, Pending, Plan, Record, Recovery, Resolution, State, Verdict};

/// How often a plugin may fail to answer `recover` for one incident before a person is needed.
const MAX_STUMBLES: u32 = 3;

/// A plan with all that was found out about it.
pub(super) struct Proposal {
    pub plan: Plan,
    pub ground: Ground,
    pub buckets: Vec<(Owner, Budget, Bucket)>,
}

impl Engine {
    pub(super) fn answered(&mut self, id: &str, reply: Result<Reply, String>, now: Now, step: &mut Step) {
        let Some(case) = self.cases.get(id) else { return };
        let (state, policy) = (case.incident.state, case.incident.policy.clone());
        let quarantine = self.quarantine_of(&policy);
        let (is_quarantined, reply) = (quarantine.is_some(), quarantine.map_or(reply, Err));
        match (state, reply) {
            // A verdict outside of an attempt is the answer to a recheck.
            (State::Verifying, Ok(Reply::Verdict(verdict))) => self.judged(id, verdict, now, step),
            // Nobody is left to ask who could tell whether it worked.
            (State::Verifying, Err(error)) if is_quarantined => {
                self.judged(id, Verdict::Unhealthy(error), now, step);
            }
            (_, Ok(Reply::Verdict(Verdict::Healthy))) => {
                let reason = "the fault was gone when it was looked at again";
                self.resolve(id, reason, Resolution::SelfCleared, None, now, step);
            }
            (_, Ok(Reply::Verdict(Verdict::Unhealthy(_)))) => self.proceed(id, now, step),
            (State::Detected, Ok(Reply::Causes(causes))) => self.diagnosed(id, causes, now, step),
            // A plugin that cannot explain a fault may still know what to do about it.
            (State::Detected, Err(_)) => self.diagnosed(id, Vec::new(), now, step),
            // Explained again, after it had to wait for another one.
            (State::Diagnosed, Ok(Reply::Causes(causes))) => {
                self.explained(id, causes, step);
                self.ask(id, Topic::Recover, step);
            }
            (State::Diagnosed, Ok(Reply::Recovery(recovery))) => self.decided(id, recovery, now, step),
            (State::Diagnosed, Err(error)) => self.stumbled(id, &error, now, step),
            _ => {}
        }
    }

    fn diagnosed(&mut self, id: &str, causes: Vec<Cause>, now: Now, step: &mut Step) {
        let reason = causes.first().map_or("no cause is known".to_owned(), |cause| cause.summary.clone());
        self.explained(id, causes, step);
        self.shift(id, Move::new(State::Diagnosed, &reason), now, step);
        self.ask(id, Topic::Recover, step);
    }

    fn explained(&mut self, id: &str, causes: Vec<Cause>, step: &mut Step) {
        let Some(case) = self.cases.get_mut(id) else { return };
        if !causes.is_empty() && case.incident.causes != causes {
            step.records.push(Record::Diagnosed { id: id.to_owned(), causes: causes.clone() });
            case.incident.causes = causes;
        }
    }

    fn decided(&mut self, id: &str, recovery: Recovery, now: Now, step: &mut Step) {
        let Some(case) = self.cases.get(id) else { return };
        let Some(rules) = self.rules_of(&case.incident.policy) else { return };
        let retry = rules.retry_escalated.map(|wait| now.mono.saturating_add(wait));
        let plan = match recovery {
            Recovery::Act(plan) if plan.actions.is_empty() => {
                let to = Move::new(State::Escalated, "the plugin's plan has no action in it");
                return self.park(id, to, retry, None, now, step);
            }
            Recovery::Act(plan) => plan,
            Recovery::Wait(wait) => {
                let reason = format!("the plugin waits for {} s", wait.as_secs_f64());
                let next = Some(now.mono.saturating_add(wait));
                return self.park(id, Move::new(State::Deferred, &reason), next, None, now, step);
            }
            Recovery::Escalate(reason) => {
                return self.park(id, Move::new(State::Escalated, &reason), retry, None, now, step);
            }
        };
        let incident = &case.incident;
        let ground = self.terrain.ground(&incident.fault.target, &plan.actions);
        let policy = incident.policy.clone();
        let buckets = self.load.buckets(&self.host, &rules, &policy, &ground.targets, &plan.actions, now.mono);
        let proposal = Proposal { plan, ground, buckets };
        let mut answer = self.judge(id, &rules, &proposal, now, step);
        if answer == Answer::Allow
            && let Some(storm) =
                self.load.would_trip(&self.host.breaker, &policy, proposal.plan.actions.len(), now.mono)
        {
            self.stop_storm(storm, now, step);
            answer = self.judge(id, &rules, &proposal, now, step);
        }
        match answer {
            Answer::Allow => self.begin(id, proposal, &rules, now, step),
            Answer::Defer(Later { until, waits, reason }) => {
                self.park(id, Move::new(State::Deferred, &reason), until, waits, now, step);
            }
            Answer::Deny { until, reason } => {
                self.park(id, Move::new(State::Escalated, &reason), until, None, now, step);
            }
            Answer::Suppress(Later { until, waits, reason }) => {
                let cause = match &waits {
                    Some(crate::guard::Waits::Cause(cause)) => Some(cause.clone()),
                    _ => None,
                };
                let to = Move { cause: cause.as_deref(), ..Move::new(State::Suppressed, &reason) };
                self.park(id, to, until, waits, now, step);
            }
            Answer::Ask { reason } => self.ask_person(id, proposal.plan, &reason, rules.approval_ttl, now, step),
        }
    }

    fn judge(&mut self, id: &str, rules: &Rules, proposal: &Proposal, now: Now, step: &mut Step) -> Answer {
        let flapping = self.flapping(id, rules, now, step);
        let Some(case) = self.cases.get(id) else { return Answer::Allow };
        let incident = &case.incident;
        let rival = self.rival(id, rules, &proposal.ground);
        let cause = self.cause(id, &proposal.ground);
        let attempts = incident.attempts.iter().filter(|attempt| attempt.round == incident.round).count();
        let target = (incident.policy.clone(), incident.fault.target.clone());
        let under_way = self.places_taken(&target.0, id);
        self.guards.judge(&Request {
            rules,
            host: &self.host,
            policy: &target.0,
            target: &target.1,
            actions: &proposal.plan.actions,
            targets: &proposal.ground.targets,
            irreversible: &proposal.ground.irreversible,
            attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
            recency: self.recency.get(&target).copied().unwrap_or_default(),
            holds: &self.holds,
            trip: self.trip.as_ref(),
            rival: rival.as_ref().map(|(rival, why)| (rival.as_str(), *why)),
            cause: cause.as_ref().map(|(cause, because)| (cause.as_str(), because)),
            falling: proposal.ground.falling.as_deref(),
            leans: proposal.ground.leans,
            age: Duration::from_nanos(now.wall.as_nanos().saturating_sub(incident.opened_at.as_nanos())),
            under_way,
            buckets: &Load::described(&proposal.buckets),
            flapping,
            pending: incident.pending.as_ref(),
            now,
        })
    }

    /// Who has one of the targets, or goes first on this incident's.
    fn rival(&self, id: &str, rules: &Rules, ground: &Ground) -> Option<(String, &'static str)> {
        if let Some(holder) =
            ground.targets.iter().filter_map(|target| self.locks.get(target)).find(|other| *other != id)
        {
            return Some((holder.clone(), "is being healed on the same target"));
        }
        let deciding = ground.targets.iter().filter_map(|target| self.by_target.get(target)).flatten();
        let first = deciding.filter(|other| *other != id).find(|other| {
            self.cases.get(*other).is_some_and(|case| {
                let office = self.offices.get(case.incident.policy.as_str());
                case.incident.state == State::Diagnosed
                    && office.is_some_and(|office| office.rules.priority > rules.priority)
            })
        });
        first.map(|other| (other.clone(), "is about the same target and has the higher priority"))
    }

    /// The open incident at something the targets depend on, or that says to have brought them down, unless that one is a
    /// consequence of this.
    fn cause(&self, id: &str, ground: &Ground) -> Option<(String, Because)> {
        let candidates = ground
            .requires
            .iter()
            .filter_map(|name| Some((name, self.by_target.get(name)?)))
            .flat_map(|(name, ids)| ids.iter().map(move |other| (other, Because::Needs(name.clone()))));
        let explained = ground
            .targets
            .iter()
            .filter_map(|name| Some((name, self.explained.get(name)?)))
            .flat_map(|(name, ids)| ids.iter().map(move |other| (name, other)))
            .filter(|(name, other)| self.may_explain(other, name))
            .map(|(_, other)| (other, Because::Told));
        let candidates = candidates.filter(|(other, _)| self.has_a_say(other));
        let is_cause = |other: &String| {
            other != id
                && self.cases.get(other).is_some_and(|case| case.incident.state != State::Orphaned)
                && !self.leads_to(other, id)
        };
        let found = candidates.chain(explained).find(|(other, _)| is_cause(other));
        found.map(|(other, because)| (other.clone(), because))
    }

    /// Whether an incident's policy may hold back others by it: it may do something about its target, or explain it.
    fn has_a_say(&self, id: &str) -> bool {
        let Some(case) = self.cases.get(id) else { return false };
        let target = &case.incident.fault.target;
        self.may_touch(&case.incident.policy, target) || self.may_explain(id, target)
    }

    /// How many plans are in the way of one more of this policy. Where it has none, those that have been carried out and are
    /// being judged do not count: a plan that settles for a day is no reason for others to do nothing.
    pub(super) fn places_taken(&self, policy: &str, but: &str) -> usize {
        let is_own = |id: &String| self.cases.get(id).is_some_and(|case| case.incident.policy == policy);
        let acts = |id: &String| self.cases.get(id).is_some_and(|case| case.incident.state == State::Recovering);
        // A place that was offered to another is as good as taken.
        let offered = || self.offered.iter().filter(|id| *id != but);
        let is_first = !self.under_way.iter().chain(offered()).any(is_own);
        self.under_way.iter().filter(|id| !is_first || acts(id)).count() + offered().count()
    }

    /// Whether the operator lets an incident's policy say what its faults bring down.
    fn may_explain(&self, id: &str, target: &str) -> bool {
        let office = self.cases.get(id).and_then(|case| self.offices.get(case.incident.policy.as_str()));
        office
            .is_some_and(|office| office.rules.explains.iter().any(|it| wildmatch::WildMatch::new(it).matches(target)))
    }

    /// Whether following the causes of `from` comes to `to`.
    fn leads_to(&self, from: &str, to: &str) -> bool {
        let mut at = from;
        for _ in 0..self.cases.len() {
            match self.cases.get(at).and_then(|case| case.incident.cause.as_deref()) {
                Some(next) if next == to => return true,
                Some(next) => at = next,
                None => return false,
            }
        }
        true
    }

    /// How much the fault comes and goes, if that is too much; and the mark for it.
    fn flapping(&mut self, id: &str, rules: &Rules, now: Now, step: &mut Step) -> Option<(f64, Duration)> {
        let limits = &rules.flapping;
        let case = self.cases.get_mut(id)?;
        let flaps = self.flaps.get_mut(&super::key(&case.incident.policy, &case.incident.fault))?;
        flaps.rest(limits, now.mono);
        let share = flaps.share();
        let flapping = limits.enabled && (share >= limits.start || (case.incident.flapping && share >= limits.stop));
        if case.incident.flapping != flapping {
            case.incident.flapping = flapping;
            step.records.push(Record::Flapping { id: id.to_owned(), flapping });
        }
        flapping.then(|| (share, flaps.calm_at(limits)))
    }

    fn ask_person(&mut self, id: &str, plan: Plan, reason: &str, ttl: Duration, now: Now, step: &mut Step) {
        let expires_at = crate::clock::Timestamp::from_nanos(now.wall.as_nanos().saturating_add(ttl.as_nanos() as u64));
        let actions: Vec<String> = plan.actions.iter().map(ToString::to_string).collect();
        let pending = Pending {
            actions: plan.actions,
            reason: reason.to_owned(),
            asked_at: now.wall,
            expires_at,
            approved_by: None,
        };
        self.set_pending(id, Some(pending), step);
        let next = Some(now.mono.saturating_add(ttl));
        self.park(id, Move::new(State::AwaitingApproval, reason), next, None, now, step);
        self.tell(id, NoticeKind::ApprovalAsked, reason, actions, now, step);
    }

    pub(super) fn set_pending(&mut self, id: &str, pending: Option<Pending>, step: &mut Step) {
        let Some(case) = self.cases.get_mut(id) else { return };
        if case.incident.pending != pending {
            case.incident.pending.clone_from(&pending);
            step.records.push(Record::Pending { id: id.to_owned(), pending });
        }
    }

    fn stumbled(&mut self, id: &str, error: &str, now: Now, step: &mut Step) {
        let Some(case) = self.cases.get_mut(id) else { return };
        case.stumbles += 1;
        let (stumbles, policy) = (case.stumbles, case.incident.policy.clone());
        if self.quarantine_of(&policy).is_some() {
            return self.park(id, Move::new(State::Escalated, error), None, None, now, step);
        }
        if stumbles >= MAX_STUMBLES {
            let reason = format!("the plugin failed {MAX_STUMBLES} times to say what to do: {error}");
            let retry = self
                .rules_of(&policy)
                .and_then(|rules| rules.retry_escalated)
                .map(|wait| now.mono.saturating_add(wait));
            return self.park(id, Move::new(State::Escalated, &reason), retry, None, now, step);
        }
        let next = Some(now.mono + Duration::from_secs(1 << stumbles));
        let reason = format!("the plugin failed to say what to do: {error}");
        self.park(id, Move::new(State::Deferred, &reason), next, None, now, step);
    }
}
