use super::{Answer, Guard, Later, Request};

/// Work on the host is announced: what happens meanwhile is seen, and not healed.
pub(super) struct Maintained;

impl Guard for Maintained {
    fn name(&self) -> &'static str {
        "maintenance"
    }

    fn judge(&self, request: &Request<'_>) -> Answer {
        let now = request.now;
        // The fault's own target is not always among what is acted on, and either may be under maintenance.
        let targets = request.targets.iter().map(String::as_str).chain([request.target]);
        let ends = targets.flat_map(|target| {
            let windows = request.host.maintenance.iter();
            windows.filter_map(move |window| Some((window.end(request.policy, target, now.wall)?, &window.name)))
        });
        let Some((end, name)) = ends.max() else { return Answer::Allow };
        let reason = format!("[maintenance.{name}] until {end}");
        Answer::Suppress(Later { until: Some(now.mono_of(end)), waits: None, reason })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Settings;
    use crate::guard::testing::{Plan, seconds};

    /// The plan is judged at 00:16:40 on the first day of 1970.
    fn judge(window: &str) -> Answer {
        let text = format!("[maintenance.upgrade]\n{window}");
        let maintenance = Settings::parse(Path::new("salve.toml"), &text).unwrap().host.maintenance;
        Plan { maintenance, ..Plan::default() }.judge(&Maintained)
    }

    const NOW: &str = "start = \"1970-01-01T00:10:00Z\"\nend = \"1970-01-01T00:30:00Z\"\n";

    #[test]
    fn what_lies_in_a_window_is_suppressed_until_it_ends() {
        let Answer::Suppress(later) = judge(NOW) else { panic!("it was let through") };
        assert_eq!(later.until, Some(seconds(1800)));
        assert!(later.reason.contains("[maintenance.upgrade]"), "{}", later.reason);
        let Answer::Suppress(_) = judge(&format!("{NOW}targets = [\"de*\"]\npolicies = [\"web\"]\n")) else {
            panic!("it was let through")
        };
    }

    #[test]
    fn another_target_policy_or_time_is_none_of_its_business() {
        for other in ["targets = [\"nginx\"]", "policies = [\"db\"]"] {
            assert_eq!(judge(&format!("{NOW}{other}\n")), Answer::Allow, "{other}");
        }
        let over = "start = \"1970-01-01T00:00:00Z\"\nend = \"1970-01-01T00:10:00Z\"\n";
        assert_eq!(judge(over), Answer::Allow);
    }
}
