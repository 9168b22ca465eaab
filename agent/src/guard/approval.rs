use super::{Answer, Guard, Request};
use crate::config::Mode;

/// A plan waits for a person in approve mode, and where it cannot be undone; a yes is good for exactly the plan it was given
/// to, for as long as it was asked.
pub(super) struct Approval;

impl Guard for Approval {
    fn name(&self) -> &'static str {
        "approval"
    }

    fn judge(&self, request: &Request<'_>) -> Answer {
        let asked = request.rules.mode.min(request.host.ceiling) == Mode::Approve;
        let reason = match request.irreversible {
            _ if asked => "approve mode: a person has to agree".to_owned(),
            [] => return Answer::Allow,
            _ if request.rules.unattended => return Answer::Allow,
            what => format!("it cannot be undone ({}); [grant] unattended = true does it unasked", what.join(", ")),
        };
        let Some(pending) = request.pending.filter(|pending| pending.approved_by.is_some()) else {
            return Answer::Ask { reason };
        };
        if pending.expires_at <= request.now.wall {
            return Answer::Ask { reason: format!("the yes came too long ago; {reason}") };
        }
        if pending.actions != request.actions {
            return Answer::Ask { reason: format!("the plan has changed since the yes; {reason}") };
        }
        Answer::Allow
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::guard::testing::{Plan, restart};
    use crate::incident::Pending;

    fn pending(target: &str, expires: u64, by: Option<&str>) -> Option<Pending> {
        Some(Pending {
            actions: vec![restart(target)],
            reason: String::new(),
            asked_at: Timestamp::default(),
            expires_at: Timestamp::from_nanos(expires * 1_000_000_000),
            approved_by: by.map(str::to_owned),
        })
    }

    #[test]
    fn approve_mode_asks_wherever_it_comes_from() {
        for (mode, ceiling) in [(Mode::Approve, Mode::Auto), (Mode::Auto, Mode::Approve)] {
            assert!(matches!(Plan { mode, ceiling, ..Plan::default() }.judge(&Approval), Answer::Ask { .. }));
        }
        assert_eq!(Plan::default().judge(&Approval), Answer::Allow);
    }

    #[test]
    fn what_cannot_be_undone_asks_unless_the_grant_says_unattended() {
        let plan = || Plan { irreversible: vec!["file.delete".into()], ..Plan::default() };
        assert!(matches!(plan().judge(&Approval), Answer::Ask { .. }));
        assert_eq!(Plan { unattended: true, ..plan() }.judge(&Approval), Answer::Allow);
    }

    #[test]
    fn a_yes_is_for_one_plan_and_one_time() {
        let judge = |pending| Plan { mode: Mode::Approve, pending, ..Plan::default() }.judge(&Approval);
        assert_eq!(judge(pending("demo", 1001, Some("root"))), Answer::Allow);
        for no in [pending("demo", 1001, None), pending("demo", 1000, Some("root")), pending("x", 1001, Some("root"))] {
            assert!(matches!(judge(no.clone()), Answer::Ask { .. }), "{no:?}");
        }
    }
}
