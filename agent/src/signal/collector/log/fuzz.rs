//! A log file that anybody may write to.

use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use regex::bytes::Regex;

use super::Multiline;
use super::filter::Filter;
use super::join::Joiner;
use super::lines::Lines;
use crate::fuzzing::Bytes;

/// The longest line.
const LIMIT: usize = 64;

/// However a stream comes in pieces, its records are the same, and hold all of its lines.
///
/// The first byte says how many lines a record has at most, the second how long the pieces are.
pub fn lines(bytes: &[u8]) {
    let mut bytes = Bytes::new(bytes);
    let max_lines = usize::from(bytes.byte() % 8) + 1;
    let piece = usize::from(bytes.byte()) + 1;
    let stream = bytes.take(usize::MAX);
    static START: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^(\d{4}-|\[|[A-Z])").ok());
    let Some(start) = START.clone() else { return };
    let rule = Multiline { start, max_lines, timeout: Duration::from_secs(1) };
    let records = |piece: usize| {
        let (mut lines, mut joiner, mut records) = (Lines::new(LIMIT, false), Joiner::new(rule.clone()), Vec::new());
        let mut record = |record: &[u8]| {
            assert!(record.iter().filter(|byte| **byte == b'\n').count() < max_lines);
            records.push(record.to_vec());
        };
        for piece in stream.chunks(piece) {
            lines.feed(piece, |whole| joiner.feed(whole, Duration::ZERO, &mut record));
            assert!(lines.kept() <= LIMIT);
        }
        lines.finish(|whole| joiner.feed(whole, Duration::ZERO, &mut record));
        joiner.finish(&mut record);
        records
    };
    // Of lines that are too long, more or less is handed out, depending on the pieces.
    let in_pieces = records(piece);
    if stream.split(|byte| *byte == b'\n').all(|line| line.len() <= LIMIT) {
        assert_eq!(in_pieces, records(stream.len().max(1)));
        let text: Vec<u8> = in_pieces.join(&b'\n').into_iter().filter(|byte| *byte != b'\r').collect();
        let without_end = stream.strip_suffix(b"\n").unwrap_or(stream);
        let all: Vec<u8> = without_end.iter().copied().filter(|byte| *byte != b'\r').collect();
        assert_eq!(text, all);
    }
    let mut passed = 0;
    Filter::everything().scan(stream, |line| passed += line.len() + 1);
    assert!(passed <= stream.len() + 1);
    is_the_same_together(stream);
}

/// What somebody wants of a log, each by itself and all together: made once, because that takes longer than all the rest.
static WANTED: LazyLock<(Vec<regex::Regex>, Mutex<Filter>)> = LazyLock::new(|| {
    let bodies = [r"^ERROR", r"time(d )?out$", r"(?i)panic|oom", r"\bé?\s+x*$"];
    let bodies: Vec<regex::Regex> = bodies.into_iter().filter_map(|body| regex::Regex::new(body).ok()).collect();
    (bodies.clone(), Mutex::new(Filter::new(bodies)))
});

/// Searching for several expressions at once finds what each of them finds in a line by itself.
fn is_the_same_together(stream: &[u8]) {
    let (bodies, filter) = &*WANTED;
    let (mut found, mut alone) = (Vec::new(), Vec::new());
    filter.lock().unwrap_or_else(PoisonError::into_inner).scan(stream, |line| found.push(line.to_vec()));
    Filter::everything().scan(stream, |line| {
        let text = String::from_utf8_lossy(line);
        if bodies.iter().any(|body| body.is_match(&text)) {
            alone.push(line.to_vec());
        }
    });
    assert_eq!(found, alone);
}
