use std::time::Duration;

use crate::{Action, Plan, Recovery};

/// How long a plan waits before `verify` unless it says otherwise.
const SETTLE: Duration = Duration::from_secs(1);
/// How long `verify` may stay undecided unless the plan says otherwise.
const DEADLINE: Duration = Duration::from_secs(30);

impl Plan {
    /// Actions in order; the first failure stops the plan. Verified after 1 s, for at most 30 s.
    pub fn new(actions: impl IntoIterator<Item = Action>) -> Self {
        Self { actions: actions.into_iter().collect(), settle: millis(SETTLE), deadline: millis(DEADLINE) }
    }

    /// With another wait before `verify`.
    pub fn settle(mut self, settle: Duration) -> Self {
        self.settle = millis(settle);
        self
    }

    /// With another limit to how long `verify` may stay undecided.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = millis(deadline);
        self
    }
}

impl From<Plan> for Recovery {
    fn from(plan: Plan) -> Self {
        Self::Act(plan)
    }
}

impl Recovery {
    /// Ask again after `wait`.
    pub fn wait(wait: Duration) -> Self {
        Self::Wait(millis(wait))
    }

    /// A person is needed, for this reason.
    pub fn escalate(reason: impl Into<String>) -> Self {
        Self::Escalate(reason.into())
    }
}

/// The contract's durations are whole milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
