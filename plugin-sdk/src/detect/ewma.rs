use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Timestamp;
use super::clock::{Clock, Tick};
use super::resume::resume;
use super::spread::score;

/// From so many samples on, it can be said what is usual.
const LEARN: u64 = 10;

/// The exponentially weighted mean and variance: what is usual lately.
///
/// A sample weighs half of what one weighs that is a half-life younger: w = 2^(−age / half-life), whatever the times
/// between them. Mean = Σwx / Σw and variance = Σw(x − mean)² / Σw, kept up by
///
/// - W ← 1 + W · 2^(−Δt / half-life), α = 1 / W,
/// - δ = x − mean, mean ← mean + αδ, variance ← (1 − α)(variance + αδ²)
///
/// (Finch 2009, "Incremental calculation of weighted mean and variance"). At even intervals α soon is the
/// well-known 1 − 2^(−Δt / half-life); at the beginning it is 1/n, so that the first sample has no more say than another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ewma {
    setup: Setup,
    clock: Clock,
    weight: f64,
    mean: f64,
    variance: f64,
    samples: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Setup {
    half_life: Duration,
    floor: f64,
}

resume!(Ewma);

impl Ewma {
    /// With this half-life.
    pub fn new(half_life: Duration) -> Self {
        let setup = Setup { half_life: half_life.max(Duration::from_nanos(1)), floor: 0.0 };
        Self { setup, clock: Clock::default(), weight: 0.0, mean: 0.0, variance: 0.0, samples: 0 }
    }

    /// A standard deviation below this one counts as this one in [`push`](Self::push), so that a change that is nothing to
    /// worry about is not unusual only because nothing else has ever changed.
    pub fn floor(mut self, deviation: f64) -> Self {
        self.setup.floor = deviation.max(0.0);
        self
    }

    /// Takes a sample and gives how many standard deviations it is from the mean of those before it; `None` until there
    /// have been ten of them. Infinite where those were all the same and this is another one.
    pub fn push(&mut self, at: impl Into<Timestamp>, value: f64) -> Option<f64> {
        let decay = match self.clock.tick(at.into(), value) {
            Tick::Ignored => return None,
            Tick::First => {
                self.samples = 0;
                0.0
            }
            Tick::After(passed) => (-passed.as_secs_f64() / self.setup.half_life.as_secs_f64()).exp2(),
        };
        let deviation = self.deviation().unwrap_or_default().max(self.setup.floor);
        let score = (self.samples >= LEARN).then(|| score(value - self.mean, deviation));
        // With a decay of 0 all that was before is gone.
        self.weight = 1.0 + self.weight * decay;
        let share = 1.0 / self.weight;
        let difference = value - self.mean;
        self.mean = if share == 1.0 { value } else { self.mean + share * difference };
        self.variance = (1.0 - share) * (self.variance + share * difference * difference);
        self.samples = self.samples.saturating_add(1);
        score
    }

    /// The mean; `None` before the first sample.
    pub fn mean(&self) -> Option<f64> {
        (self.samples > 0).then_some(self.mean)
    }

    /// The variance; `None` before the first sample.
    pub fn variance(&self) -> Option<f64> {
        (self.samples > 0).then_some(self.variance)
    }

    /// The standard deviation; `None` before the first sample.
    pub fn deviation(&self) -> Option<f64> {
        self.variance().map(f64::sqrt)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::detect::testing::{assert_near, at, kept, wild};

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn after_a_half_life_a_sample_weighs_half() {
        let mut ewma = Ewma::new(MINUTE);
        ewma.push(at(0), 3.0);
        assert_eq!((ewma.mean(), ewma.variance()), (Some(3.0), Some(0.0)));
        ewma.push(at(60), 6.0);
        // (½ · 3 + 6) / 1½ = 5; (½ · 2² + 1²) / 1½ = 2
        assert_near(ewma.mean().unwrap(), 5.0);
        assert_near(ewma.variance().unwrap(), 2.0);
        // After a thousand half-lives only the last counts.
        ewma.push(at(60_060), 8.0);
        assert_near(ewma.mean().unwrap(), 8.0);
        assert_near(ewma.variance().unwrap(), 0.0);
    }

    #[test]
    fn at_even_intervals_it_becomes_the_usual_recursion() {
        let (mut ewma, mut mean) = (Ewma::new(MINUTE), 0.0);
        let alpha = 1.0 - 0.5_f64.powf(10.0 / 60.0);
        for n in 0..500_u64 {
            let value = (n * n % 17) as f64;
            ewma.push(at(10 * n), value);
            mean += alpha * (value - mean);
        }
        assert_near(ewma.mean().unwrap(), mean);
    }

    #[test]
    fn what_is_unusual_is_said_before_it_is_learnt() {
        let mut ewma = Ewma::new(MINUTE);
        let scores: Vec<_> = (0..12).map(|n| ewma.push(at(n), (n % 2) as f64)).collect();
        assert!(scores[..10].iter().all(Option::is_none) && scores[11].is_some(), "{scores:?}");
        let (mean, deviation) = (ewma.mean().unwrap(), ewma.deviation().unwrap());
        assert_near(kept(&ewma).push(at(12), 5.0).unwrap(), (5.0 - mean) / deviation);
    }

    #[test]
    fn where_nothing_varies_the_floor_says_what_matters() {
        let flat = |ewma: Ewma| (0..20).fold(ewma, |mut ewma, n| (ewma.push(at(n), 0.3), ewma).1);
        assert_eq!(flat(Ewma::new(MINUTE)).push(at(20), 0.4), Some(f64::INFINITY));
        assert_eq!(flat(Ewma::new(MINUTE)).push(at(20), 0.3), Some(0.0));
        assert_near(flat(Ewma::new(MINUTE).floor(0.05)).push(at(20), 0.4).unwrap(), 2.0);
    }

    #[test]
    fn other_settings_begin_anew() {
        let mut ewma = Ewma::new(MINUTE);
        ewma.push(at(0), 3.0);
        assert_eq!(Ewma::new(MINUTE).resume(Some(kept(&ewma))).mean(), Some(3.0));
        assert_eq!(Ewma::new(2 * MINUTE).resume(Some(kept(&ewma))).mean(), None);
        assert_eq!(Ewma::new(MINUTE).resume(None).mean(), None);
    }

    use crate::detect::Resume;

    proptest! {
        #[test]
        fn nothing_breaks_it(samples in wild(), half_life in any::<u64>()) {
            let mut ewma = Ewma::new(Duration::from_nanos(half_life));
            for (at, value) in samples {
                prop_assert!(ewma.push(at, value).is_none_or(|score| !score.is_nan()));
                prop_assert!(ewma.mean().is_none_or(f64::is_finite) && ewma.variance().is_none_or(|v| v.is_finite() && v >= 0.0));
            }
            prop_assert!(kept(&ewma).mean().is_some() == ewma.mean().is_some());
        }

        /// By the definition, from all samples at once.
        #[test]
        fn it_is_the_weighted_mean_and_variance(samples in prop::collection::vec((1..200_u64, -100.0..100.0), 1..60)) {
            let mut ewma = Ewma::new(MINUTE);
            let mut second = 0;
            let samples: Vec<(u64, f64)> = samples.into_iter().map(|(passed, value)| (second += passed, (second, value)).1).collect();
            for (second, value) in &samples {
                ewma.push(at(*second), *value);
            }
            let weighted: Vec<(f64, f64)> =
                samples.iter().map(|(s, value)| (0.5_f64.powf((second - s) as f64 / 60.0), *value)).collect();
            let total: f64 = weighted.iter().map(|(w, _)| w).sum();
            let mean = weighted.iter().map(|(w, x)| w * x).sum::<f64>() / total;
            let variance = weighted.iter().map(|(w, x)| w * (x - mean).powi(2)).sum::<f64>() / total;
            assert_near(ewma.mean().unwrap(), mean);
            assert_near(ewma.variance().unwrap(), variance);
        }
    }
}
