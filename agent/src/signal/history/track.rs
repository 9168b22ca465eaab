use std::mem::size_of;
use std::sync::Arc;

use super::Keep;
use super::ring::Ring;
use crate::signal::SeriesName;

/// A minute, in milliseconds.
pub(super) const MINUTE: u64 = 60_000;

/// One series: its samples as they came, and what they were by the minute for longer.
#[derive(Debug)]
pub(super) struct Track {
    pub(super) name: Arc<SeriesName>,
    /// When the last sample was taken, in milliseconds since the Unix epoch, as all times here.
    pub(super) last: u64,
    full: Ring<f64>,
    minutes: Ring<Spread>,
    /// The minute that is not over.
    open: Open,
}

/// What several samples were.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spread {
    pub(super) min: f64,
    pub(super) mean: f64,
    pub(super) max: f64,
    pub(super) count: u32,
}

impl From<f64> for Spread {
    fn from(value: f64) -> Self {
        Self { min: value, mean: value, max: value, count: 1 }
    }
}

impl Spread {
    /// Of both together.
    pub(super) fn and(self, other: Self) -> Self {
        let count = self.count.saturating_add(other.count);
        let share = f64::from(other.count) / f64::from(count);
        let (min, max) = (self.min.min(other.min), self.max.max(other.max));
        // Weighed and then added, so that the largest numbers do not overflow; rounding must not lead out of the range.
        let mean = (self.mean * (1.0 - share) + other.mean * share).clamp(min, max);
        Self { min, mean, max, count }
    }
}

/// A minute as it fills.
#[derive(Debug, Default)]
struct Open {
    samples: Option<Spread>,
    /// The first sample's time, and the sum of how long after it the others came: the mean stands for their mean time.
    first: u64,
    later: u64,
}

impl Open {
    fn add(&mut self, at: u64, value: f64) {
        let value = Spread::from(value);
        match self.samples {
            Some(samples) => {
                self.samples = Some(samples.and(value));
                self.later += at.saturating_sub(self.first);
            }
            None => (self.samples, self.first) = (Some(value), at),
        }
    }

    fn mean(&self) -> Option<(u64, Spread)> {
        self.samples.map(|samples| (self.first + self.later / u64::from(samples.count), samples))
    }
}

impl Track {
    /// An empty one.
    pub(super) fn new(name: Arc<SeriesName>) -> Self {
        Self { name, last: 0, full: Ring::default(), minutes: Ring::default(), open: Open::default() }
    }

    /// Bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        Self::weight(&self.name) + self.full.bytes() + self.minutes.bytes()
    }

    /// Bytes that a series takes before it has a sample: itself, its name, and its place in the index.
    pub(super) fn weight(name: &SeriesName) -> usize {
        let text = |text: &str| text.len() + 2 * size_of::<usize>();
        let attributes = name.attributes.iter().map(|pair| size_of_val(pair) + text(&pair.0) + text(&pair.1));
        let index = 4 * size_of::<(usize, u32)>();
        size_of::<Self>() + size_of::<SeriesName>() + index + text(&name.metric) + attributes.sum::<usize>()
    }

    /// Adds a sample. Where the clock was set back, what it calls later than this is forgotten: it never was.
    pub(super) fn push(&mut self, at: u64, value: f64, keep: &Keep) {
        if at <= self.last {
            self.step_back(at);
        }
        if self.open.samples.is_some() && self.open.first / MINUTE != at / MINUTE {
            self.minutes.extend(std::mem::take(&mut self.open).mean());
        }
        self.open.add(at, value);
        self.full.push(at, value);
        self.last = at;
        self.expire(at, keep);
    }

    fn step_back(&mut self, at: u64) {
        let minute = at - at % MINUTE;
        self.full.truncate(at);
        self.minutes.truncate(minute);
        self.open = Open::default();
        for (at, value) in self.full.range(minute, at) {
            self.open.add(at, value);
        }
    }

    /// Gives back what is too old.
    pub(super) fn expire(&mut self, now: u64, keep: &Keep) {
        self.full.expire(now.saturating_sub(millis(keep.full)));
        let before = now.saturating_sub(millis(keep.minutes));
        self.minutes.expire(before);
        if self.last < before && self.full.is_empty() {
            self.open = Open::default();
        }
    }

    /// Whether nothing is left of it.
    pub(super) fn is_empty(&self) -> bool {
        self.full.is_empty() && self.minutes.is_empty() && self.open.samples.is_none()
    }

    /// How many samples and means it holds.
    pub(super) fn len(&self) -> usize {
        self.full.len() + self.minutes.len()
    }

    /// The sizes of its rings.
    pub(super) fn rings(&self) -> [usize; 2] {
        [self.full.bytes(), self.minutes.bytes()]
    }

    /// Gives back the oldest of each ring that is larger than this, but never the newest chunk; how many samples.
    pub(super) fn shed(&mut self, ceiling: usize) -> usize {
        fn shed<T: Copy>(ring: &mut Ring<T>, ceiling: usize) -> usize {
            let mut shed = 0;
            while ring.bytes() > ceiling
                && let Some(samples) = ring.shed()
            {
                shed += samples;
            }
            shed
        }
        shed(&mut self.full, ceiling) + shed(&mut self.minutes, ceiling)
    }

    /// From one moment to another, both included, the oldest first: by the minute where the samples themselves are gone.
    pub(super) fn range(&self, from: u64, to: u64) -> impl Iterator<Item = (u64, Spread)> {
        // A minute of which some samples are left is told by those alone: nothing counts twice.
        let whole = self.full.first().map_or(u64::MAX, |first| first / MINUTE);
        let open = self.open.mean().filter(|(at, _)| (from..=to).contains(at));
        let minutes = self.minutes.range(from, to).chain(open).take_while(move |(at, _)| at / MINUTE < whole);
        minutes.chain(self.full.range(from, to).map(|(at, value)| (at, value.into())))
    }
}

impl Ring<Spread> {
    fn extend(&mut self, minute: Option<(u64, Spread)>) {
        if let Some((at, spread)) = minute {
            self.push(at, spread);
        }
    }
}

/// A duration in milliseconds.
pub(super) fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
