use super::{Answer, Guard, Later, Request, Waits};

/// One plan at a time on a target, the higher priority first.
pub(super) struct Lock;

impl Guard for Lock {
    fn name(&self) -> &'static str {
        "lock"
    }

    fn judge(&self, request: &Request<'_>) -> Answer {
        if let Some((rival, why)) = request.rival {
            let reason = format!("incident {rival} {why}");
            return Answer::Defer(Later { until: None, waits: Some(Waits::Lock(rival.to_owned())), reason });
        }
        Answer::Allow
    }
}
