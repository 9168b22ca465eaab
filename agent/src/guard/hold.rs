use wildmatch::WildMatch;

use super::{Answer, Guard, Later, Request, Waits};
use crate::incident::Hold;

/// A person said that nothing is to be done for now: at all, for a policy, or on a target.
pub(super) struct Held;

impl Guard for Held {
    fn name(&self) -> &'static str {
        "hold"
    }

    fn judge(&self, request: &Request<'_>) -> Answer {
        let Some(hold) = request.holds.iter().find(|hold| covers(hold, request)) else {
            return Answer::Allow;
        };
        let end = hold.until.map_or("until somebody resumes".to_owned(), |until| format!("until {until}"));
        Answer::Defer(Later {
            until: hold.until.map(|until| request.now.mono_of(until)),
            waits: Some(Waits::Person),
            reason: format!("hold {} by {} {end}: {}", hold.id, hold.actor, hold.reason),
        })
    }
}

fn covers(hold: &Hold, request: &Request<'_>) -> bool {
    let is_over = hold.until.is_some_and(|until| until <= request.now.wall);
    let on_target = hold.target.as_ref().is_none_or(|target| {
        let pattern = WildMatch::new(target);
        pattern.matches(request.target) || request.targets.iter().any(|target| pattern.matches(target))
    });
    !is_over && on_target && hold.policy.as_ref().is_none_or(|policy| policy == request.policy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::guard::testing::Plan;

    fn judge(policy: Option<&str>, target: Option<&str>, until: Option<u64>) -> Answer {
        let hold = Hold {
            id: 1,
            policy: policy.map(str::to_owned),
            target: target.map(str::to_owned),
            since: Timestamp::default(),
            until: until.map(|second| Timestamp::from_nanos(second * 1_000_000_000)),
            reason: "night".into(),
            actor: "root".into(),
        };
        Plan { holds: vec![hold], ..Plan::default() }.judge(&Held)
    }

    #[test]
    fn a_hold_covers_what_it_names_until_it_is_over() {
        for (policy, target) in [(None, None), (Some("web"), None), (None, Some("de*")), (Some("web"), Some("demo"))] {
            assert!(matches!(judge(policy, target, None), Answer::Defer(_)), "{policy:?} {target:?}");
        }
        for (policy, target) in [(Some("db"), None), (None, Some("dem")), (Some("db"), Some("demo"))] {
            assert_eq!(judge(policy, target, None), Answer::Allow, "{policy:?} {target:?}");
        }
        assert!(matches!(judge(None, None, Some(1001)), Answer::Defer(_)));
        assert_eq!(judge(None, None, Some(1000)), Answer::Allow);
    }
}
