use std::collections::VecDeque;
use std::time::Duration;

use super::{Answer, Guard, Request};
use crate::config::Flapping as Limits;

/// Comparisons of one observation with the next: Nagios looks at 21 observations.
const CHANGES: usize = 20;

/// A fault that comes and goes is not healed for ever: a person looks at it, until it has been one or the other for a while.
pub(super) struct Flapping;

impl Guard for Flapping {
    fn name(&self) -> &'static str {
        "flapping"
    }

    fn judge(&self, request: &Request<'_>) -> Answer {
        let Some((share, until)) = request.flapping else { return Answer::Allow };
        let reason = format!(
            "the fault came and went too often ({:.0} % changes, limit {:.0} %); it is tried again once that is below {:.0} %",
            share * 100.0,
            request.rules.flapping.start * 100.0,
            request.rules.flapping.stop * 100.0
        );
        Answer::Deny { until: Some(until), reason }
    }
}

/// How a fault came and went: for each of the last observations whether it changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaps {
    changes: VecDeque<bool>,
    last: Duration,
}

impl Flaps {
    /// Begins to look at `now`, with nothing having changed.
    pub fn new(now: Duration) -> Self {
        Self { changes: VecDeque::from([false; CHANGES]), last: now }
    }

    /// The fault opened or cleared.
    pub fn change(&mut self, limits: &Limits, now: Duration) {
        self.rest(limits, now);
        self.push(true);
        self.last = now;
    }

    /// The time passes.
    pub fn rest(&mut self, limits: &Limits, now: Duration) {
        let every = limits.every.max(Duration::from_millis(1));
        let passed = now.saturating_sub(self.last).as_nanos() / every.as_nanos();
        for _ in 0..passed.min(CHANGES as u128) {
            self.push(false);
        }
        self.last += every.saturating_mul(u32::try_from(passed).unwrap_or(u32::MAX));
    }

    /// The weighted share of changes, 0..1: the newest counts 1.2, the oldest 0.8, linearly between (Nagios Core
    /// documentation, "Detection and Handling of State Flapping").
    pub fn share(&self) -> f64 {
        let weight = |place: usize| 0.8 + 0.4 * place as f64 / (CHANGES - 1) as f64;
        let changed = self.changes.iter().enumerate().filter(|(_, changed)| **changed);
        changed.map(|(place, _)| weight(place)).sum::<f64>() / CHANGES as f64
    }

    /// When the share will be below `stop`, if nothing changes.
    pub fn calm_at(&self, limits: &Limits) -> Duration {
        let (mut later, mut at) = (self.clone(), self.last);
        while later.share() >= limits.stop && later.changes.contains(&true) {
            later.push(false);
            at = at.saturating_add(limits.every);
        }
        at
    }

    fn push(&mut self, changed: bool) {
        self.changes.pop_front();
        self.changes.push_back(changed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::testing::seconds;

    #[test]
    fn the_share_is_that_of_nagios_and_time_calms_it() {
        let limits = Limits::default();
        let mut flaps = Flaps::new(seconds(0));
        assert_eq!(flaps.share(), 0.0);
        (0..20).for_each(|_| flaps.change(&limits, seconds(1)));
        assert!((flaps.share() - 1.0).abs() < 1e-9);
        let calm = flaps.calm_at(&limits);
        flaps.rest(&limits, calm - seconds(1));
        assert!(flaps.share() >= limits.stop);
        flaps.rest(&limits, calm);
        assert!(flaps.share() < limits.stop, "{}", flaps.share());
    }

    #[test]
    fn two_faults_in_an_hour_are_nothing() {
        let limits = Limits::default();
        let mut flaps = Flaps::new(seconds(0));
        for at in [0, 5, 3600, 3605] {
            flaps.change(&limits, seconds(at));
        }
        assert!(flaps.share() < 0.2, "{}", flaps.share());
    }
}
