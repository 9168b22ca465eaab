use super::{Answer, Guard, Later, Request, Waits};

/// Too much happened on this host at once: nothing is done until a person has looked at it.
pub(super) struct Tripped;

impl Guard for Tripped {
    fn name(&self) -> &'static str {
        "breaker"
    }

    fn judge(&self, request: &Request<'_>) -> Answer {
        let Some(trip) = request.trip else { return Answer::Allow };
        let reason = format!("open since {}: {}; `salve resume --breaker` closes it", trip.at, trip.reason);
        Answer::Defer(Later { until: None, waits: Some(Waits::Person), reason })
    }
}
