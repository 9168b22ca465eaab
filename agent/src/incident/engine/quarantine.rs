use std::sync::Arc;

use super::{Engine, Move, Office, notify};
use crate::clock::Now;
use crate::incident::message::{Effect, Step};
use crate::incident::{Notice, NoticeKind, Quarantine, Record, State, Verdict};

/// What the basis of a decision ends with that was made while the plugin was quarantined.
pub(super) const MARK: &str = " quarantined";

impl Engine {
    /// A plugin is not called any more under a policy: its open incidents go to a person. What it is asked meanwhile is
    /// answered with the reason by whoever would otherwise call it.
    pub(super) fn quarantined(&mut self, mut office: Office, quarantine: Quarantine, now: Now, step: &mut Step) {
        let policy = quarantine.policy.clone();
        let is_known = self.quarantines.get(&policy).is_some_and(|known| known.basis == quarantine.basis);
        // Decisions that are made meanwhile rest on this, and are made again when it is over.
        office.basis = format!("{}{MARK}", office.basis).into();
        self.open_office(office);
        let reason = why(&quarantine);
        if !is_known {
            self.free(&policy, None, "another one began", now, step);
            step.records.push(Record::Quarantined(quarantine.clone()));
            let Quarantine { plugin, reason, .. } = &quarantine;
            let reason = format!(
                "plugin {plugin} is quarantined under policy {policy}: {reason}; new bytes, a changed policy or `salve plugin \
                 release {plugin}` end that"
            );
            let (kind, key) = (NoticeKind::PluginQuarantined, key(&policy));
            notify(Notice { kind, at: now.wall, key, reason, incident: None, actions: vec![] }, step);
            self.quarantines.insert(policy.clone(), quarantine);
        }
        for id in self.cases_of(&policy) {
            self.hand_over(&id, &reason, now, step);
        }
    }

    /// Why nothing of a policy's plugin counts, if nothing does.
    pub(super) fn quarantine_of(&self, policy: &str) -> Option<String> {
        self.quarantines.get(policy).map(why)
    }

    /// Has an incident escalated, by the moves there are.
    fn hand_over(&mut self, id: &str, reason: &str, now: Now, step: &mut Step) {
        let Some(case) = self.cases.get(id) else { return };
        let settles = case.plan.is_some();
        match case.incident.state {
            // With a person already; under way, or settling: what comes next asks the plugin, and is told the reason.
            State::Escalated | State::Orphaned | State::Resolved | State::Recovering => return,
            State::Verifying if settles => return,
            State::Verifying => self.judged(id, Verdict::Unhealthy(reason.to_owned()), now, step),
            State::Detected | State::Deferred | State::Suppressed => {
                self.shift(id, Move::new(State::Diagnosed, reason), now, step);
            }
            State::AwaitingApproval => self.set_pending(id, None, step),
            State::Diagnosed => {}
        }
        // What followed from the first move may have been its end.
        let state = self.cases.get(id).map(|case| case.incident.state);
        if matches!(state, Some(State::Diagnosed | State::AwaitingApproval)) {
            self.park(id, Move::new(State::Escalated, reason), None, None, now, step);
        }
    }

    /// A person gives what is quarantined under this name, a plugin's or a policy's, another chance.
    pub(super) fn let_go(
        &mut self,
        name: &str,
        reason: &str,
        actor: &str,
        now: Now,
        step: &mut Step,
    ) -> Result<String, String> {
        let meant = |quarantine: &&Quarantine| quarantine.plugin == name || quarantine.policy == name;
        let policies: Vec<String> = self.quarantines.values().filter(meant).map(|it| it.policy.clone()).collect();
        if policies.is_empty() {
            return Err(format!("no plugin or policy `{name}` is quarantined; `salve status` shows what is"));
        }
        let reason = super::people::said("released", actor, reason);
        for policy in &policies {
            self.free(policy, Some(actor), &reason, now, step);
            step.effects.push(Effect::Release(Arc::from(policy.as_str())));
        }
        let plural = if policies.len() == 1 { "policy" } else { "policies" };
        Ok(format!("{reason}; it starts again under {plural} {}", policies.join(", ")))
    }

    /// The quarantine of a policy is over, if there is one.
    pub(super) fn free(&mut self, policy: &str, actor: Option<&str>, reason: &str, now: Now, step: &mut Step) {
        let Some(ended) = self.quarantines.remove(policy) else { return };
        let (at, reason, actor) = (now.wall, reason.to_owned(), actor.map(str::to_owned));
        step.records.push(Record::Freed { policy: policy.to_owned(), at, reason: reason.clone(), actor });
        let reason = format!("plugin {} under policy {policy} is not quarantined any more: {reason}", ended.plugin);
        let (kind, key) = (NoticeKind::PluginUp, key(policy));
        notify(Notice { kind, at, key, reason, incident: None, actions: vec![] }, step);
    }
}

fn why(quarantine: &Quarantine) -> String {
    format!("its plugin {} is quarantined: {}", quarantine.plugin, quarantine.reason)
}

/// What notices about the plugin of a policy are joined by.
fn key(policy: &str) -> String {
    format!("plugin:{policy}")
}
