/// Two-sided 95 % of the normal distribution lie within so many standard deviations.
pub(super) const Z95: f64 = 1.959_963_984_540_054;

/// The share of a standard normal distribution below `z`, to 7.5e-8 (Abramowitz and Stegun 1964, 26.2.17).
pub(super) fn share_below(z: f64) -> f64 {
    if z < 0.0 {
        return 1.0 - share_below(-z);
    }
    let t = 1.0 / (1.0 + 0.231_641_9 * z);
    let coefficients = [1.330_274_429, -1.821_255_978, 1.781_477_937, -0.356_563_782, 0.319_381_530];
    let polynomial = coefficients.iter().fold(0.0, |sum, coefficient| (sum + coefficient) * t);
    let density = (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    (1.0 - density * polynomial).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_table_of_the_normal_distribution() {
        for (z, share) in [
            (0.0, 0.5),
            (1.0, 0.841_344_746),
            (Z95, 0.975),
            (3.0, 0.998_650_102),
            (-1.0, 0.158_655_254),
            (-2.0, 0.022_750_132),
            (f64::INFINITY, 1.0),
            (f64::NEG_INFINITY, 0.0),
        ] {
            assert!((share_below(z) - share).abs() < 1e-7, "{z}: {} instead of {share}", share_below(z));
        }
    }
}
