use super::{Answer, Guard, Request};

/// Nothing is done that the policy's grant does not name.
pub(super) struct Granted;

impl Guard for Granted {
    fn name(&self) -> &'static str {
        "grant"
    }

    fn judge(&self, request: &Request<'_>) -> Answer {
        let is_granted =
            |kind: &str, target: &str| request.rules.grant.iter().any(|pattern| pattern.matches(kind, target));
        let missing: Vec<String> = request
            .actions
            .iter()
            .filter(|action| !is_granted(&action.kind, &action.target))
            .map(|action| format!("\"{}:{}\"", action.kind, action.target))
            .collect();
        if missing.is_empty() {
            return Answer::Allow;
        }
        Answer::Deny {
            until: None,
            reason: format!("not granted; [grant] actions = [{}] would allow it", missing.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::testing::Plan;

    #[test]
    fn a_denial_names_the_line_that_would_have_allowed_it() {
        let judge = |grant: &[&'static str]| Plan { grant: grant.to_vec(), ..Plan::default() }.judge(&Granted);
        assert_eq!(judge(&["service.restart:demo"]), Answer::Allow);
        assert_eq!(judge(&["service.*:d*"]), Answer::Allow);
        for too_little in [&[][..], &["service.start:demo"], &["service.restart:dem"], &["service.restart:demo2"]] {
            let Answer::Deny { reason, .. } = judge(too_little) else { panic!("{too_little:?} allowed it") };
            assert!(reason.contains(r#"actions = ["service.restart:demo"]"#), "{reason}");
        }
    }
}
