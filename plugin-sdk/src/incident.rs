use std::time::Duration;

use crate::bindings::salve::plugin::types::Incident as WireIncident;
use crate::{Attempt, Cause, Fault, Outcome, Verdict};

/// The incident a plugin is asked about.
#[derive(Debug, Clone, PartialEq)]
pub struct Incident {
    /// Its name on this host.
    pub id: String,
    /// The fault, as last raised.
    pub fault: Fault,
    /// What `diagnose` answered.
    pub causes: Vec<Cause>,
    /// How often the host began anew after it had been handed to a person: 0 at first.
    pub round: u32,
    /// What was tried in every round, the oldest first.
    pub attempts: Vec<Attempt>,
    opened: u64,
    at: u64,
    detected: Verdict,
}

impl Incident {
    pub(crate) fn new(wire: WireIncident) -> Self {
        let WireIncident { id, at, opened, fault, causes, round, attempts } = wire;
        Self { id, fault, causes, round, attempts, opened, at, detected: Verdict::Undecided }
    }

    pub(crate) fn detected(self, detected: Verdict) -> Self {
        Self { detected, ..self }
    }

    pub(crate) fn opened(&self) -> Duration {
        Duration::from_nanos(self.opened)
    }

    /// The time of this call, since the Unix epoch. The plugin has been given all that was new until then, so where nothing
    /// came, nothing was.
    pub fn at(&self) -> Duration {
        Duration::from_nanos(self.at)
    }

    /// How long it has been open.
    pub fn age(&self) -> Duration {
        Duration::from_nanos(self.at.saturating_sub(self.opened))
    }

    /// What was tried in the present round, the oldest first.
    pub fn attempts_in_round(&self) -> &[Attempt] {
        let earlier = self.attempts.partition_point(|attempt| attempt.round < self.round);
        self.attempts.get(earlier..).unwrap_or_default()
    }

    /// When the last action began, since the Unix epoch; `None` before the first. It is when its attempt began and what the
    /// actions before it took.
    pub fn last_action_began(&self) -> Option<Duration> {
        let last = self.attempts.last()?;
        let ended = match last.outcomes.split_last() {
            // The host was interrupted: the last action is the one after those whose outcome is known.
            Some((outcome, _)) if outcome.ok && last.outcomes.len() < last.actions.len() => last.outcomes.as_slice(),
            Some((_, before)) => before,
            None => &[],
        };
        Some(last.after(ended))
    }

    /// When the last action ended, since the Unix epoch: when its attempt began and what its actions took. `None` before
    /// the first. What was seen earlier says nothing of what the action changed: windows and counters that judge an attempt
    /// begin here.
    ///
    /// Where the host was interrupted while an action was under way, nobody knows when that ended: this is when it began.
    pub fn last_action_ended(&self) -> Option<Duration> {
        let last = self.attempts.last()?;
        Some(last.after(&last.outcomes))
    }

    /// Whether a state that has lasted since `at` may be out of date because the last action began later: word of what that
    /// changed may still be on its way. After an action that failed there is nothing to wait for; the state stands.
    pub fn acted_since(&self, at: Duration) -> bool {
        let done = self.attempts.last().is_some_and(|last| !last.has_failed());
        done && self.last_action_began().is_some_and(|began| at <= began)
    }

    /// The verdict that detection gives, from evidence that is later than the last action alone:
    ///
    /// - unhealthy if the last word of [`detect`](crate::Remediator::detect) on this fault is that it is present;
    /// - healthy if it is not, and there has been a batch since the action ended;
    /// - undecided until there is such evidence.
    ///
    /// The evidence of a finding is as old as the last event about its target in the same batch; where there is none, and
    /// the batch has no samples, as the last of its events; otherwise as the batch itself. A state (`service.state`) holds
    /// until the next one, so one that clears the fault counts however old it is, and one that shows it counts unless the
    /// plugin may not have been told of what the action changed ([`acted_since`](Self::acted_since)).
    ///
    /// Before the first action all evidence counts.
    pub fn as_detected(&self) -> Verdict {
        self.detected.clone()
    }
}

impl Attempt {
    fn has_failed(&self) -> bool {
        self.outcomes.last().is_some_and(|outcome| !outcome.ok)
    }

    fn after(&self, outcomes: &[Outcome]) -> Duration {
        let took: Duration = outcomes.iter().map(|outcome| Duration::from_millis(outcome.took)).sum();
        Duration::from_nanos(self.started).saturating_add(took)
    }
}
