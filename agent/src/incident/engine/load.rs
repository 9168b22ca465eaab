use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::Key;
use super::restore::{Begun, Change, Past};
use crate::action::Action;
use crate::config::{Breaker, Budget, Flapping, HostRules, Rules};
use crate::guard::{Bucket, Flaps};

/// The action kind that restarts the host.
const REBOOT: &str = "host.reboot";
/// Full buckets are as good as none: beyond so many they are thrown away.
const MANY: usize = 4096;
/// So many times what opens the breaker is taken down of one policy, and no more: a storm is told by then.
const FLOOD: u32 = 10;

/// Too much happened at once.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Storm {
    /// What.
    pub reason: String,
    /// The policy that the largest part of it is of, if that is more than a quarter.
    pub by: Option<String>,
}

/// Whose bucket it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Owner {
    Host,
    Target(String),
    Policy(String),
    PolicyTarget(String, String),
    /// What a policy finds.
    Faults(String),
    Reboots,
}

impl Owner {
    fn describe(&self) -> String {
        match self {
            Self::Host => "this host ([agent] budget)".to_owned(),
            Self::Target(target) => format!("{target} ([agent] budget-per-target)"),
            Self::Policy(policy) => format!("policy {policy} ([guard] budget)"),
            Self::PolicyTarget(policy, target) => format!("policy {policy} on {target} ([guard] budget-per-target)"),
            Self::Faults(policy) => format!("faults that policy {policy} finds"),
            Self::Reboots => "reboots ([agent] max-reboots)".to_owned(),
        }
    }
}

/// How much was done on this host lately: what budgets and the breaker go by.
#[derive(Debug)]
pub(super) struct Load {
    /// Each with the budget that it was counted by: a policy may have another one by now.
    buckets: HashMap<Owner, (Budget, Bucket)>,
    /// What policies did before the agent started; judged once their rules are known.
    begun: Vec<Begun>,
    changes: Vec<Change>,
    /// When incidents were opened, and under which policy.
    opened: VecDeque<(Duration, String)>,
    /// The same of actions.
    acted: VecDeque<(Duration, String)>,
}

impl Load {
    /// From what the ledger remembers.
    pub(super) fn restore(host: &HostRules, past: &Past) -> Self {
        let counts = |at: &Duration| past.forgiven.is_none_or(|forgiven| *at > forgiven);
        let acted = past.begun.iter().flat_map(|it| std::iter::repeat_n((it.at, it.policy.clone()), it.actions));
        let opened = past.changes.iter().map(|change| (change.opened, change.policy.clone()));
        let mut load = Self {
            buckets: HashMap::new(),
            begun: past.begun.clone(),
            changes: past.changes.clone(),
            opened: opened.filter(|(at, _)| counts(at)).collect(),
            acted: acted.filter(|(at, _)| counts(at)).collect(),
        };
        for begun in &past.begun {
            for (owner, budget) in shared(host, &begun.targets, begun.reboot) {
                load.take(owner, budget, begun.at);
            }
        }
        load
    }

    fn bucket(&self, owner: &Owner, budget: Budget, now: Duration) -> Bucket {
        self.buckets.get(owner).map(|(before, bucket)| bucket.converted(*before, budget, now)).unwrap_or_default()
    }

    fn take(&mut self, owner: Owner, budget: Budget, now: Duration) {
        let mut bucket = self.bucket(&owner, budget, now);
        bucket.take(budget, now);
        self.buckets.insert(owner, (budget, bucket));
    }

    /// The rules of a policy are known: what it did before counts.
    pub(super) fn arrived(&mut self, policy: &str, rules: &Rules) {
        let (own, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.begun).into_iter().partition(|begun| begun.policy == policy);
        self.begun = rest;
        for begun in own {
            for (owner, budget) in particular(rules, policy, &begun.targets) {
                self.take(owner, budget, begun.at);
            }
        }
    }

    /// How the faults of a policy came and went before the agent started.
    pub(super) fn flaps_of(&mut self, policy: &str, limits: &Flapping) -> HashMap<Key, Flaps> {
        let (own, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.changes).into_iter().partition(|change| change.policy == policy);
        self.changes = rest;
        let mut flaps: HashMap<Key, Flaps> = HashMap::new();
        for Change { policy, kind, target, opened, resolved } in own {
            let flaps = flaps.entry((policy, kind, target)).or_insert_with(|| Flaps::new(opened));
            flaps.change(limits, opened);
            if let Some(resolved) = resolved {
                flaps.change(limits, resolved);
            }
        }
        flaps
    }

    /// The buckets a plan takes a token from.
    pub(super) fn buckets<'a>(
        &self,
        host: &HostRules,
        rules: &Rules,
        policy: &str,
        targets: impl IntoIterator<Item = &'a String>,
        actions: &[Action],
        now: Duration,
    ) -> Vec<(Owner, Budget, Bucket)> {
        let targets: Vec<String> = targets.into_iter().cloned().collect();
        let reboot = reboots(actions);
        let owners = shared(host, &targets, reboot).chain(particular(rules, policy, &targets));
        owners
            .map(|(owner, budget)| {
                let bucket = self.bucket(&owner, budget, now);
                (owner, budget, bucket)
            })
            .collect()
    }

    /// The same with what each is for in words.
    pub(super) fn described(buckets: &[(Owner, Budget, Bucket)]) -> Vec<(String, Budget, Bucket)> {
        buckets.iter().map(|(owner, budget, bucket)| (owner.describe(), *budget, *bucket)).collect()
    }

    /// A plan begins.
    pub(super) fn began(&mut self, buckets: Vec<(Owner, Budget, Bucket)>, policy: &str, actions: usize, now: Duration) {
        if self.buckets.len() > MANY {
            self.buckets.retain(|_, (_, bucket)| !bucket.is_full(now));
        }
        for (owner, budget, _) in buckets {
            self.take(owner, budget, now);
        }
        self.acted.extend(std::iter::repeat_n((now, policy.to_owned()), actions));
    }

    /// Whether one more fault of a policy is taken down. A plugin that finds new ones without end must not fill the ledger.
    pub(super) fn admits(&mut self, breaker: &Breaker, policy: &str, now: Duration) -> bool {
        let budget = Budget { count: breaker.incidents.saturating_mul(FLOOD), per: breaker.within };
        let owner = Owner::Faults(policy.to_owned());
        let admitted = self.bucket(&owner, budget, now).next(budget, now) <= now;
        if admitted {
            self.take(owner, budget, now);
        }
        admitted
    }

    /// An incident opens; why that is too much, if it is.
    pub(super) fn opened(&mut self, breaker: &Breaker, policy: &str, now: Duration) -> Option<Storm> {
        self.opened.push_back((now, policy.to_owned()));
        forget_old(&mut self.opened, breaker, now);
        storm(&self.opened, breaker.incidents, 0, policy, || {
            format!("more than {} incidents within {} s", breaker.incidents, breaker.within.as_secs_f64())
        })
    }

    /// Why so many actions more would be too much, if they would.
    pub(super) fn would_trip(
        &mut self,
        breaker: &Breaker,
        policy: &str,
        actions: usize,
        now: Duration,
    ) -> Option<Storm> {
        forget_old(&mut self.acted, breaker, now);
        storm(&self.acted, breaker.actions, actions, policy, || {
            format!("more than {} actions within {} s", breaker.actions, breaker.within.as_secs_f64())
        })
    }

    /// What a policy did is no longer counted with what others do.
    pub(super) fn set_apart(&mut self, policy: &str) {
        self.opened.retain(|(_, of)| of != policy);
        self.acted.retain(|(_, of)| of != policy);
    }

    /// A person closed the breaker: the count begins anew.
    pub(super) fn forgive(&mut self) {
        self.opened.clear();
        self.acted.clear();
    }
}

/// Whether one of the actions restarts the host.
pub(super) fn reboots(actions: &[Action]) -> bool {
    actions.iter().any(|action| action.kind == REBOOT)
}

fn forget_old(times: &mut VecDeque<(Duration, String)>, breaker: &Breaker, now: Duration) {
    while times.front().is_some_and(|(at, _)| now.saturating_sub(*at) > breaker.within) {
        times.pop_front();
    }
}

/// What is too much, if `more` of a policy are, and whose it is.
fn storm(
    times: &VecDeque<(Duration, String)>,
    limit: u32,
    more: usize,
    policy: &str,
    reason: impl Fn() -> String,
) -> Option<Storm> {
    let count = times.len() + more;
    if count <= limit as usize {
        return None;
    }
    let mut shares = HashMap::from([(policy, more)]);
    times.iter().for_each(|(_, of)| *shares.entry(of.as_str()).or_default() += 1);
    let largest = shares.into_iter().max_by_key(|(policy, share)| (*share, *policy));
    let by = largest.filter(|(_, share)| 4 * share > count).map(|(policy, _)| policy.to_owned());
    Some(Storm { reason: reason(), by })
}

fn shared<'a>(
    host: &HostRules,
    targets: &'a [String],
    reboot: bool,
) -> impl Iterator<Item = (Owner, Budget)> + use<'a> {
    let per_target = host.budget_per_target;
    let on_targets = targets.iter().filter_map(move |target| Some((Owner::Target(target.clone()), per_target?)));
    let host_wide = host.budget.map(|budget| (Owner::Host, budget));
    host_wide.into_iter().chain(reboot.then_some((Owner::Reboots, host.reboots))).chain(on_targets)
}

fn particular<'a>(
    rules: &Rules,
    policy: &'a str,
    targets: &'a [String],
) -> impl Iterator<Item = (Owner, Budget)> + use<'a> {
    let per_target = rules.budget_per_target;
    let on_targets = targets
        .iter()
        .filter_map(move |target| Some((Owner::PolicyTarget(policy.to_owned(), target.clone()), per_target?)));
    rules.budget.map(|budget| (Owner::Policy(policy.to_owned()), budget)).into_iter().chain(on_targets)
}
