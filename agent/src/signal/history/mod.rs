//! What the metrics were: the samples that some subscriber takes, kept in memory for a while.
//!
//! Each series has two rings: its samples as they came, for an hour, and what they were by the minute (least, mean, most,
//! and of how many), for a day. Times are kept to the millisecond; a value takes 12 bytes, a minute 36. All rings together
//! stay within a budget. A series that is gone stays until its samples are too old.
//!
//! What is no finite number is not kept. Where the wall clock is set back, what it called later is forgotten.

mod past;
mod ring;
mod store;
#[cfg(test)]
mod tests;
mod track;

pub use past::{Bounds, Past, Summary};

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Attribute, Sample, Selector, SeriesName};
use crate::clock::Timestamp;
use store::Store;
use track::millis;

/// How much is kept: `[collect] history`, `history-full` and `history-minutes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Bytes for all series; nothing is kept if 0.
    pub budget: usize,
    /// How long samples are kept as they came.
    pub full: Duration,
    /// How long they are kept by the minute.
    pub minutes: Duration,
}

impl Default for Keep {
    fn default() -> Self {
        Self { budget: 16 << 20, full: Duration::from_secs(3600), minutes: Duration::from_secs(24 * 3600) }
    }
}

/// What is kept now, as `salve status --json` shows it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Series.
    pub series: usize,
    /// Bytes they take.
    pub bytes: usize,
    /// Bytes they may take.
    pub budget: usize,
    /// Samples, and means of a minute, that were forgotten before their time or not kept at all, because of the budget,
    /// since the agent started.
    pub evicted: u64,
}

/// The recent samples of every series that some instance subscribed to.
#[derive(Debug)]
pub struct History {
    store: Mutex<Store>,
}

impl Default for History {
    fn default() -> Self {
        Self::new(Keep::default())
    }
}

/// Where the series of a source were when it last published: they come in the same order as a rule, and need not be
/// searched for then. A hint and no more.
#[derive(Debug, Default)]
pub(super) struct Places(Vec<u32>);

impl History {
    /// Nothing yet.
    pub fn new(keep: Keep) -> Self {
        Self { store: Mutex::new(Store::new(keep)) }
    }

    /// Keeps those of a publication's samples that are `wanted`.
    pub(super) fn record(&self, at: Timestamp, samples: &[Sample], wanted: &[bool], places: &mut Places) {
        if wanted.contains(&true) {
            self.store().record(in_millis(at), samples, wanted, &mut places.0);
        }
    }

    /// The series of `metric` with these attributes (`*` in text stands for anything, as in a [`Selector`]) and their
    /// samples in the `window` before `now`, the oldest first: the means of minutes where the samples are gone.
    pub fn query(
        &self,
        metric: &str,
        matching: &[Attribute],
        window: Duration,
        now: Timestamp,
    ) -> Vec<(SeriesName, Vec<(Timestamp, f64)>)> {
        let found = self.past(&Selector::new(metric, matching.to_vec()), window, now, Bounds::default());
        found.into_iter().map(|past| ((*past.series).clone(), past.samples)).collect()
    }

    /// The same, with what the samples come to, as many of them as the bounds allow, evenly spread and the newest among
    /// them. By name; a series without a sample in the window is not listed.
    pub fn past(&self, selector: &Selector, window: Duration, now: Timestamp, bounds: Bounds) -> Vec<Past> {
        let to = in_millis(now);
        let from = to.saturating_sub(millis(window));
        let store = self.store();
        let mut tracks: Vec<_> = store
            .tracks()
            .filter(|track| selector.takes_series(&track.name))
            .filter_map(|track| Some((track, Summary::new(track.range(from, to))?)))
            .collect();
        tracks.sort_unstable_by(|(a, _), (b, _)| a.name.cmp(&b.name));
        tracks.truncate(bounds.series);
        let most = bounds.each.min(bounds.total / tracks.len().max(1));
        let past = |(track, summary): (&track::Track, Summary)| Past {
            series: Arc::clone(&track.name),
            samples: past::thinned(track.range(from, to), summary.samples, most),
            summary,
        };
        tracks.into_iter().map(past).collect()
    }

    /// What is kept now.
    pub fn usage(&self) -> Usage {
        let store = self.store();
        Usage { series: store.len(), bytes: store.bytes, budget: store.keep.budget, evicted: store.evicted }
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn in_millis(at: Timestamp) -> u64 {
    at.as_nanos() / 1_000_000
}
