//! How often a plugin may fail: strikes are counted within a window; each one that ends the instance is waited for longer
//! than the one before, and one too many is the last.

use std::collections::VecDeque;
use std::time::Duration;

use crate::config::Supervision;

/// By how much a wait is made longer or shorter by chance, so that plugins that failed together do not start together.
const JITTER: f64 = 0.2;

/// What follows from a strike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sentence {
    /// Where the instance is lost, make another after this long.
    Again(Duration),
    /// It is not called any more.
    Quarantine,
}

/// The strikes of one plugin under one policy. Times are on a monotonic count; chance is an argument.
#[derive(Debug)]
pub(super) struct Supervisor {
    rules: Supervision,
    /// When the strikes within the window were, the oldest first.
    strikes: VecDeque<Duration>,
    /// Strikes in a row, none of them longer after the one before than health takes.
    streak: u32,
    last: Duration,
}

impl Supervisor {
    pub(super) fn new(rules: Supervision) -> Self {
        Self { rules, strikes: VecDeque::new(), streak: 0, last: Duration::ZERO }
    }

    /// It failed at this time. `chance` is a number from 0 to 1.
    pub(super) fn strike(&mut self, now: Duration, chance: f64) -> Sentence {
        self.forget(now);
        self.strikes.push_back(now);
        self.streak = self.streak.saturating_add(1);
        self.last = now;
        if self.count() >= self.rules.strikes.count {
            return Sentence::Quarantine;
        }
        let wait = self.rules.backoff.after(self.streak).unwrap_or_default();
        let wait = wait.mul_f64(1.0 + JITTER * (2.0 * chance.clamp(0.0, 1.0) - 1.0));
        Sentence::Again(wait.min(self.rules.backoff.max))
    }

    /// Takes note of the time; true if it has been healthy for so long, by now, that what was before does not count.
    pub(super) fn is_healthy(&mut self, now: Duration) -> bool {
        self.forget(now);
        self.streak > 0 && now >= self.healthy_at().unwrap_or_default() && {
            self.streak = 0;
            true
        }
    }

    /// When it will have been healthy for long enough, if nothing happens; none if it is.
    pub(super) fn healthy_at(&self) -> Option<Duration> {
        (self.streak > 0).then(|| self.last.saturating_add(self.rules.backoff.reset_after))
    }

    /// How many strikes in a row.
    pub(super) fn streak(&self) -> u32 {
        self.streak
    }

    /// How many strikes count at the moment.
    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.strikes.len()).unwrap_or(u32::MAX)
    }

    /// A person gives it another chance.
    pub(super) fn forgive(&mut self) {
        self.strikes.clear();
        self.streak = 0;
    }

    fn forget(&mut self, now: Duration) {
        let per = self.rules.strikes.per;
        while self.strikes.front().is_some_and(|at| now.saturating_sub(*at) >= per) {
            self.strikes.pop_front();
        }
        if self.healthy_at().is_some_and(|at| now >= at) && self.strikes.is_empty() {
            self.strikes.shrink_to_fit();
        }
    }
}
