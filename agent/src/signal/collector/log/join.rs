//! Records of several lines: a stack trace is one.

use std::time::Duration;

use memchr::memchr;
use regex::bytes::Regex;

use super::filter::without_end;

/// The most bytes a joined record has; what is beyond begins another.
const MAX_BYTES: usize = 256 * 1024;

/// `multiline = { … }`: which lines belong together.
#[derive(Debug, Clone)]
pub struct Multiline {
    /// What the first line of a record looks like; any other line joins the record before.
    pub start: Regex,
    /// The most lines of a record; what is beyond begins another.
    pub max_lines: usize,
    /// A record is complete when no line has come for so long.
    pub timeout: Duration,
}

/// Joins lines to records.
#[derive(Debug)]
pub(super) struct Joiner {
    rule: Multiline,
    record: Vec<u8>,
    lines: usize,
    /// How many bytes of the stream the record under way took.
    raw: usize,
    /// When its last line came.
    last: Duration,
}

impl Joiner {
    pub(super) fn new(rule: Multiline) -> Self {
        Self { rule, record: Vec::new(), lines: 0, raw: 0, last: Duration::ZERO }
    }

    /// Takes whole lines that came at `now`, and calls `complete` with each record they complete.
    pub(super) fn feed(&mut self, mut chunk: &[u8], now: Duration, mut complete: impl FnMut(&[u8])) {
        self.last = now;
        while !chunk.is_empty() {
            let (raw, rest) = chunk.split_at(memchr(b'\n', chunk).map_or(chunk.len(), |end| end + 1));
            chunk = rest;
            let line = without_end(raw);
            let is_full = self.lines >= self.rule.max_lines || self.record.len() + line.len() > MAX_BYTES;
            if is_full || self.rule.start.is_match(line) {
                self.finish(&mut complete);
            }
            if self.lines > 0 {
                self.record.push(b'\n');
            }
            self.record.extend_from_slice(line);
            self.lines += 1;
            self.raw += raw.len();
        }
    }

    /// Hands out the record under way.
    pub(super) fn finish(&mut self, mut complete: impl FnMut(&[u8])) {
        if self.lines > 0 {
            complete(&self.record);
        }
        self.record = Vec::new();
        self.lines = 0;
        self.raw = 0;
    }

    /// When the record under way is complete if no further line comes.
    pub(super) fn due(&self) -> Option<Duration> {
        (self.lines > 0).then(|| self.last + self.rule.timeout)
    }

    /// How many bytes of the stream the record under way took.
    pub(super) fn kept(&self) -> usize {
        self.raw
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joiner(max_lines: usize) -> Joiner {
        let start = Regex::new(r"^\d{4}-").unwrap();
        Joiner::new(Multiline { start, max_lines, timeout: Duration::from_secs(1) })
    }

    fn feed(joiner: &mut Joiner, chunk: &[u8]) -> Vec<String> {
        let mut records = Vec::new();
        joiner.feed(chunk, Duration::from_secs(5), |record| records.push(String::from_utf8(record.to_vec()).unwrap()));
        records
    }

    #[test]
    fn lines_that_do_not_begin_a_record_join_the_one_before() {
        let mut joiner = joiner(500);
        assert_eq!(joiner.due(), None);
        let first = feed(&mut joiner, b"rest\r\n2026-01-01 boom\n  at a\n");
        assert_eq!(first, ["rest"]);
        assert_eq!((joiner.due(), joiner.kept()), (Some(Duration::from_secs(6)), 23));
        assert_eq!(feed(&mut joiner, b"  at b\n2026-01-02 fine\n"), ["2026-01-01 boom\n  at a\n  at b"]);
        let mut last = Vec::new();
        joiner.finish(|record| last.extend_from_slice(record));
        assert_eq!((last.as_slice(), joiner.kept()), (&b"2026-01-02 fine"[..], 0));
    }

    #[test]
    fn a_record_has_an_end_even_if_none_begins() {
        assert_eq!(feed(&mut joiner(2), b"a\nb\nc\nd\ne\n"), ["a\nb", "c\nd"]);
        let mut endless = joiner(usize::MAX);
        for _ in 0..10_000 {
            feed(&mut endless, format!("{}\n", "x".repeat(999)).as_bytes());
            assert!(endless.record.len() <= MAX_BYTES + 1000);
        }
    }
}
