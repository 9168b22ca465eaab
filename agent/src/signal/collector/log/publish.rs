//! From a record to an event.

use std::path::Path;
use std::time::Duration;

use super::gate::Gate;
use crate::clock::Timestamp;
use crate::signal::collector::Context;
use crate::signal::{Attribute, Event, Name};

/// The name of the event that is a log record.
pub(super) const RECORD: &str = "log.record";
/// The name of the event that says that a log came faster than it is published.
const DROPPED: &str = "log.dropped";

/// Publishes the records of one log, as many in a second as is good for anybody.
#[derive(Debug)]
pub(super) struct Publisher {
    pub(super) context: Context,
    /// What `[logs.NAME]` calls it, or `journal`.
    pub(super) log: String,
    /// How its health is called.
    pub(super) source: String,
    /// The most bytes of a line that are published.
    pub(super) max_line: usize,
    gate: Gate,
}

impl Publisher {
    /// Of the log `log`.
    pub(super) fn new(context: Context, log: &str, max_line: usize) -> Self {
        Self { context, log: log.to_owned(), source: format!("log/{log}"), max_line, gate: Gate::default() }
    }

    /// A line of a file. What is no UTF-8 is replaced, what is beyond the limit is cut off.
    pub(super) fn line(&mut self, path: &Path, line: &[u8]) {
        if !self.admits() {
            return;
        }
        let mut attributes = file_attributes(path);
        let kept = line.get(..self.max_line).unwrap_or(line);
        if kept.len() < line.len() {
            attributes.push(Attribute::new("log.cut", true));
        }
        let at = self.context.clock.now().wall;
        let body = String::from_utf8_lossy(kept).into_owned();
        self.publish(RECORD, self.log.clone(), attributes, body, at);
    }

    /// A record of the journal.
    pub(super) fn record(&mut self, subject: String, attributes: Vec<Attribute>, body: String, at: Timestamp) {
        if self.admits() {
            self.publish(RECORD, subject, attributes, body, at);
        }
    }

    /// Something that happened to a file, not in it: `log.rotated`, `log.truncated`.
    pub(super) fn happened(&self, name: &'static str, path: &Path) {
        tracing::debug!(log = self.log, path = %path.display(), name);
        self.publish(name, self.log.clone(), file_attributes(path), String::new(), self.context.clock.now().wall);
    }

    /// So many records had to be dropped before they were looked at.
    pub(super) fn lost(&self, count: u64) {
        self.context.health.dropped(&self.source, count);
    }

    /// When [`tell_dropped`](Self::tell_dropped) is due.
    pub(super) fn due(&self) -> Option<Duration> {
        self.gate.due()
    }

    /// Tells how many records were dropped in the second before.
    pub(super) fn tell_dropped(&mut self) {
        let now = self.context.clock.now();
        if let Some(count) = self.gate.take_dropped(now.mono) {
            self.context.health.dropped(&self.source, count);
            let count = Attribute::new("log.dropped.count", i64::try_from(count).unwrap_or(i64::MAX));
            self.publish(DROPPED, self.log.clone(), vec![count], String::new(), now.wall);
        }
    }

    fn admits(&mut self) -> bool {
        // First what the second before has left, for the gate begins a new one.
        self.tell_dropped();
        self.gate.pass(self.context.clock.now().mono)
    }

    fn publish(&self, name: &'static str, subject: String, attributes: Vec<Attribute>, body: String, at: Timestamp) {
        let event = Event { name: Name::from(name), subject, attributes, body, at, caused_by: None };
        self.context.router.publish(event);
    }
}

fn file_attributes(path: &Path) -> Vec<Attribute> {
    vec![Attribute::new("log.source", "file"), Attribute::new("log.file.path", path.to_string_lossy().into_owned())]
}
