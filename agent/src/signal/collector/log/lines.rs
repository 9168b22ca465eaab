//! A stream of bytes, cut into whole lines.

use memchr::{memchr, memrchr};

/// Keeps what is left of a stream behind its last end of line, until the rest of that line comes. Of a line that is longer
/// than the limit nothing is kept beyond it: a gigabyte without an end of line takes no more memory than the limit.
#[derive(Debug)]
pub(super) struct Lines {
    carry: Vec<u8>,
    limit: usize,
    /// The line was longer than the limit; what comes is passed over up to its end.
    skipping: bool,
}

impl Lines {
    /// Lines of up to `limit` bytes. `skipping` if the stream begins within a line that was handed out already.
    pub(super) fn new(limit: usize, skipping: bool) -> Self {
        Self { carry: Vec::new(), limit, skipping }
    }

    /// Takes the next bytes of the stream and calls `whole` with stretches of one or more whole lines. A line that is too long
    /// is handed out once, alone, with more than `limit` bytes and without its end.
    pub(super) fn feed(&mut self, mut bytes: &[u8], mut whole: impl FnMut(&[u8])) {
        if self.skipping || !self.carry.is_empty() {
            let end = memchr(b'\n', bytes).map(|end| end + 1);
            let (first, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
            if !self.skipping {
                self.carry.extend_from_slice(first);
            }
            if end.is_none() {
                return self.cut(whole);
            }
            if !self.skipping {
                whole(&self.carry);
            }
            self.carry = Vec::new();
            self.skipping = false;
            bytes = rest;
        }
        let (lines, rest) = bytes.split_at(memrchr(b'\n', bytes).map_or(0, |end| end + 1));
        if !lines.is_empty() {
            whole(lines);
        }
        if !rest.is_empty() {
            self.carry.extend_from_slice(rest);
            self.cut(whole);
        }
    }

    fn cut(&mut self, mut whole: impl FnMut(&[u8])) {
        if self.carry.len() > self.limit {
            whole(&self.carry);
            self.carry = Vec::new();
            self.skipping = true;
        }
    }

    /// The stream has ended: hands out a last line that has no end.
    pub(super) fn finish(&mut self, mut whole: impl FnMut(&[u8])) {
        let last = std::mem::take(&mut self.carry);
        if !last.is_empty() {
            whole(&last);
        }
        self.skipping = false;
    }

    /// How many bytes are kept.
    pub(super) fn kept(&self) -> usize {
        self.carry.len()
    }

    /// The most bytes of a line that are kept.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Whether the line under way is passed over.
    pub(super) fn is_skipping(&self) -> bool {
        self.skipping
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_without_end_takes_no_more_than_the_limit() {
        let mut lines = Lines::new(100, false);
        let mut found = Vec::new();
        for _ in 0..1000 {
            lines.feed(&[b'x'; 64], |whole| found.push(whole.len()));
            assert!(lines.kept() <= 164);
        }
        assert_eq!(found, [128]);
        lines.feed(b"x\nnext\nlast", |whole| found.push(whole.len()));
        lines.finish(|whole| found.push(whole.len()));
        assert_eq!(found, [128, 5, 4]);
    }

    proptest! {
        #[test]
        fn however_a_stream_comes_in_pieces_its_lines_are_the_same(
            bytes in proptest::collection::vec(proptest::sample::select(b"abc\n".to_vec()), 0..80),
            cuts in proptest::collection::vec(0_usize..9, 0..40),
        ) {
            let mut lines = Lines::new(1000, false);
            let mut found = Vec::new();
            let mut rest = &bytes[..];
            for cut in cuts {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                lines.feed(piece, |whole| { assert!(whole.ends_with(b"\n")); found.extend_from_slice(whole); });
                rest = after;
            }
            lines.feed(rest, |whole| found.extend_from_slice(whole));
            prop_assert_eq!(found.len() + lines.kept(), bytes.len());
            lines.finish(|whole| found.extend_from_slice(whole));
            prop_assert_eq!(found, bytes);
        }
    }
}
