use std::collections::VecDeque;
use std::mem::size_of;

/// Samples in a chunk: few enough that a ring follows what it holds closely, many enough that the rest is small change.
pub(super) const CHUNK: usize = 32;

/// A series in memory: chunks that are made when they are needed, and given back whole when they are too old.
///
/// Times are milliseconds since the Unix epoch and rise. A sample takes 4 bytes besides its value.
#[derive(Debug)]
pub(super) struct Ring<T> {
    chunks: VecDeque<Box<Chunk<T>>>,
}

#[derive(Debug)]
struct Chunk<T> {
    /// When the first sample was taken; of each, how long after that.
    base: u64,
    len: usize,
    offsets: [u32; CHUNK],
    values: [T; CHUNK],
}

impl<T: Copy> Chunk<T> {
    fn new(base: u64, value: T) -> Self {
        Self { base, len: 1, offsets: [0; CHUNK], values: [value; CHUNK] }
    }

    /// Adds a sample, unless there is no room for it: too many of them, or one that lies further off than 49 days.
    fn push(&mut self, at: u64, value: T) -> bool {
        let slots = (self.offsets.get_mut(self.len), self.values.get_mut(self.len));
        let ((Some(offset), Some(slot)), Ok(distance)) = (slots, u32::try_from(at - self.base)) else {
            return false;
        };
        (*offset, *slot) = (distance, value);
        self.len += 1;
        true
    }

    fn iter(&self) -> impl Iterator<Item = (u64, T)> {
        let times = self.offsets.iter().map(|offset| self.base + u64::from(*offset));
        times.zip(self.values.iter().copied()).take(self.len)
    }

    fn last(&self) -> u64 {
        let offset = self.len.checked_sub(1).and_then(|last| self.offsets.get(last));
        self.base + offset.map_or(0, |offset| u64::from(*offset))
    }
}

impl<T> Default for Ring<T> {
    fn default() -> Self {
        Self { chunks: VecDeque::new() }
    }
}

impl<T: Copy> Ring<T> {
    /// What a chunk takes, with its pointer and what an allocator adds.
    const COST: usize = size_of::<Chunk<T>>() + 3 * size_of::<usize>();

    /// Bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        self.chunks.len() * Self::COST
    }

    /// The time of the oldest sample.
    pub(super) fn first(&self) -> Option<u64> {
        self.chunks.front().map(|chunk| chunk.base)
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Adds a sample that is later than all others.
    pub(super) fn push(&mut self, at: u64, value: T) {
        if !self.chunks.back_mut().is_some_and(|chunk| chunk.push(at, value)) {
            self.chunks.push_back(Box::new(Chunk::new(at, value)));
        }
    }

    /// Forgets what was taken at this moment or later.
    pub(super) fn truncate(&mut self, at: u64) {
        while let Some(chunk) = self.chunks.back_mut() {
            if chunk.base < at {
                chunk.len = chunk.iter().take_while(|(taken, _)| *taken < at).count();
                return;
            }
            self.chunks.pop_back();
        }
    }

    /// Gives back the chunks of which every sample is older than this.
    pub(super) fn expire(&mut self, before: u64) {
        while self.chunks.front().is_some_and(|chunk| chunk.last() < before) {
            self.chunks.pop_front();
        }
    }

    /// Gives back the oldest chunk, unless it is the only one; how many samples were in it.
    pub(super) fn shed(&mut self) -> Option<usize> {
        if self.chunks.len() < 2 {
            return None;
        }
        self.chunks.pop_front().map(|chunk| chunk.len)
    }

    /// How many samples it holds.
    pub(super) fn len(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.len).sum()
    }

    /// The samples from one moment to another, both included, the oldest first.
    pub(super) fn range(&self, from: u64, to: u64) -> impl Iterator<Item = (u64, T)> {
        let start = self.chunks.partition_point(|chunk| chunk.last() < from);
        let samples = self.chunks.range(start..).flat_map(|chunk| chunk.iter());
        samples.skip_while(move |(at, _)| *at < from).take_while(move |(at, _)| *at <= to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(times: impl IntoIterator<Item = u64>) -> Ring<u64> {
        let mut ring = Ring::default();
        times.into_iter().for_each(|at| ring.push(at, at));
        ring
    }

    fn times(ring: &Ring<u64>, from: u64, to: u64) -> Vec<u64> {
        ring.range(from, to).map(|(at, value)| (at == value).then_some(at).unwrap()).collect()
    }

    #[test]
    fn it_grows_by_chunks_and_gives_them_back() {
        let mut ring = ring((0..100).map(|n| n * 1000));
        assert_eq!((ring.len(), ring.bytes()), (100, 4 * Ring::<u64>::COST));
        assert_eq!(times(&ring, 30_500, 33_000), [31_000, 32_000, 33_000]);
        ring.expire(64_000);
        assert_eq!((ring.first(), ring.len()), (Some(64_000), 36));
        assert_eq!(ring.shed(), Some(32));
        assert_eq!(ring.shed(), None, "the newest stay");
        assert_eq!(times(&ring, 0, u64::MAX), [96_000, 97_000, 98_000, 99_000]);
    }

    #[test]
    fn a_clock_that_leaps_begins_a_chunk_and_one_set_back_ends_some() {
        let year = 365 * 24 * 3_600_000;
        let mut ring = ring([1, 2, year, year + 1]);
        assert_eq!(times(&ring, 0, u64::MAX), [1, 2, year, year + 1]);
        ring.truncate(2);
        ring.push(2, 2);
        ring.push(3, 3);
        assert_eq!(times(&ring, 0, u64::MAX), [1, 2, 3]);
        ring.truncate(0);
        assert!(ring.is_empty());
    }
}
