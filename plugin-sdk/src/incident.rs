use std::time::Duration;

use crate::bindings::salve::plugin::types::Incident as WireIncident;
use crate::{Attempt, Cause, Fault, Verdict};

/// The incident a plugin is asked about.
#[derive(Debug, Clone, PartialEq)]
pub struct Incident {
    /// Its name on this host.
    pub id: String,
    /// The fault, as last raised.
    pub fault: Fault,
    /// What `diagnose` answered.
    pub causes: Vec<Cause>,
    /// What was tried, the oldest first.
    pub attempts: Vec<Attempt>,
    opened: u64,
    at: u64,
    detected: Verdict,
}

impl Incident {
    pub(crate) fn new(wire: WireIncident, detected: Verdict) -> Self {
        let WireIncident { id, at, opened, fault, causes, attempts } = wire;
        Self { id, fault, causes, attempts, opened, at, detected }
    }

    /// How long it has been open.
    pub fn age(&self) -> Duration {
        Duration::from_nanos(self.at.saturating_sub(self.opened))
    }

    /// The verdict that detection gives: unhealthy while the last word of `detect` on this fault is that it is present,
    /// healthy once it is not and there has been a batch since the last attempt began, undecided until then.
    pub fn as_detected(&self) -> Verdict {
        self.detected.clone()
    }
}
