use super::normal::{Z95, share_below};
use super::spread::median;
use super::timestamp::seconds;
use super::{Crossing, Limit};

/// The fewest points for which Mann and Kendall's statistic is near enough to a normal distribution.
const FEWEST: usize = 8;

/// A line through points in time, and whether there is one.
///
/// - The slope is the median of the slopes of all pairs of points (Theil 1950, Sen 1968); the level is the median of
///   value − slope · time.
/// - Whether it is chance says the test of Mann (1945) and Kendall (1975): S counts the pairs that rise less those that
///   fall; its variance is n(n − 1)(2n + 5) / 18, less t(t − 1)(2t + 5) / 18 for each group of t equal values;
///   Z = (S ∓ 1) / √variance.
/// - Readings of a host resemble the ones just before them, which that test takes for a trend. So the variance is multiplied
///   by 1 + 2 / (n(n − 1)(n − 2)) · Σ (n − k)(n − k − 1)(n − k − 2) ρₖ, where ρₖ are the significant autocorrelations of the
///   ranks of what the line leaves over (Hamed and Rao 1998); never by less than 1.
///   That does not undo all of it: of 60 points without a trend that keep 0.8 of what they were from one to the next, 3 in 100
///   have p < 0.001, and of random walks one in four. A trend alone is no fault; one that leads to a limit soon may be.
/// - The interval is Sen's: the slopes that are ½(N ± 1.96 √variance) from the lowest of the N.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrendLine {
    /// Per second.
    pub slope: f64,
    /// The slopes that it may be with 95 % confidence: from, to.
    pub interval: (f64, f64),
    /// Where the line is at the time of the last sample.
    pub level: f64,
    /// Kendall's τ: the share of pairs that rise less that of pairs that fall, −1..1.
    pub tau: f64,
    /// How likely it is that values without a trend look like this: the two-sided p-value of the test, 0..1.
    pub p_value: f64,
    /// Points it goes through.
    pub points: usize,
    /// The levels that belong to the slopes of the interval.
    levels: (f64, f64),
}

impl TrendLine {
    /// Through these points of seconds and values, whose seconds grow. `None` for fewer than 8.
    pub(super) fn through(points: &[(f64, f64)]) -> Option<Self> {
        if points.len() < FEWEST {
            return None;
        }
        let pairs =
            points.iter().enumerate().flat_map(|(n, first)| points.iter().skip(n + 1).map(move |next| (first, next)));
        let mut rising = 0_i64;
        let mut slopes: Vec<f64> = Vec::with_capacity(points.len() * (points.len() - 1) / 2);
        for ((earlier, from), (later, to)) in pairs {
            rising += i64::from(to > from) - i64::from(to < from);
            slopes.push((to - from) / (later - earlier));
        }
        let slope = median(&mut slopes)?;
        let rest: Vec<f64> = points.iter().map(|(time, value)| value - slope * time).collect();
        let ties = variance_of_ties(points.iter().map(|(_, value)| *value).collect());
        let n = points.len() as f64;
        let variance = (n * (n - 1.0) * (2.0 * n + 5.0) / 18.0 - ties) * inflation(&ranks(&rest));
        let deviation = variance.max(0.0).sqrt();

        let rising = rising as f64;
        let z = if deviation > 0.0 { (rising.abs() - 1.0).max(0.0) / deviation } else { 0.0 };
        let margin = Z95 * deviation;
        let count = slopes.len() as f64;
        // Sen counts from 1: the M₁-th slope and the one after the M₂-th.
        let low = (((count - margin) / 2.0).floor().max(1.0)) as usize - 1;
        let high = (((count + margin) / 2.0).ceil() as usize).min(slopes.len() - 1);
        let interval = (slopes.get(low)?.min(slope), slopes.get(high)?.max(slope));
        let level =
            |slope: f64| median(&mut points.iter().map(|(time, value)| value - slope * time).collect::<Vec<_>>());
        Some(Self {
            slope,
            interval,
            level: level(slope)?,
            tau: rising / count,
            p_value: (2.0 * (1.0 - share_below(z))).clamp(0.0, 1.0),
            points: points.len(),
            levels: (level(interval.0)?, level(interval.1)?),
        })
    }

    /// When `limit` is reached: where the line leads, and those of the slopes of the interval, through the same points.
    /// `None` if the line does not lead there. The confidence is 1 − p / 2: that there is a trend in this direction. Where
    /// the line is beyond the limit already, it is 1.
    pub fn time_to(&self, limit: Limit) -> Option<Crossing> {
        let reach = |level: f64, slope: f64| {
            let missing = -limit.excess(level);
            let towards = limit.excess(slope) - limit.excess(0.0);
            if missing <= 0.0 { Some(std::time::Duration::ZERO) } else { seconds(missing / towards) }
        };
        let expected = reach(self.level, self.slope)?;
        let others = [reach(self.levels.0, self.interval.0), reach(self.levels.1, self.interval.1)];
        let confidence = if expected.is_zero() { 1.0 } else { 1.0 - self.p_value / 2.0 };
        let earliest = others.into_iter().flatten().fold(expected, std::cmp::min);
        let latest = others.into_iter().try_fold(expected, |latest, other| Some(latest.max(other?)));
        Some(Crossing { expected, earliest, latest, confidence })
    }
}

/// What groups of equal values take from the variance.
fn variance_of_ties(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let groups = values.chunk_by(|a, b| a == b).map(|group| group.len() as f64);
    groups.map(|t| t * (t - 1.0) * (2.0 * t + 5.0) / 18.0).sum()
}

/// The ranks of values, less their mean; equal values share theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let middle = (values.len() as f64 - 1.0) / 2.0;
    let rank = |value: &f64| {
        let below = values.iter().filter(|other| *other < value).count();
        let not_above = values.iter().filter(|other| *other <= value).count();
        (below + not_above - 1) as f64 / 2.0 - middle
    };
    values.iter().map(rank).collect()
}

/// What autocorrelation multiplies the variance by.
fn inflation(ranks: &[f64]) -> f64 {
    let n = ranks.len() as f64;
    let product = |lag: usize| ranks.iter().zip(ranks.iter().skip(lag)).map(|(a, b)| a * b).sum::<f64>();
    let square = product(0);
    if square <= 0.0 {
        return 1.0;
    }
    // Beyond the first lag that could be chance, what looks like correlation mostly is.
    let correlations = (1..ranks.len()).map(|lag| (lag as f64, product(lag) / square));
    let significant = correlations.take_while(|(_, correlation)| *correlation > Z95 / n.sqrt());
    let sum: f64 = significant.map(|(k, correlation)| (n - k) * (n - k - 1.0) * (n - k - 2.0) * correlation).sum();
    1.0 + 2.0 / (n * (n - 1.0) * (n - 2.0)) * sum
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::detect::testing::{assert_near, normal_noise};

    fn line(values: &[f64]) -> TrendLine {
        let last = values.len() as f64 - 1.0;
        let points: Vec<_> = values.iter().enumerate().map(|(n, value)| (n as f64 - last, *value)).collect();
        TrendLine::through(&points).unwrap()
    }

    #[test]
    fn eight_that_rise_are_the_table() {
        let rising = line(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
        assert_eq!((rising.slope, rising.level, rising.tau, rising.interval), (1.0, 8.0, 1.0, (1.0, 1.0)));
        // S = 28, variance = 8 · 7 · 21 / 18, Z = 27 / 8.083 = 3.340
        assert!((rising.p_value - 0.000_837).abs() < 1e-6, "{rising:?}");
        let flat = line(&[3.0; 8]);
        assert_eq!((flat.slope, flat.level, flat.tau, flat.interval), (0.0, 3.0, 0.0, (0.0, 0.0)));
        assert!(flat.p_value > 0.999_999, "{flat:?}");
        assert_eq!(TrendLine::through(&[(0.0, 1.0); 7]), None);
    }

    #[test]
    fn a_worked_example() {
        // By hand: 35 of the 45 pairs rise, 8 fall, 2 are level, since 5 and 7 are there twice.
        let example = line(&[5.0, 3.0, 6.0, 5.0, 7.0, 4.0, 8.0, 7.0, 10.0, 9.0]);
        assert_near(example.tau, 27.0 / 45.0);
        let variance: f64 = (10.0 * 9.0 * 25.0 - 2.0 * (2.0 * 1.0 * 9.0)) / 18.0;
        assert_near(example.p_value, 2.0 * (1.0 - share_below(26.0 / variance.sqrt())));
    }

    #[test]
    fn the_time_to_a_limit_has_an_interval() {
        let mut noise = normal_noise(6);
        let values: Vec<f64> = (0..40).map(|n| f64::from(n) + 4.0 * noise()).collect();
        let line = line(&values);
        let crossing = line.time_to(Limit::above(100.0)).unwrap();
        assert_near(crossing.expected.as_secs_f64(), (100.0 - line.level) / line.slope);
        assert_near(crossing.earliest.as_secs_f64(), (100.0 - line.levels.1) / line.interval.1);
        assert_near(crossing.latest.unwrap().as_secs_f64(), (100.0 - line.levels.0) / line.interval.0);
        assert!(crossing.earliest < crossing.expected && crossing.expected < crossing.latest.unwrap());
        assert_near(crossing.confidence, 1.0 - line.p_value / 2.0);
        assert_eq!(line.time_to(Limit::below(-100.0)), None);
        let beyond = line.time_to(Limit::above(0.0)).unwrap();
        assert_eq!((beyond.expected, beyond.latest, beyond.confidence), (Duration::ZERO, Some(Duration::ZERO), 1.0));
    }

    #[test]
    fn what_may_not_grow_at_all_has_no_latest_time() {
        let uncertain = line(&[1.0, 4.0, 2.0, 5.0, 1.5, 3.0, 6.0, 2.5, 4.5, 3.5]);
        assert!(uncertain.interval.0 < 0.0 && uncertain.p_value > 0.05, "{uncertain:?}");
        let crossing = uncertain.time_to(Limit::above(20.0)).unwrap();
        assert!(crossing.latest.is_none() && crossing.confidence < 0.975, "{crossing:?}");
        assert_near(crossing.confidence, 1.0 - uncertain.p_value / 2.0);
    }

    /// How many of 400 series without a trend look as if they had one, at 5 %.
    fn false_trends(memory: f64) -> usize {
        let mut noise = normal_noise(11);
        let series = |_: &usize| {
            let mut last = 0.0;
            let values: Vec<f64> = (0..60).map(|_| (last = memory * last + noise(), last).1).collect();
            line(&values).p_value < 0.05
        };
        (0..400).filter(series).count()
    }

    #[test]
    fn what_resembles_the_reading_before_is_no_trend() {
        let (independent, similar) = (false_trends(0.0), false_trends(0.6));
        assert!((8..=32).contains(&independent), "{independent} of 400");
        // Without the correction it is 130 of them.
        assert!(similar <= 60, "{similar} of 400");
    }

    /// Sen's interval holds the slope in 95 % of the series.
    #[test]
    fn the_interval_holds_what_it_promises() {
        let mut noise = normal_noise(5);
        let holds = |_: &usize| {
            let values: Vec<f64> = (0..40).map(|n| 0.1 * f64::from(n) + noise()).collect();
            let (low, high) = line(&values).interval;
            (low..=high).contains(&0.1)
        };
        let held = (0..400).filter(holds).count();
        assert!((366..=394).contains(&held), "{held} of 400");
    }

    proptest! {
        /// By the definitions, written another way.
        #[test]
        fn it_is_the_median_slope_and_kendalls_tau(values in prop::collection::vec(-20..20_i32, 8..30)) {
            let values: Vec<f64> = values.into_iter().map(f64::from).collect();
            let line = line(&values);
            let (mut below, mut above, mut sum) = (0, 0, 0.0);
            for later in 0..values.len() {
                for earlier in 0..later {
                    let slope = (values[later] - values[earlier]) / (later - earlier) as f64;
                    below += usize::from(slope < line.slope - 1e-12);
                    above += usize::from(slope > line.slope + 1e-12);
                    sum += if slope == 0.0 { 0.0 } else { slope.signum() };
                }
            }
            let pairs = values.len() * (values.len() - 1) / 2;
            prop_assert!(below * 2 <= pairs && above * 2 <= pairs, "{:?}", line);
            prop_assert!((line.tau - sum / pairs as f64).abs() < 1e-12, "{:?}", line);
        }

        /// A line plus outliers in a quarter of the points is still that line.
        #[test]
        fn outliers_do_not_turn_it(slope in -50..50_i32, zero in -50..50_i32, wild in prop::collection::vec((0..40_usize, -1e6..1e6), 0..10)) {
            let mut values: Vec<f64> = (0..40).map(|n| f64::from(zero + slope * n)).collect();
            wild.into_iter().for_each(|(place, value)| values[place] = value);
            let line = line(&values);
            prop_assert!((line.slope - f64::from(slope)).abs() < 1e-6, "{:?}", line);
        }
    }
}
