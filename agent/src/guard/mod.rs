//! Guards: what a plan must pass before an actuator sees it. Host code, outside every plugin's reach; pure, with the time
//! as an argument.

mod approval;
mod attempts;
mod breaker;
mod budget;
mod cause;
mod cooldown;
mod flapping;
mod grant;
mod hold;
mod lock;
mod maintenance;
mod mode;

use std::collections::BTreeSet;
use std::time::Duration;

pub use budget::Bucket;
pub use cause::Because;
pub use flapping::Flaps;

use crate::action::Action;
use crate::clock::Now;
use crate::config::{HostRules, Rules};
use crate::incident::{Hold, Pending, Recency, Trip};

/// A plan that asks to be let through, with what the engine knows around it.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// What the operator wrote for this policy.
    pub rules: &'a Rules,
    /// What all policies share.
    pub host: &'a HostRules,
    /// The policy.
    pub policy: &'a str,
    /// The incident's target.
    pub target: &'a str,
    /// What is to be done.
    pub actions: &'a [Action],
    /// Everything that touches, the incident's target among it.
    pub targets: &'a BTreeSet<String>,
    /// The actions among it that cannot be undone.
    pub irreversible: &'a [String],
    /// Attempts this incident has had in its round.
    pub attempts: u32,
    /// What was tried lately on this target.
    pub recency: Recency,
    /// What persons said.
    pub holds: &'a [Hold],
    /// The storm breaker, if it is open.
    pub trip: Option<&'a Trip>,
    /// The incident that has one of the targets, or goes first on it: its id and why.
    pub rival: Option<(&'a str, &'a str)>,
    /// The open incident at something the targets depend on: its id and target.
    pub cause: Option<(&'a str, &'a Because)>,
    /// Something they depend on that is going down at this moment.
    pub falling: Option<&'a str>,
    /// Whether something they depend on is watched.
    pub leans: bool,
    /// How long ago the incident was opened.
    pub age: Duration,
    /// Plans under way on this host.
    pub under_way: usize,
    /// The buckets that count for this plan: what each is for, its budget, and what is in it.
    pub buckets: &'a [(String, crate::config::Budget, Bucket)],
    /// How much the fault comes and goes (0..1), and when that will be little enough again if nothing changes.
    pub flapping: Option<(f64, Duration)>,
    /// The plan a person was asked about.
    pub pending: Option<&'a Pending>,
    /// The time.
    pub now: Now,
}

/// What has to happen before a plan is looked at again, besides the time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waits {
    /// This incident's plan is over, or it has none.
    Lock(String),
    /// This incident is resolved.
    Cause(String),
    /// Another plan on this host is over.
    Slot,
    /// A person ends a hold, or closes the breaker.
    Person,
}

/// Not now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Later {
    /// When to ask again, on the monotonic count; never by itself, if none.
    pub until: Option<Duration>,
    /// What else makes it worth asking again.
    pub waits: Option<Waits>,
    /// Why.
    pub reason: String,
}

/// What a guard says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Nothing against it.
    Allow,
    /// Later.
    Defer(Later),
    /// No; a person has to look at it.
    Deny {
        /// When to begin anew all the same; only when policy or plugin change, if none.
        until: Option<Duration>,
        /// Why, and what would allow it.
        reason: String,
    },
    /// No, and that is as it should be.
    Suppress(Later),
    /// Only if a person says yes.
    Ask {
        /// Why.
        reason: String,
    },
}

/// A check that a plan must pass.
pub trait Guard: Send + Sync {
    /// What it is called in reasons.
    fn name(&self) -> &'static str;

    /// Its answer.
    fn judge(&self, request: &Request<'_>) -> Answer;
}

/// The guards, in the order in which they are asked.
pub struct Chain(Vec<Box<dyn Guard>>);

impl Chain {
    /// Every guard of this agent. What a person said comes first, then whether something may be done at all, then when, and
    /// whether a person has to agree last: nobody is asked about a plan that would not be carried out anyway.
    pub fn standard() -> Self {
        Self(vec![
            Box::new(hold::Held),
            Box::new(maintenance::Maintained),
            Box::new(breaker::Tripped),
            Box::new(mode::Observe),
            Box::new(grant::Granted),
            Box::new(lock::Lock),
            Box::new(cause::Caused),
            Box::new(budget::Budgets),
            Box::new(flapping::Flapping),
            Box::new(attempts::Attempts),
            Box::new(cooldown::Cooldown),
            Box::new(approval::Approval),
        ])
    }

    /// The answer of the first guard that does not allow the plan, with the guard's name in its reason.
    pub fn judge(&self, request: &Request<'_>) -> Answer {
        for guard in &self.0 {
            let named = |reason: String| format!("{}: {reason}", guard.name());
            let later = |later: Later| Later { reason: named(later.reason), ..later };
            match guard.judge(request) {
                Answer::Allow => {}
                Answer::Defer(wait) => return Answer::Defer(later(wait)),
                Answer::Deny { until, reason } => return Answer::Deny { until, reason: named(reason) },
                Answer::Suppress(wait) => return Answer::Suppress(later(wait)),
                Answer::Ask { reason } => return Answer::Ask { reason: named(reason) },
            }
        }
        Answer::Allow
    }
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|guard| guard.name())).finish()
    }
}

#[cfg(test)]
mod testing;
