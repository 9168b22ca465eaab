//! `[logs.NAME]`: files, or records of the journal.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::error::Flaw;
use super::{duration, size};
use crate::signal::collector::log::{FileSpec, FirstSeen, JournalMatch, LogSpec, Multiline, PathGlob};

/// The most bytes of a line, unless it says otherwise.
const MAX_LINE: u64 = 64 << 10;
/// The most it can say otherwise: a line is held in memory.
const LONGEST_LINE: u64 = 1 << 20;
/// The most lines of a record, unless it says otherwise.
const MAX_LINES: usize = 500;
/// How long a record of several lines may wait for its next, unless it says otherwise.
const TIMEOUT: Duration = Duration::from_secs(1);
/// The syslog words for priorities, in their order.
const PRIORITIES: [&str; 8] = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];

/// One or several.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum OneOrMore<T> {
    One(T),
    More(Vec<T>),
}

impl<T> OneOrMore<T> {
    fn into_vec(self) -> Vec<T> {
        match self {
            Self::One(one) => vec![one],
            Self::More(more) => more,
        }
    }
}

/// As it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Log {
    path: Option<Spanned<OneOrMore<PathBuf>>>,
    journal: Option<Spanned<Journal>>,
    multiline: Option<Spanned<Joined>>,
    from: Option<Spanned<FirstSeen>>,
    #[serde(default, deserialize_with = "size::read_some")]
    max_line: Option<u64>,
}

/// `multiline = { … }`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Joined {
    start: Spanned<String>,
    max_lines: Option<usize>,
    #[serde(default, deserialize_with = "duration::read_positive")]
    timeout: Option<Duration>,
}

/// `journal = { … }`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Journal {
    unit: Option<Spanned<OneOrMore<String>>>,
    priority: Option<Spanned<String>>,
    identifier: Option<Spanned<OneOrMore<String>>>,
    #[serde(rename = "match")]
    fields: Option<Spanned<OneOrMore<String>>>,
}

/// Checks one.
pub(super) fn check(name: &str, raw: Spanned<Log>) -> Result<LogSpec, Flaw> {
    let table = raw.span();
    let raw = raw.into_inner();
    if name.is_empty() || name == "journal" || name.contains(['*', '?']) {
        let message =
            format!("`{name}` cannot name a log: it is what selectors ask for, and `journal` is the journal's own");
        return Err(Flaw::new(table, message));
    }
    let max_line = raw.max_line.unwrap_or(MAX_LINE);
    if !(1..=LONGEST_LINE).contains(&max_line) {
        return Err(Flaw::new(table, "max-line is at least 1 byte and at most 1MiB"));
    }
    let max_line = usize::try_from(max_line).unwrap_or(usize::MAX);
    match (raw.path, raw.journal) {
        (Some(path), None) => Ok(LogSpec::Files(FileSpec {
            paths: paths(path)?,
            multiline: raw.multiline.map(|multiline| joined(multiline.into_inner())).transpose()?,
            from: raw.from.map(Spanned::into_inner).unwrap_or_default(),
            max_line,
        })),
        (None, Some(journal)) => {
            let foreign = raw.multiline.map(|it| ("multiline", it.span())).or(raw.from.map(|it| ("from", it.span())));
            match foreign {
                Some((key, span)) => {
                    Err(Flaw::new(span, format!("`{key}` means nothing to the journal; valid here: journal, max-line")))
                }
                None => Ok(LogSpec::Journal(JournalMatch { max_line: Some(max_line), ..matching(journal)? })),
            }
        }
        (Some(_), Some(journal)) => {
            Err(Flaw::new(journal.span(), "a log has a `path` or a `journal`, not both; make it two logs"))
        }
        (None, None) => {
            let message = format!(
                "[logs.{name}] needs `path`, for example path = \"/var/log/app/*.log\", or `journal = {{ unit = \"app.service\" }}`"
            );
            Err(Flaw::new(table, message))
        }
    }
}

fn paths(paths: Spanned<OneOrMore<PathBuf>>) -> Result<Vec<PathGlob>, Flaw> {
    let span = paths.span();
    let paths = paths.into_inner().into_vec();
    if paths.is_empty() {
        return Err(Flaw::new(span, "a log has at least one path, for example \"/var/log/app/*.log\""));
    }
    let paths = paths.iter().map(|path| PathGlob::parse(Path::new(path))).collect::<Result<_, _>>();
    paths.map_err(|message| Flaw::new(span, message))
}

fn joined(raw: Joined) -> Result<Multiline, Flaw> {
    let span = raw.start.span();
    let start = regex::bytes::Regex::new(raw.start.get_ref());
    let start =
        start.map_err(|error| Flaw::new(span.clone(), format!("`start` is not a regular expression: {error}")))?;
    let max_lines = raw.max_lines.unwrap_or(MAX_LINES);
    if max_lines < 2 {
        return Err(Flaw::new(span, "a record of several lines has at least two: max-lines = 2"));
    }
    Ok(Multiline { start, max_lines, timeout: raw.timeout.unwrap_or(TIMEOUT) })
}

fn matching(raw: Spanned<Journal>) -> Result<JournalMatch, Flaw> {
    let span = raw.span();
    let raw = raw.into_inner();
    let priority = raw.priority.map(|priority| check_priority(&priority)).transpose()?;
    let only = JournalMatch {
        units: words(raw.unit, "a unit, for example \"nginx.service\"", |unit| !unit.is_empty())?,
        priority,
        identifiers: words(raw.identifier, "a syslog identifier, for example \"sshd\"", |name| !name.is_empty())?,
        fields: words(raw.fields, "a field and its value, for example \"_TRANSPORT=kernel\"", is_field)?,
        max_line: None,
    };
    if only == JournalMatch::default() {
        let message = "which records? For example journal = { unit = \"nginx.service\", priority = \"err\" }; also identifier, match";
        return Err(Flaw::new(span, message));
    }
    Ok(only)
}

fn words(
    raw: Option<Spanned<OneOrMore<String>>>,
    wanted: &str,
    is_valid: impl Fn(&str) -> bool,
) -> Result<Vec<String>, Flaw> {
    let Some(raw) = raw else { return Ok(Vec::new()) };
    let span: Range<usize> = raw.span();
    let words = raw.into_inner().into_vec();
    match words.iter().find(|word| !is_valid(word)) {
        Some(word) => Err(Flaw::new(span, format!("`{word}` is not {wanted}"))),
        None => Ok(words),
    }
}

/// `err`, or `emerg..err`.
fn check_priority(raw: &Spanned<String>) -> Result<String, Flaw> {
    let text = raw.get_ref();
    let (from, to) = text.split_once("..").unwrap_or((text, text));
    if PRIORITIES.contains(&from) && PRIORITIES.contains(&to) {
        return Ok(text.clone());
    }
    let message = format!("`{text}` is not a priority such as \"err\" or \"emerg..err\": {}", PRIORITIES.join(", "));
    Err(Flaw::new(raw.span(), message))
}

/// `FIELD=value`, as the journal's own tool takes it, and no option.
fn is_field(text: &str) -> bool {
    let is_name = |name: &str| {
        let valid = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        !name.is_empty() && name.chars().all(valid)
    };
    text.split_once('=').is_some_and(|(name, _)| is_name(name))
}

#[cfg(test)]
mod tests {
    use super::super::Settings;
    use super::*;

    fn parse(table: &str) -> Result<LogSpec, String> {
        let text = format!("[logs.app]\n{table}\n");
        let settings = Settings::parse(Path::new("/etc/salve/salve.toml"), &text).map_err(|error| error.to_string())?;
        Ok(settings.logs["app"].clone())
    }

    #[test]
    fn files_and_journal() {
        let LogSpec::Files(files) = parse("path = \"/var/log/app/*.log\"").unwrap() else { panic!("files") };
        assert_eq!((files.paths.len(), files.from, files.max_line), (1, FirstSeen::End, 64 << 10));
        assert!(files.multiline.is_none());
        let all =
            "path = [\"/a\", \"/b/*\"]\nfrom = \"start\"\nmax-line = \"1KiB\"\nmultiline = { start = '^\\d{4}-' }";
        let LogSpec::Files(files) = parse(all).unwrap() else { panic!("files") };
        assert_eq!((files.paths.len(), files.from, files.max_line), (2, FirstSeen::Start, 1024));
        let multiline = files.multiline.unwrap();
        assert_eq!((multiline.max_lines, multiline.timeout), (500, Duration::from_secs(1)));
        let LogSpec::Journal(only) = parse("journal = { unit = \"a.service\", priority = \"err\" }").unwrap() else {
            panic!("journal")
        };
        assert_eq!((only.units.len(), only.priority.as_deref(), only.max_line), (1, Some("err"), Some(64 << 10)));
    }

    #[test]
    fn errors_name_line_and_remedy() {
        let cases = [
            ("", "salve.toml:1:1: [logs.app] needs `path`"),
            (
                "path = \"/a\"\njournal = { unit = \"x\" }",
                "salve.toml:3:11: a log has a `path` or a `journal`, not both",
            ),
            ("path = []", "at least one path"),
            ("path = \"log\"", "salve.toml:2:8: `log` is not an absolute path"),
            ("path = \"/a\"\nfrom = \"middle\"", "unknown variant `middle`, expected `end` or `start`"),
            ("path = \"/a\"\nmultiline = { start = \"(\" }", "salve.toml:3:23: `start` is not a regular expression"),
            ("path = \"/a\"\nmultiline = { begin = \"x\" }", "unknown key `begin`"),
            ("path = \"/a\"\nmultiline = { start = \"x\", max-lines = 1 }", "at least two"),
            ("path = \"/a\"\nmax-line = \"1GiB\"", "at most 1MiB"),
            ("path = \"/a\"\nmax-lin = 3", "did you mean `max-line`?"),
            ("journal = {}", "which records?"),
            ("journal = { unit = \"a\" }\nfrom = \"start\"", "salve.toml:3:8: `from` means nothing to the journal"),
            ("journal = { priority = \"error\" }", "`error` is not a priority"),
            ("journal = { match = \"--file=/x\" }", "`--file=/x` is not a field and its value"),
            ("journal = { unit = [\"\"] }", "`` is not a unit"),
        ];
        for (table, expected) in cases {
            let error = parse(table).unwrap_err();
            assert!(error.contains(expected), "{table}\n  gave {error}\n  not  {expected}");
        }
        let text = "[logs.journal]\npath = \"/a\"\n";
        let error = Settings::parse(Path::new("/etc/salve/salve.toml"), text).unwrap_err().to_string();
        assert!(error.contains("cannot name a log"), "{error}");
    }
}
