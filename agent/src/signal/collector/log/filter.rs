//! Which lines of a log somebody wants, found without looking at each.

use std::fmt;

use memchr::{memchr, memrchr};
use regex::Regex;
use regex_automata::meta;
use regex_automata::{Anchored, Input};
use regex_syntax::hir::{Class, ClassBytes, ClassBytesRange, ClassUnicode, ClassUnicodeRange, Hir, HirKind, Look};

/// The most that the searcher for all expressions together may take, in bytes; beyond it they are tried one by one.
const TOGETHER: usize = 16 << 20;

/// Finds the lines of a chunk that one of several expressions matches.
///
/// All expressions are searched for together and in the whole chunk at once: where a literal part of them is rare, the
/// searcher passes over the lines between at the speed of memory. For that each expression is rewritten so that it cannot
/// match across lines, and that `^` and `$` mean the ends of a line (as ripgrep does it). What is handed out is every line
/// that one of them matches, and no other.
pub struct Filter {
    bodies: Vec<Regex>,
    search: Search,
}

enum Search {
    /// Somebody wants every line.
    Everything,
    /// All expressions as one.
    Together(Box<meta::Regex>),
    /// They are too large for that.
    OneByOne,
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let search = match self.search {
            Search::Everything => "everything",
            Search::Together(_) => "together",
            Search::OneByOne => "one by one",
        };
        f.debug_struct("Filter").field("bodies", &self.bodies).field("search", &search).finish()
    }
}

impl Filter {
    /// Every line passes.
    pub fn everything() -> Self {
        Self { bodies: Vec::new(), search: Search::Everything }
    }

    /// Lines pass that one of these matches; without any, none does.
    pub fn new(bodies: impl IntoIterator<Item = Regex>) -> Self {
        let mut bodies: Vec<Regex> = bodies.into_iter().collect();
        bodies.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        bodies.dedup_by(|a, b| a.as_str() == b.as_str());
        let search = together(&bodies).map_or(Search::OneByOne, |all| Search::Together(Box::new(all)));
        Self { bodies, search }
    }

    /// Calls `found` with each line of the chunk that passes, without its end (`\n` or `\r\n`). The chunk holds whole lines;
    /// the last may lack its end. Bytes that are no UTF-8 are taken for U+FFFD, as in the text an instance is given.
    pub fn scan(&mut self, mut chunk: &[u8], mut found: impl FnMut(&[u8])) {
        match &self.search {
            Search::Everything => each_line(chunk, found),
            Search::OneByOne => each_line(chunk, |line| {
                if self.takes(&String::from_utf8_lossy(line)) {
                    found(line);
                }
            }),
            Search::Together(all) => {
                // To the searcher a `\r` may be part of a line or its end: such a line is looked at again by itself.
                let mut checked = |raw: &[u8]| {
                    let line = without_end(raw);
                    if memchr(b'\r', raw).is_none() || self.takes(&String::from_utf8_lossy(line)) {
                        found(line);
                    }
                };
                // The searcher knows UTF-8 only. A line with other bytes in it is looked at by itself.
                while let Err(error) = std::str::from_utf8(chunk) {
                    let (line, rest) = split_at_line(chunk, error.valid_up_to());
                    let (before, line) = chunk.split_at(line);
                    let (line, _) = line.split_at(line.len() - rest.len());
                    search(all, before, &mut checked);
                    if self.takes(&String::from_utf8_lossy(without_end(line))) {
                        checked(line);
                    }
                    chunk = rest;
                }
                search(all, chunk, &mut checked);
            }
        }
    }

    /// Whether a text passes, which may have several lines.
    pub fn takes(&self, body: &str) -> bool {
        matches!(self.search, Search::Everything) || self.bodies.iter().any(|wanted| wanted.is_match(body))
    }
}

/// One searcher for all expressions, each kept within a line; none if that would be too large.
fn together(bodies: &[Regex]) -> Option<meta::Regex> {
    let within: Option<Vec<Hir>> =
        bodies.iter().map(|body| regex_syntax::parse(body.as_str()).ok().map(within_a_line)).collect();
    let config = meta::Config::new().nfa_size_limit(Some(TOGETHER)).utf8_empty(false);
    meta::Builder::new().configure(config).build_many_from_hir(&within?).ok()
}

/// The same expression for a place amid other lines: it matches there what it matches in a line that stands alone.
fn within_a_line(hir: Hir) -> Hir {
    match hir.into_kind() {
        HirKind::Empty => Hir::empty(),
        // No line has an end within.
        HirKind::Literal(literal) if literal.0.contains(&b'\n') => Hir::fail(),
        HirKind::Literal(literal) => Hir::literal(literal.0),
        HirKind::Class(Class::Unicode(mut class)) => {
            class.difference(&ClassUnicode::new([ClassUnicodeRange::new('\n', '\n')]));
            Hir::class(Class::Unicode(class))
        }
        HirKind::Class(Class::Bytes(mut class)) => {
            class.difference(&ClassBytes::new([ClassBytesRange::new(b'\n', b'\n')]));
            Hir::class(Class::Bytes(class))
        }
        HirKind::Look(Look::Start) => Hir::look(Look::StartLF),
        // The end of a line is before `\n` and before `\r\n`.
        HirKind::Look(Look::End | Look::EndLF) => Hir::look(Look::EndCRLF),
        HirKind::Look(look) => Hir::look(look),
        HirKind::Repetition(mut repetition) => {
            repetition.sub = Box::new(within_a_line(*repetition.sub));
            Hir::repetition(repetition)
        }
        HirKind::Capture(capture) => within_a_line(*capture.sub),
        HirKind::Concat(parts) => Hir::concat(parts.into_iter().map(within_a_line).collect()),
        HirKind::Alternation(parts) => Hir::alternation(parts.into_iter().map(within_a_line).collect()),
    }
}

/// Hands out each line of valid text in which the searcher finds something, with its end.
fn search(all: &meta::Regex, chunk: &[u8], found: &mut impl FnMut(&[u8])) {
    let mut from = 0;
    // At the end of the chunk there is no further line, but an empty match.
    while from < chunk.len() {
        // Where the earliest match ends is enough: no match crosses an end of line.
        let input = Input::new(chunk).span(from..chunk.len()).anchored(Anchored::No).earliest(true);
        let Some(end) = all.search_half(&input).map(|found| found.offset()) else { return };
        if end == chunk.len() && chunk.ends_with(b"\n") {
            return;
        }
        let (start, rest) = split_at_line(chunk, end);
        let next = chunk.len() - rest.len();
        found(chunk.get(start..next).unwrap_or_default());
        from = next;
    }
}

/// Where the line begins that holds the byte at `at`, and what comes after that line.
fn split_at_line(chunk: &[u8], at: usize) -> (usize, &[u8]) {
    let (before, after) = chunk.split_at(at.min(chunk.len()));
    let start = memrchr(b'\n', before).map_or(0, |end| end + 1);
    let rest = memchr(b'\n', after).and_then(|end| after.get(end + 1..)).unwrap_or_default();
    (start, rest)
}

fn each_line(mut chunk: &[u8], mut found: impl FnMut(&[u8])) {
    while !chunk.is_empty() {
        let (line, rest) = chunk.split_at(memchr(b'\n', chunk).map_or(chunk.len(), |end| end + 1));
        found(without_end(line));
        chunk = rest;
    }
}

/// A line without `\n` or `\r\n`.
pub(super) fn without_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn filter(bodies: &[&str]) -> Filter {
        Filter::new(bodies.iter().map(|body| Regex::new(body).unwrap()))
    }

    fn lines(filter: &mut Filter, chunk: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        filter.scan(chunk, |line| lines.push(String::from_utf8_lossy(line).into_owned()));
        lines
    }

    #[test]
    fn lines_pass_that_match_and_no_others() {
        let chunk = b"GET / 200\nOutOfMemoryError: heap\r\nerror\nan error\n\nlast error";
        assert_eq!(
            lines(&mut filter(&["OutOfMemory", "^error$", "error$"]), chunk),
            ["OutOfMemoryError: heap", "error", "an error", "last error"]
        );
        assert_eq!(lines(&mut filter(&["^$"]), chunk), [""]);
        assert_eq!(lines(&mut filter(&["\\Aerror\\z", "heap\\z"]), chunk), ["OutOfMemoryError: heap", "error"]);
        assert_eq!(lines(&mut filter(&["200\\s+Out", "heap[^x]error", "(?s)200.Out", "200\n"]), chunk), [""; 0]);
        assert_eq!(lines(&mut filter(&[]), chunk), [""; 0]);
        assert_eq!(lines(&mut Filter::everything(), b"a\n\nb").len(), 3);
    }

    #[test]
    fn what_is_no_utf_8_is_what_the_text_shows() {
        let chunk = b"fine\ncaf\xe9 broken\n\xff\n\xfe\xfe error\nfine error\n\xe2\x82";
        assert_eq!(
            lines(&mut filter(&["caf. broken", "error"]), chunk),
            ["caf\u{fffd} broken", "\u{fffd}\u{fffd} error", "fine error"]
        );
        assert_eq!(lines(&mut filter(&["^\u{fffd}$"]), chunk), ["\u{fffd}", "\u{fffd}"]);
    }

    #[test]
    fn expressions_too_large_to_be_one_are_tried_one_by_one() {
        let bodies: Vec<String> = (0..40).map(|n| format!("\\w{{{}}}x", 50 + n)).collect();
        let mut large = filter(&bodies.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(matches!(large.search, Search::OneByOne), "{large:?}");
        assert_eq!(lines(&mut large, format!("{}x\nshort x\n", "a".repeat(60)).as_bytes()).len(), 1);
    }

    proptest! {
        /// Against the plain way: split, decode, match.
        #[test]
        fn a_scan_is_as_good_as_looking_at_each_line(
            bytes in proptest::collection::vec(proptest::sample::select(b"ab\n\n\r \xc3\xa9\xff".to_vec()), 0..60),
            bodies in proptest::collection::vec(proptest::sample::select(vec![
                "a", "^a", "a$", "^$", "a\\s*b", "[^a]b", "\\bb", "\\B", "(?m)^b$", "\\Aab?\\z", "(a|b)+$", "é", ".", "\u{fffd}",
                "a.b", "x*", "(?i)A\\W", "\\n", "(?s)a.", "$", "\\b{start}a",
            ]), 0..4),
        ) {
            let mut filter = filter(&bodies);
            let mut expected = Vec::new();
            each_line(&bytes, |line| {
                let text = String::from_utf8_lossy(line).into_owned();
                if filter.takes(&text) {
                    expected.push(text);
                }
            });
            prop_assert_eq!(lines(&mut filter, &bytes), expected, "{:?}", bodies);
        }
    }
}
