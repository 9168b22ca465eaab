use super::{Answer, Guard, Request};
use crate::config::Mode;

/// Observe mode, of the policy or of the whole agent: findings show, nothing is done.
pub(super) struct Observe;

impl Guard for Observe {
    fn name(&self) -> &'static str {
        "mode"
    }

    fn judge(&self, request: &Request<'_>) -> Answer {
        match (request.rules.mode, request.ceiling) {
            (Mode::Observe, _) => {
                Answer::Suppress { reason: "the policy is in observe mode; `mode = \"auto\"` lets it act".into() }
            }
            (_, Mode::Observe) => {
                Answer::Suppress { reason: "the agent's ceiling is observe ([agent] mode in salve.toml)".into() }
            }
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
        assert!(matches!(judge(Mode::Observe, Mode::Auto), Answer::Suppress { .. }));
        assert!(matches!(judge(Mode::Auto, Mode::Observe), Answer::Suppress { .. }));
        assert_eq!(judge(Mode::Auto, Mode::Auto), Answer::Allow);
        assert_eq!(judge(Mode::Approve, Mode::Auto), Answer::Allow);
    }
}
