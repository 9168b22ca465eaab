use super::{Answer, Guard, Request};

/// An incident has a limited number of attempts; after that a person is needed, and much later it is tried anew.
pub(super) struct Attempts;

impl Guard for Attempts {
    fn name(&self) -> &'static str {
        "attempts"
    }

    fn judge(&self, request: &Request<'_>) -> Answer {
        let allowed = request.rules.attempts;
        if request.attempts < allowed {
            return Answer::Allow;
        }
        let until = request.rules.retry_escalated.map(|wait| request.now.mono.saturating_add(wait));
        Answer::Deny { until, reason: format!("all {allowed} attempts are used up ([guard] attempts)") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::testing::Plan;

    #[test]
    fn the_last_attempt_is_allowed_and_the_next_is_not() {
        let judge = |attempts| Plan { attempts, ..Plan::default() }.judge(&Attempts);
        assert_eq!(judge(2), Answer::Allow);
        assert!(matches!(judge(3), Answer::Deny { .. }));
    }
}
