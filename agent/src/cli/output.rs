//! Pages of text for people, JSON for programs.

use std::fmt::Display;
use std::io::{ErrorKind, Write, stdout};

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use crate::clock::Timestamp;

/// What a command says, put together before any of it is printed.
#[derive(Debug, Default)]
pub(super) struct Page(String);

impl Page {
    /// A line.
    pub(super) fn line(&mut self, line: impl Display) {
        self.0 += &format!("{line}\n");
    }

    /// An empty line.
    pub(super) fn gap(&mut self) {
        self.0.push('\n');
    }

    /// Rows under a heading, without lines around them.
    pub(super) fn table<const N: usize>(&mut self, heading: [&str; N], rows: impl IntoIterator<Item = [String; N]>) {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(heading);
        table.add_rows(rows);
        table.lines().for_each(|line| self.line(line.trim_end()));
    }

    /// What a terminal would obey is written out: names and reasons come from plugins, files and programs.
    fn harmless(&self) -> String {
        let mut out = String::with_capacity(self.0.len());
        for c in self.0.chars() {
            if c != '\n' && c != '\t' && c.is_control() { out.extend(c.escape_default()) } else { out.push(c) }
        }
        out
    }

    /// Prints it. A reader that has seen enough (`| head`) is no error.
    pub(super) fn print(self) -> anyhow::Result<()> {
        match stdout().write_all(self.harmless().as_bytes()).and_then(|()| stdout().flush()) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
            _ => Ok(()),
        }
    }
}

/// Prints a value as JSON.
pub(super) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    let mut page = Page::default();
    page.line(escaped(&serde_json::to_string_pretty(value)?));
    page.print()
}

/// JSON may hold characters that a terminal obeys as they are, above 7E; it has another way to write them.
fn escaped(json: &str) -> String {
    let plain = |c: char| if c != '\n' && c.is_control() { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() };
    json.chars().map(plain).collect()
}

/// A time as people read it in a table: RFC 3339 to the second.
pub(super) fn time(at: Timestamp) -> String {
    let text = at.to_string();
    match text.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_stays_json() {
        let text = "a\x1b\u{9b}\x7f\n\"ü";
        let json = escaped(&serde_json::to_string(text).unwrap());
        assert!(!json.contains(char::is_control), "{json}");
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }

    #[test]
    fn a_terminal_obeys_nothing_of_a_page() {
        let mut page = Page::default();
        page.line("a\x1b[2J\u{9b}b\r\tü");
        page.table(["A\x1b"], [["b\x07".to_owned()]]);
        assert_eq!(page.harmless(), "a\\u{1b}[2J\\u{9b}b\\r\tü\n A\\u{1b}\n b\\u{7}\n");
    }
}
