use super::{Answer, Guard, Later, Request, Waits};

/// Why another incident is the cause of this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Because {
    /// Its target is one that this one's needs.
    Needs(String),
    /// It says so, and its policy may.
    Told,
}

/// What a target depends on is at fault itself: that is healed first.
pub(super) struct Caused;

impl Guard for Caused {
    fn name(&self) -> &'static str {
        "cause"
    }

    fn judge(&self, request: &Request<'_>) -> Answer {
        let Some((incident, because)) = request.cause else { return Answer::Allow };
        let reason = match because {
            Because::Needs(target) => format!("{} depends on {target}, which has incident {incident}", request.target),
            Because::Told => format!("incident {incident} says that it brought {} down", request.target),
        };
        Answer::Suppress(Later { until: None, waits: Some(Waits::Cause(incident.to_owned())), reason })
    }
}
