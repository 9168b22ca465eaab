use super::{Answer, Guard, Request};
use crate::config::Mode;

/// Approve mode: the plan waits for a person.
pub(super) struct Approval;

impl Guard for Approval {
    fn name(&self) -> &'static str {
        "approval"
    }

    fn judge(&self, request: &Request<'_>) -> Answer {
        if request.rules.mode.min(request.ceiling) != Mode::Approve {
            return Answer::Allow;
        }
        let actions: Vec<String> = request.actions.iter().map(ToString::to_string).collect();
        Answer::Ask { reason: format!("approve mode holds: {}", actions.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::testing::Plan;

    #[test]
    fn approve_mode_holds_and_names_the_actions() {
        let held = Plan { mode: Mode::Approve, ..Plan::default() }.judge(&Approval);
        assert!(matches!(held, Answer::Ask { reason } if reason.contains("service.restart demo")));
        assert_eq!(Plan::default().judge(&Approval), Answer::Allow);
        let ceiling = Plan { ceiling: Mode::Approve, ..Plan::default() }.judge(&Approval);
        assert!(matches!(ceiling, Answer::Ask { .. }));
    }
}
