use std::time::Duration;

use crate::{Action, Attribute, Plan, Recovery, Value};

/// How long a plan waits before `verify` unless it says otherwise.
const SETTLE: Duration = Duration::from_secs(1);
/// How long `verify` may stay undecided unless the plan says otherwise.
const DEADLINE: Duration = Duration::from_secs(30);

impl Action {
    /// An action by kind and target; the typed constructors below are what plugins use.
    pub fn new(kind: impl Into<String>, target: impl Into<String>) -> Self {
        Self { kind: kind.into(), target: target.into(), parameters: Vec::new() }
    }

    /// With one more parameter.
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.parameters.push(Attribute::new(key, value));
        self
    }

    /// Starts a service that is not running.
    pub fn start_service(name: impl Into<String>) -> Self {
        Self::new("service.start", name)
    }

    /// Stops a service.
    pub fn stop_service(name: impl Into<String>) -> Self {
        Self::new("service.stop", name)
    }

    /// Stops a service if it runs, then starts it.
    pub fn restart_service(name: impl Into<String>) -> Self {
        Self::new("service.restart", name)
    }

    /// Has a service read its configuration again.
    pub fn reload_service(name: impl Into<String>) -> Self {
        Self::new("service.reload", name)
    }

    /// Makes the manager forget a failure and the starts it counted towards `start-limit-hit`.
    pub fn reset_failed_service(name: impl Into<String>) -> Self {
        Self::new("service.reset-failed", name)
    }
}

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
