use proptest::prelude::*;

use super::*;
use crate::detect::testing::{assert_near, at, kept, normal_noise, wild};

const STEP: Duration = Duration::from_secs(10);

/// It with these values, one in each step; the last step is still open.
fn filled(mut model: HoltWinters, values: impl IntoIterator<Item = f64>) -> HoltWinters {
    for (n, value) in values.into_iter().enumerate() {
        model.push(at(10 * n as u64), value);
    }
    model
}

fn model(holt_winters: &HoltWinters) -> &Model {
    match &holt_winters.phase {
        Phase::Knowing(model) => model,
        Phase::Learning(_) => panic!("still learning"),
    }
}

#[test]
fn a_line_goes_on_as_a_line() {
    let line = filled(HoltWinters::new(STEP), (0..40).map(|n| 100.0 + 2.0 * f64::from(n)));
    // The last sample is 178.
    let forecast = line.forecast(10 * STEP).unwrap();
    assert_near(forecast.value, 198.0);
    assert!(forecast.deviation < 1e-9, "{forecast:?}");
    let crossing = line.time_to(Limit::above(199.0), 100 * STEP).unwrap();
    assert_eq!((crossing.expected, crossing.confidence), (11 * STEP, 1.0));
    assert_eq!(line.time_to(Limit::above(200.0), 10 * STEP), None);
    assert_eq!(line.time_to(Limit::below(90.0), 1000 * STEP), None);
    assert_eq!(line.time_to(Limit::above(150.0), 10 * STEP).unwrap().expected, Duration::ZERO);
}

#[test]
fn a_season_and_a_slope_are_told_apart() {
    let value = |n: u32| 50.0 + 0.5 * f64::from(n) + [0.0, 10.0, -4.0, -6.0, 3.0, 9.0, -12.0][n as usize % 7];
    let season = filled(HoltWinters::new(STEP).season(7), (0..60).map(value));
    assert_near(model(&season).slope, 0.5);
    for ahead in [0, 1, 5, 6, 7, 30] {
        assert_near(season.forecast(ahead * STEP).unwrap().value, value(59 + ahead));
    }
    // 90 is first exceeded by the peak in step 75, long before the level is there.
    let first = (60..).find(|n| value(*n) >= 90.0).unwrap();
    let crossing = season.time_to(Limit::above(90.0), 100 * STEP).unwrap();
    assert_eq!(crossing.expected, (first - 59) * STEP);
}

/// The textbook's component form: Holt's ℓ = αy + (1 − α)(ℓ + φb), b = β*(ℓ − ℓ₋₁) + (1 − β*)φb with β = αβ*, and Winters'
/// s = γ*(y − ℓ₋₁ − φb₋₁) + (1 − γ*)s (Hyndman and Athanasopoulos, "Forecasting: Principles and Practice", 8.2–8.3).
#[test]
fn it_is_the_component_form() {
    let (alpha, beta, gamma, phi) = (0.4, 0.1, 0.2, 0.9);
    for length in [None, Some(4)] {
        let mut noise = normal_noise(1);
        let season = |n: usize| if length.is_some() { [3.0, -1.0, 2.0, -4.0][n % 4] } else { 0.0 };
        let values: Vec<f64> = (0..60).map(|n| 20.0 + 0.3 * n as f64 + season(n) + noise()).collect();
        let make = || {
            let plain = HoltWinters::new(STEP).weights(alpha, beta, gamma).damped(phi);
            length.map_or(plain.clone(), |length| plain.season(length))
        };
        // The steps are open until the next: 10 or 8 of them are learnt from.
        let learn = length.map_or(10, |length| 2 * length);
        let start = filled(make(), values[..=learn].iter().copied());
        let Model { mut level, mut slope, mut season, .. } = model(&start).clone();
        let (mut squares, mut errors) = (0.0, 0);
        for (n, value) in values.iter().enumerate().take(59).skip(learn) {
            let place = (at(10 * n as u64).0 / 10_000_000_000) as usize % season.len().max(1);
            let seasonal = season.get(place).copied().unwrap_or(0.0);
            squares += (value - (level + phi * slope + seasonal)).powi(2);
            errors += 1;
            let before = level + phi * slope;
            let new_level = alpha * (value - seasonal) + (1.0 - alpha) * before;
            slope = beta / alpha * (new_level - level) + (1.0 - beta / alpha) * phi * slope;
            if let Some(seasonal) = season.get_mut(place) {
                *seasonal = gamma * (value - before) + (1.0 - gamma) * *seasonal;
            }
            level = new_level;
        }
        let end = filled(make(), values);
        assert_near(model(&end).level, level);
        assert_near(model(&end).slope, slope);
        assert_near(model(&end).variance, squares / f64::from(errors));
        model(&end).season.iter().zip(&season).for_each(|(actual, expected)| assert_near(*actual, *expected));
    }
}

/// The variance of a forecast from the model itself: in the state space form x ← Fx + ge, y = wx, it is
/// σ²(1 + Σ (w Fʲ⁻¹ g)²), here by following an error of 1 through the steps.
#[test]
fn the_interval_widens_as_errors_spread() {
    for (season, phi) in [(None, 1.0), (None, 0.9), (Some(3), 1.0), (Some(3), 0.8)] {
        let mut noise = normal_noise(4);
        let plain = HoltWinters::new(STEP).weights(0.5, 0.2, 0.3).damped(phi);
        let holt_winters = season.map_or(plain.clone(), |season| plain.season(season));
        let holt_winters = filled(holt_winters, (0..60).map(|_| noise()));
        let variance = model(&holt_winters).variance;

        let length = season.unwrap_or(0) as u64;
        let mut echo = Model { level: 0.0, slope: 0.0, season: vec![0.0; length as usize], variance: 0.0, errors: 0 };
        echo.take(0, Some(1.0), &holt_winters.setup);
        let mut factor = 1.0;
        for step in 0..12 {
            let forecast = holt_winters.forecast(step as u32 * STEP).unwrap();
            assert_near(forecast.deviation, (variance * factor).sqrt());
            echo.take(step + 1, None, &holt_winters.setup);
            factor += (echo.level + echo.seasonal(step + 1)).powi(2);
        }
    }
}

#[test]
fn ninety_five_of_a_hundred_are_in_the_interval() {
    let mut noise = normal_noise(8);
    let (mut level, mut within, mut outliers) = (0.0, 0, 0);
    let mut holt_winters = HoltWinters::new(STEP).weights(0.3, 0.0, 0.0);
    for n in 0..2000 {
        // The model's own process: level with a part of each error.
        let error = noise();
        let value = level + error;
        level += 0.3 * error;
        let expected = holt_winters.forecast(STEP);
        let score = holt_winters.push(at(10 * n), value);
        let (low, high) = expected.map_or((f64::MIN, f64::MAX), |forecast| forecast.interval());
        within += u32::from((low..=high).contains(&value));
        outliers += u32::from(score.is_some_and(|score| score.abs() > Z95));
    }
    assert!((1860..=1940).contains(&within), "{within} of 2000");
    assert!((60..=140).contains(&outliers), "{outliers} of 2000");
}

#[test]
fn the_time_to_a_limit_has_an_interval() {
    let mut noise = normal_noise(6);
    let grows = filled(HoltWinters::new(STEP).weights(0.2, 0.01, 0.0), (0..200).map(|n| f64::from(n) + noise()));
    let crossing = grows.time_to(Limit::above(250.0), 1000 * STEP).unwrap();
    assert!((40 * STEP..62 * STEP).contains(&crossing.expected), "{crossing:?}");
    assert!(crossing.earliest < crossing.expected && crossing.expected < crossing.latest.unwrap(), "{crossing:?}");
    assert!(crossing.confidence >= 0.974, "{crossing:?}");
    // Within a horizon that ends before the interval does.
    let cut = grows.time_to(Limit::above(250.0), crossing.expected).unwrap();
    assert_eq!((cut.expected, cut.earliest, cut.latest), (crossing.expected, crossing.earliest, None));
    assert!((0.5..0.974).contains(&cut.confidence), "{cut:?}");
    // Damped, it never gets there.
    let damped = filled(HoltWinters::new(STEP).damped(0.8), (0..200).map(f64::from));
    assert_eq!(damped.time_to(Limit::above(250.0), 1000 * STEP), None);
}

#[test]
fn a_gap_is_bridged_by_the_forecast_and_a_long_one_begins_anew() {
    let value = |n: u64| 5.0 + n as f64;
    for (gap, known) in [(1, true), (10, true), (11, false)] {
        let mut line = filled(HoltWinters::new(STEP), (0..40).map(value));
        let next = 40 + gap;
        line.push(at(10 * next), value(next));
        assert_eq!(line.forecast(STEP).is_some(), known, "{gap}");
        if known {
            assert_near(line.forecast(STEP).unwrap().value, value(next + 1));
        }
    }
}

#[test]
fn a_step_is_the_mean_of_its_samples_and_the_state_is_kept() {
    let mut single = HoltWinters::new(STEP).season(3);
    let mut several = single.clone();
    for n in 0..60_u64 {
        let value = (n % 3) as f64;
        single.push(at(10 * n), value);
        for (second, offset) in [(0, -1.0), (4, 3.0), (9, -2.0)] {
            several.push(at(10 * n + second), value + offset);
        }
        several = kept(&several);
    }
    assert_eq!(model(&single).season, model(&several).season);
    assert_near(model(&several).level, model(&single).level);
}

#[test]
fn the_longest_season_fits_into_the_state() {
    let mut noise = normal_noise(3);
    let day = filled(HoltWinters::new(STEP).season(usize::MAX), (0..3000).map(|_| -1e-80 * noise()));
    assert!(day.forecast(STEP).is_some());
    let size = serde_json::to_vec(&day).unwrap().len();
    assert!(size < 48 * 1024, "{size}");
}

#[test]
fn errors_of_long_ago_fade() {
    let mut noise = normal_noise(12);
    let values = (0..3600).map(|n| if n < 3000 { noise() } else { 5.0 * noise() });
    let louder = filled(HoltWinters::new(STEP).weights(0.1, 0.0, 0.0), values);
    let deviation = louder.forecast(STEP).unwrap().deviation;
    // Of all errors alike it would be 2.3.
    assert!((4.0..6.0).contains(&deviation), "{deviation}");
}

#[test]
fn a_model_that_lost_its_way_learns_anew() {
    let mut lost = filled(HoltWinters::new(STEP).weights(0.999, 0.999, 0.0), (0..30).map(f64::from));
    let mut has_learnt_anew = false;
    for n in 3..600 {
        // Of eleven steps one has a value, and the slope runs away in the others.
        lost.push(at(110 * n), 1.0);
        has_learnt_anew |= lost.forecast(STEP).is_none();
        assert!(lost.forecast(STEP).is_none_or(|forecast| forecast.value.is_finite()), "{lost:?}");
    }
    assert!(has_learnt_anew);
}

proptest! {
    #[test]
    fn nothing_breaks_it(
        samples in wild(),
        step in prop_oneof![any::<u64>(), 0..3_000_000_000_u64],
        season in prop::option::of(any::<usize>()),
        weights in any::<(f64, f64, f64)>(),
        phi in any::<f64>(),
    ) {
        let mut holt_winters = HoltWinters::new(Duration::from_nanos(step)).weights(weights.0, weights.1, weights.2).damped(phi);
        if let Some(season) = season {
            holt_winters = holt_winters.season(season % 8);
        }
        for (at, value) in samples {
            prop_assert!(holt_winters.push(at, value).is_none_or(|score| !score.is_nan()));
        }
        if let Some(forecast) = holt_winters.forecast(STEP) {
            prop_assert!(forecast.value.is_finite() && forecast.deviation.is_finite(), "{:?}", forecast);
        }
        if let Some(crossing) = holt_winters.time_to(Limit::above(1.0), 9 * STEP) {
            prop_assert!(crossing.earliest <= crossing.expected && (0.0..=1.0).contains(&crossing.confidence));
        }
        kept(&holt_winters);
    }

    /// Any line and any season are learnt at once and kept.
    #[test]
    fn what_is_regular_is_forecast(
        season in prop::collection::vec(-50..50_i32, 2..9),
        slope in -9..9_i32,
        ahead in 0..40_u32,
    ) {
        let length = season.len();
        let value = |n: u32| f64::from(slope * n as i32 + season[n as usize % length]);
        let steps = 2 * length as u32 + 12;
        let regular = filled(HoltWinters::new(STEP).season(length), (0..steps).map(value));
        let forecast = regular.forecast(ahead * STEP).unwrap().value;
        let expected = value(steps - 1 + ahead);
        prop_assert!((forecast - expected).abs() < 1e-6, "{} instead of {}", forecast, expected);
    }
}
