use serde::{Deserialize, Serialize};

/// The middle of some values and how far they usually are from it, neither of which a few outliers can move.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Spread {
    /// The median.
    pub(super) median: f64,
    /// In the measure of a standard deviation: the median of the absolute deviations from the median (MAD) / 0.6745;
    /// where more than half of the values are alike, so that this is 0, the mean of the absolute deviations × 1.2533.
    pub(super) deviation: f64,
}

/// The MAD of a normal distribution with the standard deviation 1: its third quartile (Iglewicz and Hoaglin 1993).
const MAD_OF_NORMAL: f64 = 0.6745;

/// 1 / the mean absolute deviation of that distribution: √(π/2).
const PER_MEAN_DEVIATION: f64 = 1.253_314_137_315_500_3;

impl Spread {
    /// Of these values, which are overwritten. `None` if there are none.
    pub(super) fn of(values: &mut [f64]) -> Option<Self> {
        let median = median(values)?;
        values.iter_mut().for_each(|value| *value = (*value - median).abs());
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let mad = self::median(values)?;
        let deviation = if mad > 0.0 { mad / MAD_OF_NORMAL } else { mean * PER_MEAN_DEVIATION };
        Some(Self { median, deviation })
    }

    /// How many deviations `value` is from the median. Infinite where every value was the same and this is another one,
    /// unless deviations count as at least `floor`.
    pub(super) fn score(&self, value: f64, floor: f64) -> f64 {
        score(value - self.median, self.deviation.max(floor))
    }
}

/// `distance` in deviations; one from where nothing ever deviated is infinite.
pub(super) fn score(distance: f64, deviation: f64) -> f64 {
    if distance == 0.0 {
        0.0
    } else if deviation > 0.0 {
        distance / deviation
    } else {
        f64::INFINITY.copysign(distance)
    }
}

/// The median, by putting the values in order; the mean of the middle two if their number is even.
pub(super) fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = *values.get(values.len().saturating_sub(1) / 2)?;
    Some(lower + (upper - lower) / 2.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn outliers_do_not_move_it() {
        let spread = Spread::of(&mut [2.1, 2.6, 2.4, 2.5, 2.3, 2.1, 2.3, 2.6, 8.2, 8.3]).unwrap();
        assert!((spread.median - 2.45).abs() < 1e-12);
        assert!((spread.deviation - 0.15 / 0.6745).abs() < 1e-12);
        assert_eq!(Spread::of(&mut []), None);
    }

    #[test]
    fn where_most_are_alike_the_mean_deviation_counts() {
        let spread = Spread::of(&mut [5.0, 5.0, 5.0, 5.0, 9.0]).unwrap();
        assert_eq!(spread.median, 5.0);
        assert!((spread.deviation - 0.8 * (std::f64::consts::PI / 2.0).sqrt()).abs() < 1e-12);
        let flat = Spread::of(&mut [5.0; 7]).unwrap();
        assert_eq!([flat.score(5.0, 0.0), flat.score(4.9, 0.0), flat.score(6.0, 0.5)], [0.0, f64::NEG_INFINITY, 2.0]);
    }

    proptest! {
        /// By the definition: as many values below as above.
        #[test]
        fn the_median_has_as_many_below_as_above(values in prop::collection::vec(-9..9_i8, 1..30)) {
            let values: Vec<f64> = values.into_iter().map(f64::from).collect();
            let median = median(&mut values.clone()).unwrap();
            let count = |is: fn(&f64, &f64) -> bool| values.iter().filter(|value| is(value, &median)).count();
            let (below, above) = (count(|a, b| a < b), count(|a, b| a > b));
            prop_assert!(below * 2 <= values.len() && above * 2 <= values.len(), "{below} below, {above} above {median}");
        }
    }
}
