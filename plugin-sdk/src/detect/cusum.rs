use serde::{Deserialize, Serialize};

use super::Timestamp;
use super::clock::{Clock, Tick};
use super::resume::resume;
use super::spread::Spread;

/// Samples that the usual level is learnt from, unless told otherwise, and the fewest and the most of them.
const LEARN: usize = 60;
const FEWEST: usize = 10;
const MOST: usize = 1024;

/// A change point: the level shifts by little and stays there, which no threshold sees.
///
/// The two-sided tabular CUSUM (Page 1954; Montgomery, "Introduction to Statistical Quality Control", chapter 9): with
/// z = (x − centre) / σ,
///
/// - C⁺ ← max(0, C⁺ + z − k) and C⁻ ← max(0, C⁻ − z − k);
/// - a change is told when one of them exceeds h; it began with the first sample since that sum was last 0.
///
/// k is the allowance, half of the shift that should be seen soon, and h the decision interval, both in σ. With k = ½ and
/// h = 5, the usual choice, a shift of 1 σ is seen after 10 samples on average, and without one there is a false alarm in 465
/// samples where centre and σ are known, and oftener where they are learnt: take a larger h for a series with many samples.
///
/// Centre and σ are learnt from the first samples, by median and median absolute deviation; after a change they are learnt
/// anew, so that each change is told once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cusum {
    setup: Setup,
    clock: Clock,
    learning: Vec<f64>,
    baseline: Option<Spread>,
    up: Sum,
    down: Sum,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Setup {
    learn: usize,
    given: Option<Spread>,
    allowance: f64,
    decision: f64,
    floor: f64,
}

/// One side's sum, and the samples since it was 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Sum {
    sum: f64,
    since: Timestamp,
    samples: u64,
    total: f64,
}

/// Which way a level shifted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// It is higher now.
    Up,
    /// It is lower now.
    Down,
}

/// A level that shifted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The time of the first sample after the shift, by the best guess.
    pub since: Timestamp,
    /// How many samples ago that was, the last one counted too.
    pub samples: u64,
    /// Which way.
    pub direction: Direction,
    /// The level before.
    pub before: f64,
    /// The mean of the samples since.
    pub after: f64,
}

resume!(Cusum);

impl Default for Cusum {
    fn default() -> Self {
        Self::new()
    }
}

impl Cusum {
    /// With k = ½ and h = 5, learning from the first 60 samples.
    pub fn new() -> Self {
        let setup = Setup { learn: LEARN, given: None, allowance: 0.5, decision: 5.0, floor: 0.0 };
        let (up, down) = (Sum::default(), Sum::default());
        Self { setup, clock: Clock::default(), learning: Vec::new(), baseline: None, up, down }
    }

    /// Learning from so many samples: from 10 to 1024.
    pub fn learn(mut self, samples: usize) -> Self {
        self.setup.learn = samples.clamp(FEWEST, MOST);
        self
    }

    /// Against this centre and σ instead of learnt ones, also after a change.
    pub fn around(mut self, centre: f64, sigma: f64) -> Self {
        self.setup.given = Some(Spread { median: centre, deviation: sigma.max(0.0) });
        self.baseline = self.setup.given;
        self
    }

    /// With this allowance k, in σ.
    pub fn allowance(mut self, k: f64) -> Self {
        self.setup.allowance = k.max(0.0);
        self
    }

    /// With this decision interval h, in σ.
    pub fn decision(mut self, h: f64) -> Self {
        self.setup.decision = h.max(0.0);
        self
    }

    /// A σ below this one counts as this one, so that a change that is nothing to worry about is none where nothing else has
    /// ever changed.
    pub fn floor(mut self, sigma: f64) -> Self {
        self.setup.floor = sigma.max(0.0);
        self
    }

    /// Takes a sample and tells a change when it is sure of one.
    pub fn push(&mut self, at: impl Into<Timestamp>, value: f64) -> Option<Change> {
        let at = at.into();
        match self.clock.tick(at, value) {
            Tick::Ignored => return None,
            Tick::First => self.begin(),
            Tick::After(_) => {}
        }
        let Some(baseline) = self.baseline else {
            self.learn_from(value);
            return None;
        };
        let z = baseline.score(value, self.setup.floor);
        self.up.add(z - self.setup.allowance, at, value);
        self.down.add(-z - self.setup.allowance, at, value);
        let sides = [(self.up, Direction::Up), (self.down, Direction::Down)];
        let (sum, direction) = sides.into_iter().find(|(side, _)| side.sum > self.setup.decision)?;
        self.begin();
        let after = sum.total / sum.samples as f64;
        Some(Change { since: sum.since, samples: sum.samples, direction, before: baseline.median, after })
    }

    /// The usual level and its σ; `None` while they are learnt.
    pub fn baseline(&self) -> Option<(f64, f64)> {
        self.baseline.map(|baseline| (baseline.median, baseline.deviation.max(self.setup.floor)))
    }

    fn begin(&mut self) {
        self.learning.clear();
        self.baseline = self.setup.given;
        (self.up, self.down) = (Sum::default(), Sum::default());
    }

    fn learn_from(&mut self, value: f64) {
        self.learning.push(value);
        if self.learning.len() >= self.setup.learn {
            self.baseline = Spread::of(&mut self.learning);
            self.learning.clear();
        }
    }
}

impl Sum {
    fn add(&mut self, step: f64, at: Timestamp, value: f64) {
        let sum = self.sum + step;
        let (since, total) = if self.samples == 0 { (at, 0.0) } else { (self.since, self.total) };
        *self = if sum > 0.0 {
            Self { sum, since, samples: self.samples + 1, total: total + value }
        } else {
            Self::default()
        };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::detect::testing::{assert_near, at, kept, normal_noise, wild};

    /// Montgomery, table 9.1: twenty values around 10 with σ = 1, then ten around 11.
    const MONTGOMERY: [f64; 30] = [
        9.45, 7.99, 9.29, 11.66, 12.16, 10.18, 8.04, 11.46, 9.20, 10.34, 9.03, 11.47, 10.51, 9.40, 10.08, 9.37, 10.62,
        10.31, 8.52, 10.84, 10.90, 9.33, 12.29, 11.50, 10.60, 11.08, 10.38, 11.62, 11.31, 10.52,
    ];

    fn changes(cusum: &mut Cusum, values: impl IntoIterator<Item = f64>) -> Vec<(usize, Change)> {
        let values = values.into_iter().enumerate();
        values.filter_map(|(n, value)| Some((n, cusum.push(at(n as u64), value)?))).collect()
    }

    #[test]
    fn it_is_montgomerys_table() {
        let mut cusum = Cusum::new().around(10.0, 1.0);
        let sums: Vec<(f64, u64, f64, u64)> = MONTGOMERY[..28]
            .iter()
            .enumerate()
            .map(|(n, value)| {
                assert_eq!(cusum.push(at(n as u64), *value), None);
                (cusum.up.sum, cusum.up.samples, cusum.down.sum, cusum.down.samples)
            })
            .collect();
        // Observations 2, 4, 12 and 28 of table 9.2: C⁺, N⁺, C⁻, N⁻.
        let expected = [(2, 0.0, 0, 1.56, 2), (4, 1.16, 1, 0.0, 0), (12, 0.97, 1, 0.0, 0), (28, 4.47, 6, 0.0, 0)];
        for (observation, up, up_samples, down, down_samples) in expected {
            let actual = sums[observation - 1];
            assert_near(actual.0, up);
            assert_near(actual.2, down);
            assert_eq!((actual.1, actual.3), (up_samples, down_samples), "{observation}");
        }
        // C⁺ = 5.28 in period 29, with N⁺ = 7: the shift came between the periods 22 and 23, to 10 + ½ + 5.28 / 7 = 11.25.
        let change = cusum.push(at(28), MONTGOMERY[28]).unwrap();
        assert_eq!((change.since, change.samples, change.direction), (at(22), 7, Direction::Up));
        assert_near(change.before, 10.0);
        assert!((change.after - 11.25).abs() < 0.005, "{change:?}");
    }

    #[test]
    fn a_small_shift_down_is_found_once_and_the_new_level_is_learnt() {
        let mut noise = normal_noise(2);
        let mut cusum = Cusum::new().decision(8.0);
        let found = changes(&mut cusum, (0..400).map(|n| 50.0 - if n < 200 { 0.0 } else { 1.5 } + noise()));
        let [(seen, change)] = found[..] else { panic!("{found:?}") };
        assert!((200..225).contains(&seen), "{seen}");
        assert!((at(195)..at(210)).contains(&change.since) && change.direction == Direction::Down, "{change:?}");
        let (centre, sigma) = cusum.baseline().unwrap();
        assert!((centre - 48.5).abs() < 0.5 && (0.6..1.5).contains(&sigma), "{centre} {sigma}");
    }

    #[test]
    fn what_never_varied_changes_at_once_unless_the_floor_is_higher() {
        let values = || [3.0; 60].into_iter().chain([3.01; 5]);
        let found = changes(&mut Cusum::new(), values());
        assert_eq!(found.iter().map(|(seen, change)| (*seen, change.samples)).collect::<Vec<_>>(), [(60, 1)]);
        assert_eq!(changes(&mut Cusum::new().floor(0.1), values()), []);
    }

    #[test]
    fn it_goes_on_from_the_state() {
        let mut cusum = Cusum::new().around(10.0, 1.0);
        assert_eq!(changes(&mut cusum, MONTGOMERY[..28].iter().copied()), []);
        assert!(kept(&cusum).push(at(28), MONTGOMERY[28]).is_some());
    }

    /// Without a change the run is long: 465 on average for a known level (Montgomery, table 9.3).
    #[test]
    fn false_alarms_are_as_rare_as_the_table_says() {
        let mut noise = normal_noise(9);
        let found = changes(&mut Cusum::new().around(0.0, 1.0), (0..100_000).map(|_| noise())).len();
        assert!((160..=270).contains(&found), "{found} in 100,000 samples instead of 215");
    }

    proptest! {
        #[test]
        fn nothing_breaks_it(samples in wild(), learn in 0..20_usize, floor in any::<f64>(), given in any::<bool>()) {
            let mut cusum = Cusum::new().learn(learn).floor(floor);
            if given {
                cusum = cusum.around(0.0, 0.0);
            }
            for (at, value) in samples {
                if let Some(change) = cusum.push(at, value) {
                    prop_assert!(change.since <= at && change.after.is_finite(), "{:?}", change);
                }
                prop_assert!(cusum.learning.len() < MOST && (cusum.baseline.is_none() || cusum.learning.is_empty()));
                prop_assert!( cusum.up.sum.is_finite() && cusum.down.sum.is_finite());
            }
        }

        /// Up and down are alike.
        #[test]
        fn it_is_symmetric(values in prop::collection::vec(-4.0..4.0, 0..100)) {
            let found = |sign: f64| {
                let found = changes(&mut Cusum::new().around(0.0, 1.0), values.iter().map(|value| sign * value));
                found.into_iter().map(|(n, change)| (n, change.samples, (change.direction == Direction::Up) == (sign > 0.0))).collect::<Vec<_>>()
            };
            prop_assert_eq!(found(1.0), found(-1.0));
        }
    }
}
