use super::{Answer, Guard, Later, Request, Waits};

/// What a target depends on is at fault itself: that is healed first.
pub(super) struct Caused;

impl Guard for Caused {
    fn name(&self) -> &'static str {
        "cause"
    }

    fn judge(&self, request: &Request<'_>) -> Answer {
        let Some((incident, target)) = request.cause else { return Answer::Allow };
        let reason = format!("{} depends on {target}, which has incident {incident}", request.target);
        Answer::Suppress(Later { until: None, waits: Some(Waits::Cause(incident.to_owned())), reason })
    }
}
