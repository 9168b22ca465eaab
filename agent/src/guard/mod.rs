//! Guards: what a plan must pass before an actuator sees it. Host code, outside every plugin's reach; pure, with the time
//! as an argument.

mod approval;
mod attempts;
mod cooldown;
mod grant;
mod mode;

use std::time::Duration;

use crate::action::Action;
use crate::clock::Now;
use crate::config::{Mode, Rules};
use crate::incident::Recency;

/// A plan that asks to be let through.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// What the operator wrote for this policy.
    pub rules: &'a Rules,
    /// The most any policy may do on this host.
    pub ceiling: Mode,
    /// The incident's target.
    pub target: &'a str,
    /// What is to be done.
    pub actions: &'a [Action],
    /// Attempts this incident has had.
    pub attempts: u32,
    /// What was tried lately on this target.
    pub recency: Recency,
    /// The time.
    pub now: Now,
}

/// What a guard says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Nothing against it.
    Allow,
    /// Not before this monotonic time.
    Defer {
        /// When to ask again.
        until: Duration,
        /// Why.
        reason: String,
    },
    /// No; a person has to look at it.
    Deny {
        /// Why, and what would allow it.
        reason: String,
    },
    /// No, and that is as it should be.
    Suppress {
        /// Why.
        reason: String,
    },
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
    /// Every guard of this agent. Whether something may be done at all comes first, when it may be done after that, and
    /// whether a person has to agree last: nobody is asked about a plan that would not be carried out anyway.
    pub fn standard() -> Self {
        Self(vec![
            Box::new(mode::Observe),
            Box::new(grant::Granted),
            Box::new(attempts::Attempts),
            Box::new(cooldown::Cooldown),
            Box::new(approval::Approval),
        ])
    }

    /// The answer of the first guard that does not allow the plan, with the guard's name in its reason.
    pub fn judge(&self, request: &Request<'_>) -> Answer {
        for guard in &self.0 {
            let named = |reason: String| format!("{}: {reason}", guard.name());
            match guard.judge(request) {
                Answer::Allow => {}
                Answer::Defer { until, reason } => {
                    return Answer::Defer { until, reason: named(reason) };
                }
                Answer::Deny { reason } => return Answer::Deny { reason: named(reason) },
                Answer::Suppress { reason } => return Answer::Suppress { reason: named(reason) },
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
