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
