use std::sync::Arc;

use super::track::Spread;
use crate::clock::Timestamp;
use crate::signal::SeriesName;

/// What a series was.
#[derive(Debug, Clone, PartialEq)]
pub struct Past {
    /// Which.
    pub series: Arc<SeriesName>,
    /// What it was, the oldest first; fewer than there were where that would be too many.
    pub samples: Vec<(Timestamp, f64)>,
    /// What all of them come to.
    pub summary: Summary,
}

/// What the samples of a window come to; the extremes and the mean are those of the samples, also where only minutes are
/// left of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// How many there are, a minute counting as one.
    pub samples: usize,
    /// The least.
    pub min: f64,
    /// The mean of all.
    pub mean: f64,
    /// The most.
    pub max: f64,
    /// The newest.
    pub last: f64,
    /// When that was.
    pub at: Timestamp,
}

impl Summary {
    /// Of these; none if there is none.
    pub(super) fn new(mut samples: impl Iterator<Item = (u64, Spread)>) -> Option<Self> {
        let first = samples.next()?;
        let (count, at, last, all) = samples
            .fold((1, first.0, first.1.mean, first.1), |(count, _, _, all), (at, one)| {
                (count + 1, at, one.mean, all.and(one))
            });
        Some(Self { samples: count, min: all.min, mean: all.mean, max: all.max, last, at: moment(at) })
    }
}

/// How much of the past is told at most. By default: everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Series; the first by name.
    pub series: usize,
    /// Samples of each series.
    pub each: usize,
    /// Samples of all series together, the same number for each.
    pub total: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { series: usize::MAX, each: usize::MAX, total: usize::MAX }
    }
}

/// `most` of `count` samples at even distances, from the first to the last; the last alone where there is room for one.
pub(super) fn thinned(
    samples: impl Iterator<Item = (u64, Spread)>,
    count: usize,
    most: usize,
) -> Vec<(Timestamp, f64)> {
    let most = most.min(count);
    let mut taken = Vec::with_capacity(most);
    let place = |nth: usize| match most {
        0 => usize::MAX,
        1 => count - 1,
        most => nth * (count - 1) / (most - 1),
    };
    for (at, (time, sample)) in samples.enumerate() {
        if taken.len() < most && at == place(taken.len()) {
            taken.push((moment(time), sample.mean));
        }
    }
    taken
}

fn moment(millis: u64) -> Timestamp {
    Timestamp::from_nanos(millis.saturating_mul(1_000_000))
}
