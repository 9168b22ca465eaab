use std::time::Duration;

use super::{Answer, Guard, Later, Request, Waits};

/// How long to wait before looking again at something that is going down.
const FALL: Duration = Duration::from_secs(1);

/// How much later than news of what depends on it news of a death may come: both are of one moment, and their order is left
/// to chance.
const MOMENT: Duration = Duration::from_millis(100);

/// Why another incident is the cause of this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Because {
    /// Its target is one that this one's needs.
    Needs(String),
    /// It says so, and its policy may.
    Told,
}

/// What a target depends on is at fault itself: that is healed first.
///
/// What is going down at this moment has no incident yet, and may have one in a moment: a database whose manager still runs
/// its stop command takes down at once what is connected to it. Healed first, that would have the manager bring the database
/// back, and the database's own recovery would then restart both.
pub(super) struct Caused;

impl Guard for Caused {
    fn name(&self) -> &'static str {
        "cause"
    }

    fn judge(&self, request: &Request<'_>) -> Answer {
        if let Some((incident, because)) = request.cause {
            let reason = match because {
                Because::Needs(target) => {
                    format!("{} depends on {target}, which has incident {incident}", request.target)
                }
                Because::Told => format!("incident {incident} says that it brought {} down", request.target),
            };
            return Answer::Suppress(Later { until: None, waits: Some(Waits::Cause(incident.to_owned())), reason });
        }
        let defer = |wait, reason| {
            Answer::Defer(Later { until: Some(request.now.mono.saturating_add(wait)), waits: None, reason })
        };
        if let Some(target) = request.falling {
            return defer(FALL, format!("{} depends on {target}, which is going down", request.target));
        }
        if request.leans && request.age < MOMENT {
            let reason =
                format!("what {} depends on may be going down as well; that shows in a moment", request.target);
            return defer(MOMENT - request.age, reason);
        }
        Answer::Allow
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::testing::{Plan, seconds};

    #[test]
    fn a_consequence_waits_for_the_incident_of_its_cause_and_for_one_that_is_about_to_come() {
        let falling = Some("db.service");
        let needs = Some(("1a", Because::Needs("db.service".into())));
        let Answer::Suppress(later) = (Plan { cause: needs, falling, ..Plan::default() }).judge(&Caused) else {
            panic!("it was let through")
        };
        assert_eq!((later.until, later.waits), (None, Some(Waits::Cause("1a".into()))));
        let Answer::Defer(later) = (Plan { falling, ..Plan::default() }).judge(&Caused) else {
            panic!("it was let through")
        };
        assert_eq!((later.until, later.waits), (Some(seconds(1001)), None));
        assert!(later.reason.contains("depends on db.service, which is going down"), "{}", later.reason);
        assert_eq!(Plan::default().judge(&Caused), Answer::Allow);
        let Answer::Defer(later) = (Plan { leans: true, age: MOMENT / 4, ..Plan::default() }).judge(&Caused) else {
            panic!("it was let through")
        };
        assert_eq!(later.until, Some(seconds(1000) + MOMENT / 4 * 3));
        assert_eq!((Plan { leans: true, age: MOMENT, ..Plan::default() }).judge(&Caused), Answer::Allow);
    }
}
