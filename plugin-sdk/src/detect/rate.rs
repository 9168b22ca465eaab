use serde::{Deserialize, Serialize};

use super::Timestamp;
use super::clock::{Clock, Tick};
use super::resume::resume;

/// How fast a value changes, per second, from one sample to the next.
///
/// Of a gauge it is Δvalue / Δt, of either sign. Of a counter likewise, but a counter that is less than before began
/// again at 0, as in Prometheus: it has grown by what it is now. Where samples are missing it is the mean over the gap.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    setup: Kind,
    clock: Clock,
    last: f64,
    rate: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    Counter,
    Gauge,
}

resume!(Rate);

impl Rate {
    /// Of what only grows, and begins at 0 when its process does. Values below 0 are ignored.
    pub fn of_counter() -> Self {
        Self::new(Kind::Counter)
    }

    /// Of what goes up and down: the derivative.
    pub fn of_gauge() -> Self {
        Self::new(Kind::Gauge)
    }

    fn new(setup: Kind) -> Self {
        Self { setup, clock: Clock::default(), last: 0.0, rate: None }
    }

    /// Takes a sample and gives the rate since the one before; `None` for the first, and for one that is ignored.
    pub fn push(&mut self, at: impl Into<Timestamp>, value: f64) -> Option<f64> {
        if self.setup == Kind::Counter && value < 0.0 {
            return None;
        }
        let passed = match self.clock.tick(at.into(), value) {
            Tick::Ignored => return None,
            Tick::First => None,
            Tick::After(passed) => Some(passed),
        };
        let has_begun_again = self.setup == Kind::Counter && value < self.last;
        let change = if has_begun_again { value } else { value - self.last };
        self.last = value;
        self.rate = passed.map(|passed| change / passed.as_secs_f64());
        self.rate
    }

    /// The last rate.
    pub fn per_second(&self) -> Option<f64> {
        self.rate
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::detect::testing::{at, kept, wild};

    #[test]
    fn a_counter_begins_again_at_nothing() {
        let mut rate = Rate::of_counter();
        let rates =
            [(0, 100.0), (10, 150.0), (20, 150.0), (30, 20.0), (70, 60.0)].map(|(s, value)| rate.push(at(s), value));
        assert_eq!(rates, [None, Some(5.0), Some(0.0), Some(2.0), Some(1.0)]);
        assert_eq!([rate.push(at(80), -1.0), rate.push(at(70), 100.0)], [None, None]);
        assert_eq!(rate.per_second(), Some(1.0));
        assert_eq!(kept(&rate).push(at(80), 70.0), Some(1.0));
    }

    #[test]
    fn a_gauge_falls_too() {
        let mut rate = Rate::of_gauge();
        let rates = [(0, 100.0), (10, 150.0), (30, -50.0)].map(|(s, value)| rate.push(at(s), value));
        assert_eq!(rates, [None, Some(5.0), Some(-10.0)]);
    }

    proptest! {
        #[test]
        fn nothing_breaks_it(samples in wild()) {
            let (mut counter, mut gauge) = (Rate::of_counter(), Rate::of_gauge());
            for (at, value) in samples {
                prop_assert!(counter.push(at, value).is_none_or(|rate| rate.is_finite() && rate >= 0.0));
                prop_assert!(gauge.push(at, value).is_none_or(f64::is_finite));
            }
        }

        /// The rates times their seconds are all that was counted, however often the counter began again.
        #[test]
        fn nothing_counted_is_lost(steps in prop::collection::vec((1..100_u64, 0..50_u32, prop::bool::weighted(0.2)), 1..50)) {
            let (mut rate, mut second, mut counter, mut counted) = (Rate::of_counter(), 0, 1000_u32, 0.0);
            rate.push(at(0), f64::from(counter));
            let mut total = 0.0;
            for (passed, grown, restarts) in steps {
                // One that begins again and is not below what it was cannot be told from one that grew.
                counter = if restarts && grown < counter { grown } else { counter + grown };
                second += passed;
                total += f64::from(grown);
                counted += rate.push(at(second), f64::from(counter)).unwrap() * passed as f64;
            }
            prop_assert!((counted - total).abs() < 1e-6, "{} of {}", counted, total);
        }
    }
}
