use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::Timestamp;
use super::clock::{Clock, Tick};
use super::resume::resume;
use super::spread::Spread;

/// From so many samples on, it can be said what is usual.
const LEARN: usize = 10;

/// The most samples it looks at.
const MOST: usize = 1024;

/// How unusual a value is, by median and median absolute deviation: up to half of the samples may be outliers, and they
/// still do not count as usual.
///
/// The modified z-score 0.6745 · (x − median) / MAD of Iglewicz and Hoaglin ("How to Detect and Handle Outliers", 1993), who
/// call a value beyond ±3.5 an outlier. Where more than half of the samples are alike the MAD is 0, and it is
/// (x − median) / (1.2533 · mean absolute deviation).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RobustZ {
    setup: Setup,
    clock: Clock,
    values: VecDeque<f64>,
    /// Where they are put in order: empty in between, and kept so that nothing is allocated for each sample.
    #[serde(skip)]
    scratch: Vec<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Setup {
    samples: usize,
    floor: f64,
}

resume!(RobustZ);

impl RobustZ {
    /// Against this many samples before: at least 10, at most 1024.
    pub fn new(samples: usize) -> Self {
        let setup = Setup { samples: samples.clamp(LEARN, MOST), floor: 0.0 };
        Self { setup, clock: Clock::default(), values: VecDeque::new(), scratch: Vec::new() }
    }

    /// A deviation below this one counts as this one, so that a change that is nothing to worry about is not unusual only
    /// because nothing else has ever changed. In the measure of a standard deviation.
    pub fn floor(mut self, deviation: f64) -> Self {
        self.setup.floor = deviation.max(0.0);
        self
    }

    /// Takes a sample and gives its score against those before it; `None` until there have been ten of them. Infinite where
    /// those were all the same and this is another one.
    pub fn push(&mut self, at: impl Into<Timestamp>, value: f64) -> Option<f64> {
        match self.clock.tick(at.into(), value) {
            Tick::Ignored => return None,
            Tick::First => self.values.clear(),
            Tick::After(_) => {}
        }
        let score = self.spread().map(|spread| spread.score(value, self.setup.floor));
        while self.values.len() >= self.setup.samples {
            self.values.pop_front();
        }
        self.values.push_back(value);
        score
    }

    /// The median; `None` until there are ten samples.
    pub fn median(&mut self) -> Option<f64> {
        self.spread().map(|spread| spread.median)
    }

    /// How far the samples usually are from it, in the measure of a standard deviation; `None` until there are ten of them.
    pub fn deviation(&mut self) -> Option<f64> {
        self.spread().map(|spread| spread.deviation)
    }

    fn spread(&mut self) -> Option<Spread> {
        if self.values.len() < LEARN {
            return None;
        }
        self.scratch.extend(&self.values);
        let spread = Spread::of(&mut self.scratch);
        self.scratch.clear();
        spread
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::detect::testing::{assert_near, at, kept, wild};

    /// Two of ten are outliers, and hide one another from the usual z-score (none is beyond 2).
    const VALUES: [f64; 10] = [2.1, 2.6, 2.4, 2.5, 2.3, 2.1, 2.3, 2.6, 8.2, 8.3];

    fn filled(mut robust: RobustZ, values: &[f64]) -> RobustZ {
        for (n, value) in values.iter().enumerate() {
            robust.push(at(n as u64), *value);
        }
        robust
    }

    #[test]
    fn outliers_are_seen_though_there_are_two() {
        for (value, score) in
            [(8.2, 0.6745 * 5.75 / 0.15), (8.3, 0.6745 * 5.85 / 0.15), (2.45, 0.0), (2.1, -0.6745 * 0.35 / 0.15)]
        {
            assert_near(filled(RobustZ::new(10), &VALUES).push(at(10), value).unwrap(), score);
        }
        let mut robust = filled(RobustZ::new(10), &VALUES);
        assert_near(robust.median().unwrap(), 2.45);
        assert_near(robust.deviation().unwrap(), 0.15 / 0.6745);
        assert_near(kept(&robust).push(at(10), 8.2).unwrap(), 0.6745 * 5.75 / 0.15);
    }

    #[test]
    fn it_says_nothing_before_ten_and_forgets_what_is_old() {
        assert_eq!(filled(RobustZ::new(10), &VALUES[..9]).push(at(10), 99.0), None);
        let later: Vec<f64> = VALUES.iter().copied().chain((0..10).map(|n| 100.0 + f64::from(n))).collect();
        assert_near(filled(RobustZ::new(10), &later).median().unwrap(), 104.5);
    }

    #[test]
    fn where_most_are_alike_the_mean_deviation_or_the_floor_counts() {
        let mut values = [5.0; 10];
        assert_eq!(filled(RobustZ::new(10), &values).push(at(10), 4.0), Some(f64::NEG_INFINITY));
        assert_near(filled(RobustZ::new(10).floor(0.5), &values).push(at(10), 4.0).unwrap(), -2.0);
        values[3] = 15.0;
        // The mean deviation is 1.
        let score = filled(RobustZ::new(10), &values).push(at(10), 10.0).unwrap();
        assert_near(score, 5.0 / (std::f64::consts::PI / 2.0).sqrt());
    }

    proptest! {
        #[test]
        fn nothing_breaks_it(samples in wild(), count in any::<usize>()) {
            let mut robust = RobustZ::new(count);
            for (at, value) in samples {
                prop_assert!(robust.push(at, value).is_none_or(|score| !score.is_nan()));
                prop_assert!(robust.values.len() <= robust.setup.samples);
            }
            kept(&robust);
        }

        /// Scores are the same in another unit and from another zero.
        #[test]
        fn the_unit_does_not_matter(values in prop::collection::vec(-50..50_i32, 11..40), unit in 1..9_i32, zero in -99..99_i32) {
            let scored = |of: &dyn Fn(f64) -> f64| {
                let values: Vec<f64> = values.iter().map(|value| of(f64::from(*value))).collect();
                filled(RobustZ::new(64), &values[1..]).push(at(99), values[0]).unwrap()
            };
            let (plain, other) = (scored(&|value| value), scored(&|value| value * f64::from(unit) + f64::from(zero)));
            prop_assert!(plain == other || (plain - other).abs() < 1e-9, "{} and {}", plain, other);
        }
    }
}
