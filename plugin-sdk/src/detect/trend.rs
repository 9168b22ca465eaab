use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::clock::{Clock, Tick};
use super::resume::resume;
use super::timestamp::nanoseconds;
use super::{Crossing, Limit, Timestamp, TrendLine};

/// The points it keeps unless told otherwise: 8128 pairs to compare.
const POINTS: u64 = 128;

/// The fewest and the most points: the test of a trend needs some, and 512 of them make 130,816 pairs.
const FEWEST: u64 = 16;
const MOST: u64 = 512;

/// Whether a value grows or falls over a window of time, how fast, and when it reaches a limit: a leak, a disk that fills.
///
/// The line is that of Theil and Sen, which a quarter of outliers cannot turn; see [`TrendLine`] for the formulas. Where there
/// are more samples in the window than points are kept, one is kept for each even part of it, the latest, so that a window of
/// a day takes no more memory than one of a minute.
///
/// Taking a sample costs nothing. The line is reckoned when it is asked for, and takes time by the square of the points.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trend {
    setup: Setup,
    clock: Clock,
    points: VecDeque<(Timestamp, f64)>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Setup {
    /// In nanoseconds.
    window: u64,
    points: u64,
}

resume!(Trend);

impl Trend {
    /// Over so long a window.
    pub fn new(window: Duration) -> Self {
        let setup = Setup { window: nanoseconds(window).max(1), points: POINTS };
        Self { setup, clock: Clock::default(), points: VecDeque::new() }
    }

    /// With so many points in the window at most instead of 128; from 16 to 512.
    pub fn points(mut self, points: usize) -> Self {
        self.setup.points = (points as u64).clamp(FEWEST, MOST);
        self
    }

    /// Takes a sample.
    pub fn push(&mut self, at: impl Into<Timestamp>, value: f64) {
        let at = at.into();
        match self.clock.tick(at, value) {
            Tick::Ignored => return,
            Tick::First => self.points.clear(),
            Tick::After(_) => {}
        }
        let part = |at: Timestamp| at.0 / (self.setup.window / self.setup.points).max(1);
        if self.points.back().is_some_and(|(last, _)| part(*last) == part(at)) {
            self.points.pop_back();
        }
        self.points.push_back((at, value));
        let is_over = |first: Timestamp| at.0.saturating_sub(first.0) > self.setup.window;
        while self.points.len() as u64 > self.setup.points || self.points.front().is_some_and(|first| is_over(first.0))
        {
            self.points.pop_front();
        }
    }

    /// The line through the window; `None` while there are fewer than 8 points in it.
    pub fn line(&self) -> Option<TrendLine> {
        let last = self.clock.last()?;
        let points: Vec<(f64, f64)> =
            self.points.iter().map(|(at, value)| (-last.since(*at).as_secs_f64(), *value)).collect();
        TrendLine::through(&points)
    }

    /// When `limit` is reached. `None` if the line does not lead there, or is not known yet.
    pub fn time_to(&self, limit: Limit) -> Option<Crossing> {
        self.line()?.time_to(limit)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::detect::testing::{assert_near, at, kept, noise, wild};

    const HOUR: Duration = Duration::from_secs(3600);

    fn filled(mut trend: Trend, values: impl IntoIterator<Item = f64>) -> Trend {
        values.into_iter().enumerate().for_each(|(n, value)| trend.push(at(10 * n as u64), value));
        trend
    }

    #[test]
    fn a_disk_that_fills_is_full_at_its_time() {
        // 0.1 % of it in ten seconds, with some noise and one reading in five that is nonsense.
        let mut noise = noise(7);
        let used =
            (0..100).map(|n| if n % 5 == 2 { 0.0 } else { 0.5 + 0.001 * f64::from(n) + 0.002 * (noise() - 0.5) });
        let trend = filled(Trend::new(HOUR), used);
        let line = trend.line().unwrap();
        assert!((line.slope - 1e-4).abs() < 3e-6, "{line:?}");
        // 0.599 at the end: 4010 s from there.
        let crossing = trend.time_to(Limit::above(1.0)).unwrap();
        assert!((crossing.expected.as_secs_f64() - 4010.0).abs() < 150.0, "{crossing:?}");
        assert!(crossing.earliest < crossing.expected && crossing.confidence > 0.999, "{crossing:?}");
        assert_eq!(trend.time_to(Limit::below(0.1)), None);
        assert_eq!(trend.time_to(Limit::above(0.55)).unwrap().expected, Duration::ZERO);
        assert_eq!(kept(&trend).line().map(|line| line.points), Some(line.points));
    }

    #[test]
    fn a_burst_of_load_is_no_trend() {
        let mut noise = noise(3);
        let load = (0..100).map(|n| if (40..55).contains(&n) { 5.0 } else { 1.0 } + noise());
        let line = filled(Trend::new(HOUR), load).line().unwrap();
        assert!(line.p_value > 0.05 && line.interval.0 < 0.0 && line.interval.1 > 0.0, "{line:?}");
    }

    #[test]
    fn what_is_older_than_the_window_is_forgotten() {
        let trend = filled(Trend::new(10 * Duration::from_secs(10)), (0..100).map(|n| f64::from((n - 80).max(0))));
        let line = trend.line().unwrap();
        assert_eq!(line.points, 11);
        assert_near(line.slope, 0.1);
    }

    #[test]
    fn of_many_samples_evenly_distributed_ones_are_kept() {
        let trend = filled(Trend::new(1000 * Duration::from_secs(10)).points(50), (0..5000).map(f64::from));
        let gaps: Vec<u64> = trend.points.iter().zip(trend.points.iter().skip(1)).map(|(a, b)| b.0.0 - a.0.0).collect();
        assert!(trend.points.len() >= 49 && gaps.iter().rev().skip(1).all(|gap| *gap == 200_000_000_000), "{gaps:?}");
        assert_eq!(trend.points.back().unwrap().1, 4999.0);
        assert_near(trend.line().unwrap().slope, 0.1);
    }

    proptest! {
        #[test]
        fn nothing_breaks_it(samples in wild(), window in any::<u64>(), points in any::<usize>(), limit in -10.0..10.0) {
            let mut trend = Trend::new(Duration::from_nanos(window)).points(points);
            for (at, value) in samples {
                trend.push(at, value);
                prop_assert!(trend.points.len() as u64 <= trend.setup.points);
            }
            if let Some(line) = trend.line() {
                prop_assert!((0.0..=1.0).contains(&line.p_value) && line.tau.abs() <= 1.0, "{:?}", line);
                prop_assert!(line.interval.0 <= line.slope && line.slope <= line.interval.1, "{:?}", line);
            }
            if let Some(crossing) = trend.time_to(Limit::above(limit)) {
                prop_assert!(crossing.earliest <= crossing.expected, "{:?}", crossing);
                prop_assert!(crossing.latest.is_none_or(|latest| latest >= crossing.expected), "{:?}", crossing);
                prop_assert!((0.0..=1.0).contains(&crossing.confidence), "{:?}", crossing);
            }
            kept(&trend);
        }
    }
}
