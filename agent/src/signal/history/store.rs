use std::collections::HashMap;
use std::sync::Arc;

use super::Keep;
use super::track::{MINUTE, Track};
use crate::signal::{Sample, SeriesName};

/// A series that said nothing for so long gives way to a new one where there is no room for both.
const SILENT: u64 = 10 * MINUTE;

/// Every series that is kept, within the budget.
///
/// Where it is exceeded, a sixteenth is made free at once, so that the search for what can go is seldom: the oldest samples
/// of the largest rings first, until all that are left are of a size. A ring keeps its newest chunk; where not even these
/// fit, series that fell silent go, and further new ones are not begun.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) keep: Keep,
    pub(super) bytes: usize,
    pub(super) evicted: u64,
    slots: Vec<Option<Track>>,
    free: Vec<u32>,
    index: HashMap<Arc<SeriesName>, u32>,
    /// When it was last looked for what is too old.
    swept: u64,
    /// Whether nothing is left to shed but whole series that still speak: no new ones are begun.
    crowded: bool,
}

impl Store {
    pub(super) fn new(keep: Keep) -> Self {
        Self {
            keep,
            bytes: 0,
            evicted: 0,
            slots: Vec::new(),
            free: Vec::new(),
            index: HashMap::new(),
            swept: 0,
            crowded: false,
        }
    }

    pub(super) fn tracks(&self) -> impl Iterator<Item = &Track> {
        self.slots.iter().flatten()
    }

    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// Adds the samples that are wanted. `places` is where those of this source were the last time.
    pub(super) fn record(&mut self, at: u64, samples: &[Sample], wanted: &[bool], places: &mut Vec<u32>) {
        places.resize(samples.len(), u32::MAX);
        let wanted = samples.iter().zip(wanted).zip(places).filter(|((_, wanted), _)| **wanted);
        for ((sample, _), place) in wanted {
            // What is no number has no place among numbers.
            if sample.value.is_finite() {
                self.push(at, sample, place);
            }
        }
        if at.abs_diff(self.swept) >= MINUTE {
            self.sweep(at);
        }
    }

    fn push(&mut self, at: u64, sample: &Sample, place: &mut u32) {
        let Some(found) = self.place(*place, &sample.series) else {
            self.evicted += 1;
            return;
        };
        *place = found;
        let Some(Some(track)) = self.slots.get_mut(found as usize) else { return };
        let before = track.bytes();
        track.push(at, sample.value, &self.keep);
        self.bytes = (self.bytes - before) + track.bytes();
        if self.bytes > self.keep.budget {
            self.sweep(at);
        }
    }

    /// Where the series is, begun if it is new; none where there is no room for one more.
    fn place(&mut self, hint: u32, name: &SeriesName) -> Option<u32> {
        if self.slots.get(hint as usize).is_some_and(|slot| slot.as_ref().is_some_and(|track| *track.name == *name)) {
            return Some(hint);
        }
        if let Some(place) = self.index.get(name) {
            return Some(*place);
        }
        if self.crowded {
            return None;
        }
        let weight = Track::weight(name);
        let name = Arc::new(name.clone());
        let track = Some(Track::new(name.clone()));
        let place = match self.free.pop() {
            Some(place) => {
                *self.slots.get_mut(place as usize)? = track;
                place
            }
            None => {
                let place = u32::try_from(self.slots.len()).ok()?;
                self.slots.push(track);
                place
            }
        };
        self.index.insert(name, place);
        self.bytes += weight;
        Some(place)
    }

    /// Forgets what is too old, and sheds what is too much.
    fn sweep(&mut self, now: u64) {
        self.swept = now;
        for place in 0..self.slots.len() {
            let Some(Some(track)) = self.slots.get_mut(place) else { continue };
            let before = track.bytes();
            track.expire(now, &self.keep);
            self.bytes = (self.bytes - before) + track.bytes();
            if track.is_empty() {
                self.remove(place);
            }
        }
        if self.bytes > self.keep.budget {
            self.level();
            self.drop_whole(now);
        }
        // New ones are begun again once there is room for many, or another that can go.
        let silent = self.tracks().any(|track| track.last + SILENT < now);
        self.crowded &= !silent && self.bytes > self.keep.budget / 2;
    }

    /// Takes from the largest rings.
    fn level(&mut self) {
        let ceiling = self.ceiling();
        for track in self.slots.iter_mut().flatten() {
            let before = track.bytes();
            self.evicted += track.shed(ceiling) as u64;
            self.bytes = (self.bytes - before) + track.bytes();
        }
    }

    /// The size to which the larger rings have to come down, so that all is as much as there should be.
    fn ceiling(&self) -> usize {
        let surplus = self.bytes.saturating_sub(self.target());
        let mut sizes: Vec<usize> = self.tracks().flat_map(Track::rings).collect();
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        let mut sum = 0;
        for (count, size) in (1..).zip(&sizes) {
            sum += size;
            let next = sizes.get(count).copied().unwrap_or(0);
            if sum - count * next >= surplus {
                return sum.saturating_sub(surplus) / count;
            }
        }
        0
    }

    /// Takes whole series, the one that has been silent longest first: those that fell silent as far as there should be
    /// room, others only as far as there must be.
    fn drop_whole(&mut self, now: u64) {
        if self.bytes <= self.target() {
            return;
        }
        let slots = self.slots.iter().enumerate();
        let mut by_age: Vec<_> = slots.filter_map(|(at, slot)| Some((slot.as_ref()?.last, at))).collect();
        by_age.sort_unstable();
        let must = self.bytes > self.keep.budget;
        for (last, place) in by_age {
            let silent = last + SILENT < now;
            if self.bytes <= self.target() || !(silent || must) {
                break;
            }
            if let Some(Some(track)) = self.slots.get(place) {
                self.evicted += track.len() as u64;
                self.remove(place);
            }
            self.crowded |= !silent;
        }
        self.crowded |= self.bytes > self.target();
    }

    fn remove(&mut self, place: usize) {
        let Some(track) = self.slots.get_mut(place).and_then(Option::take) else { return };
        self.bytes -= track.bytes();
        self.index.remove(&*track.name);
        self.free.extend(u32::try_from(place));
    }

    fn target(&self) -> usize {
        self.keep.budget - self.keep.budget / 16
    }
}
