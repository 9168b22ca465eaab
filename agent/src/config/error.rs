use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The least likeness (Jaro–Winkler, 0..1) at which a key is offered as the one that was meant.
const LIKENESS: f64 = 0.7;

/// A place in a file, for people: both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Location {
    /// Line.
    pub line: usize,
    /// Column, in characters.
    pub column: usize,
}

impl Location {
    /// Where byte `offset` of `text` is.
    fn of(text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = before.get(line_start..).map_or(0, |line| line.chars().count()) + 1;
        Self { line: before.matches('\n').count() + 1, column }
    }
}

/// Something wrong in a stretch of a file's text, before it is said in which file.
#[derive(Debug)]
pub(super) struct Flaw {
    span: Range<usize>,
    message: String,
}

impl Flaw {
    /// About the bytes in `span`.
    pub(super) fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { span, message: message.into() }
    }

    /// Now that the file is known.
    pub(super) fn within(self, file: &Path, text: &str) -> ConfigError {
        ConfigError::at(file, text, Some(self.span), self.message)
    }
}

/// Something wrong in a configuration file: what, where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// Which file.
    pub file: PathBuf,
    /// Where in it, if it is about one place.
    pub location: Option<Location>,
    /// What is wrong and what to do.
    pub message: String,
}

impl fmt::Display for ConfigError {
    /// `policies.d/web.toml:3:1: unknown key `mod`; did you mean `mode`?`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(Location { line, column }) = self.location {
            write!(f, "{line}:{column}:")?;
        }
        write!(f, " {}", self.message)
    }
}

impl ConfigError {
    /// About a whole file.
    pub fn file(file: &Path, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), location: None, message: message.into() }
    }

    /// About a stretch of its text.
    pub fn at(file: &Path, text: &str, span: Option<Range<usize>>, message: impl Into<String>) -> Self {
        let location = span.map(|span| Location::of(text, span.start));
        Self { file: file.to_owned(), location, message: message.into() }
    }

    /// From what the TOML reader says.
    pub(super) fn toml(file: &Path, text: &str, error: &toml::de::Error) -> Self {
        Self::at(file, text, error.span(), explain(error.message()))
    }
}

/// serde's words for an unknown field, in ours, with the nearest valid key.
fn explain(message: &str) -> String {
    let Some(rest) = message.strip_prefix("unknown field `") else {
        return message.trim_end().to_owned();
    };
    let Some((key, expected)) = rest.split_once('`') else {
        return message.to_owned();
    };
    unknown_key(key, &expected.split('`').skip(1).step_by(2).collect::<Vec<_>>())
}

/// Says that a key is unknown, and which of the valid ones was probably meant.
pub(crate) fn unknown_key(key: &str, valid: &[&str]) -> String {
    let likeness = |candidate: &&str| strsim::jaro_winkler(key, candidate);
    let nearest = valid.iter().copied().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match nearest.filter(|nearest| likeness(nearest) >= LIKENESS) {
        Some(nearest) => format!("unknown key `{key}`; did you mean `{nearest}`?"),
        None if valid.is_empty() => format!("unknown key `{key}`; no keys are valid here"),
        None => format!("unknown key `{key}`; valid here: {}", valid.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_answered_with_the_nearest_or_all_of_them() {
        let likely = explain("unknown field `atempts`, expected one of `attempts`, `backoff`, `cooldown`");
        assert_eq!(likely, "unknown key `atempts`; did you mean `attempts`?");
        let unlike = explain("unknown field `zzz`, expected `mode` or `plugin`");
        assert_eq!(unlike, "unknown key `zzz`; valid here: mode, plugin");
    }

    #[test]
    fn lines_and_columns_count_from_one() {
        let text = "a = 1\nwörd = 2\n";
        assert_eq!(Location::of(text, 0), Location { line: 1, column: 1 });
        assert_eq!(Location::of(text, text.find("= 2").unwrap()), Location { line: 2, column: 6 });
        assert_eq!(Location::of(text, 999).line, 3);
    }
}
