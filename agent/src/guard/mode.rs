use super::{Answer, Guard, Later, Request};
use crate::config::Mode;

/// Observe mode, of the policy or of the whole agent: findings show, nothing is done.
pub(super) struct Observe;

impl Guard for Observe {
    fn name(&self) -> &'static str {
        "mode"
    }

    fn judge(&self, request: &Request<'_>) -> Answer {
        let suppress = |reason: &str| Answer::Suppress(Later { until: None, waits: None, reason: reason.to_owned() });
        match (request.rules.mode, request.host.ceiling) {
            (Mode::Observe, _) => suppress("the policy is in observe mode; `mode = \"auto\"` lets it act"),
            (_, Mode::Observe) => suppress("the agent's ceiling is observe ([agent] mode in salve.toml)"),
            _ => Answer::Allow,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::testing::Plan;

    #[test]
    fn the_lower_of_policy_and_ceiling_counts() {
        let judge = |mode, ceiling| Plan { mode, ceiling, ..Plan::default() }.judge(&Observe);
        assert!(matches!(judge(Mode::Observe, Mode::Auto), Answer::Suppress(_)));
        assert!(matches!(judge(Mode::Auto, Mode::Observe), Answer::Suppress(_)));
        assert_eq!(judge(Mode::Auto, Mode::Auto), Answer::Allow);
        assert_eq!(judge(Mode::Approve, Mode::Auto), Answer::Allow);
    }
}
