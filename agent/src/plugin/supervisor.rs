//! How often a plugin may fail: strikes are counted within a window; after each that ends the instance it waits longer than
//! after the one before, and one too many is the last.

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
    /// When the strikes within the window were, the oldest first: at most as many as are allowed.
    strikes: VecDeque<Duration>,
    /// Strikes in a row, with less time between them than health takes.
    streak: u32,
    last: Duration,
}

impl Supervisor {
    pub(super) fn new(rules: Supervision) -> Self {
        Self { rules, strikes: VecDeque::new(), streak: 0, last: Duration::ZERO }
    }

    /// It failed at this time. `chance` is a number from 0 to 1.
    pub(super) fn strike(&mut self, now: Duration, chance: f64) -> Sentence {
        self.is_healthy(now);
        self.strikes.push_back(now);
        self.streak = self.streak.saturating_add(1);
        self.last = now;
        if self.count() >= self.rules.strikes.count {
            return Sentence::Quarantine;
        }
        let wait = self.rules.backoff.after(self.streak).unwrap_or_default();
        let jitter = 1.0 + JITTER * (2.0 * chance.clamp(0.0, 1.0) - 1.0);
        let wait = Duration::try_from_secs_f64(wait.as_secs_f64() * jitter).unwrap_or(self.rules.backoff.max);
        Sentence::Again(wait.min(self.rules.backoff.max))
    }

    /// Takes note of the time; true if it has just been healthy for so long that the next strike is the first again.
    pub(super) fn is_healthy(&mut self, now: Duration) -> bool {
        let per = self.rules.strikes.per;
        while self.strikes.front().is_some_and(|at| now.saturating_sub(*at) >= per) {
            self.strikes.pop_front();
        }
        let healthy = self.healthy_at().is_some_and(|at| at <= now);
        if healthy {
            self.streak = 0;
        }
        healthy
    }

    /// When it will have been healthy for that long, if nothing happens; none if it is.
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
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::{Backoff, Budget};

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    fn supervisor(count: u32, per: u64) -> Supervisor {
        let strikes = Budget { count, per: seconds(per) };
        Supervisor::new(Supervision { strikes, backoff: Backoff::default() })
    }

    #[test]
    fn the_wait_doubles_up_to_a_cap_and_starts_over_after_health() {
        let mut patient = supervisor(100, 10);
        let mut now = seconds(1000);
        let mut waits = Vec::new();
        for _ in 0..12 {
            let Sentence::Again(wait) = patient.strike(now, 0.5) else { panic!("quarantined") };
            waits.push(wait.as_secs());
            now += wait;
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        let last = now - seconds(300);
        assert_eq!(patient.healthy_at(), Some(last + seconds(600)));
        assert!(!patient.is_healthy(last + seconds(599)));
        assert!(patient.is_healthy(last + seconds(600)) && !patient.is_healthy(last + seconds(601)), "told once");
        assert_eq!((patient.healthy_at(), patient.streak()), (None, 0));
        assert_eq!(patient.strike(last + seconds(700), 0.5), Sentence::Again(seconds(1)));
    }

    #[test]
    fn chance_spreads_the_wait_within_a_fifth_and_below_the_cap() {
        for (chance, millis) in [(0.0, 800), (0.25, 900), (0.5, 1000), (1.0, 1200), (7.0, 1200), (-1.0, 800)] {
            let Sentence::Again(wait) = supervisor(9, 9).strike(seconds(1), chance) else { panic!("quarantined") };
            assert_eq!(wait.as_millis(), millis, "{chance}");
        }
        let mut long = supervisor(100, 1);
        for n in 0..20 {
            long.strike(seconds(n), 1.0);
        }
        assert_eq!(long.strike(seconds(20), 1.0), Sentence::Again(seconds(300)));
    }

    #[test]
    fn strikes_count_within_the_window_and_a_person_can_forgive_them() {
        let mut strict = supervisor(3, 60);
        assert!(matches!(strict.strike(seconds(0), 0.5), Sentence::Again(_)));
        assert!(matches!(strict.strike(seconds(30), 0.5), Sentence::Again(_)));
        // The first is forgotten by now.
        assert!(matches!(strict.strike(seconds(60), 0.5), Sentence::Again(_)));
        assert_eq!(strict.count(), 2);
        assert_eq!(strict.strike(seconds(89), 0.5), Sentence::Quarantine);
        strict.forgive();
        assert_eq!((strict.count(), strict.healthy_at()), (0, None));
        assert_eq!(strict.strike(seconds(90), 0.5), Sentence::Again(seconds(1)));
        assert_eq!(supervisor(1, 60).strike(seconds(0), 0.5), Sentence::Quarantine);
    }

    proptest! {
        /// However strikes come: as soon as a window holds as many as are allowed, and no sooner, the plugin is quarantined.
        #[test]
        fn no_window_holds_more_strikes_than_allowed_without_a_quarantine(
            count in 1_u32..8,
            per in 1_u64..100,
            gaps in prop::collection::vec(0_u64..60, 0..100),
        ) {
            let mut supervisor = supervisor(count, per);
            let mut since: Vec<u64> = Vec::new();
            let mut now = 0;
            for gap in gaps {
                now += gap;
                since.push(now);
                let within = since.iter().filter(|at| now - **at < per).count();
                let sentence = supervisor.strike(seconds(now), 0.5);
                prop_assert_eq!(sentence == Sentence::Quarantine, within >= count as usize);
                prop_assert!(supervisor.count() <= count);
                if sentence == Sentence::Quarantine {
                    supervisor.forgive();
                    since.clear();
                }
            }
        }
    }
}
