use std::time::Instant;

use super::Host;
use super::contract::log::{Host as Log, Level};
use super::contract::types::{Attribute, Value};
use crate::plugin::contract::{line as one_line, text};
use crate::plugin::limits::{self, Limits};

impl Log for Host {
    fn write(&mut self, level: Level, message: String, fields: Vec<Attribute>) -> wasmtime::Result<()> {
        if matches!(level, Level::Error) {
            // Its lines are joined when it is told.
            self.last_words = Some(text(message.clone()));
        }
        let mut line = one_line(message);
        fields.iter().take(limits::ATTRIBUTES).for_each(|field| line.push_str(&one_line(show(field))));
        let Some(dropped) = self.log.admit(line.len(), Instant::now()) else { return Ok(()) };
        self.timed(|host, _| {
            let policy = &*host.policy;
            if dropped > 0 {
                tracing::warn!(target: "salve::plugin::log", policy, "{dropped} lines dropped: too many at once");
            }
            match level {
                Level::Trace => tracing::trace!(target: "salve::plugin::log", policy, "{line}"),
                Level::Debug => tracing::debug!(target: "salve::plugin::log", policy, "{line}"),
                Level::Info => tracing::info!(target: "salve::plugin::log", policy, "{line}"),
                Level::Warn => tracing::warn!(target: "salve::plugin::log", policy, "{line}"),
                Level::Error => tracing::error!(target: "salve::plugin::log", policy, "{line}"),
            }
            Ok(())
        })
    }
}

/// Two token buckets: a plugin that logs in a loop must neither drown its neighbours nor fill the disk.
#[derive(Debug)]
pub(super) struct Meter {
    lines: Bucket,
    bytes: Bucket,
    filled: Instant,
    dropped: u64,
}

/// What may be taken, what comes back each second, and the most there can be.
#[derive(Debug)]
struct Bucket {
    left: f64,
    rate: f64,
}

impl Bucket {
    fn full(rate: usize) -> Self {
        let rate = rate as f64;
        Self { left: rate * limits::LOG_BURST as f64, rate }
    }

    fn fill(&mut self, seconds: f64) {
        self.left = (self.left + seconds * self.rate).min(self.rate * limits::LOG_BURST as f64);
    }
}

impl Meter {
    pub(super) fn new(limits: &Limits, now: Instant) -> Self {
        let (lines, bytes) = (Bucket::full(limits.log_lines), Bucket::full(limits.log_bytes));
        Self { lines, bytes, filled: now, dropped: 0 }
    }

    /// Whether a line of so many bytes may be written now: then how many were dropped before it.
    fn admit(&mut self, bytes: usize, now: Instant) -> Option<u64> {
        let seconds = now.saturating_duration_since(self.filled).as_secs_f64();
        self.filled = now;
        self.lines.fill(seconds);
        self.bytes.fill(seconds);
        if self.lines.left < 1.0 || self.bytes.left < bytes as f64 {
            self.dropped += 1;
            return None;
        }
        self.lines.left -= 1.0;
        self.bytes.left -= bytes as f64;
        Some(std::mem::take(&mut self.dropped))
    }
}

fn show(field: &Attribute) -> String {
    let key = one_line(field.key.clone());
    match &field.value {
        Value::Text(value) => format!(" {key}={:?}", text(value.clone())),
        Value::Integer(value) => format!(" {key}={value}"),
        Value::Number(value) => format!(" {key}={value}"),
        Value::Boolean(value) => format!(" {key}={value}"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn admitted(meter: &mut Meter, bytes: usize, now: Instant) -> usize {
        (0..1000).filter(|_| meter.admit(bytes, now).is_some()).count()
    }

    #[test]
    fn a_message_of_several_lines_is_one() {
        assert_eq!(
            one_line("gone\n2026-01-01 ERROR salve: forged\x1b[2J".into()),
            "gone\\n2026-01-01 ERROR salve: forged\\u{1b}[2J"
        );
    }

    #[test]
    fn lines_and_bytes_are_bounded_each_and_come_back_with_time() {
        let limits = Limits { log_lines: 5, log_bytes: 1000, ..Limits::default() };
        let start = Instant::now();
        let mut meter = Meter::new(&limits, start);
        assert_eq!(admitted(&mut meter, 1, start), 50, "lines");
        let mut meter = Meter::new(&limits, start);
        assert_eq!(admitted(&mut meter, 2000, start), 5, "bytes");
        let later = start + Duration::from_secs(2);
        assert_eq!(meter.admit(2000, later), Some(995));
        assert_eq!(meter.admit(2000, later), None);
        assert_eq!(meter.admit(1000, start + Duration::from_secs(3)), Some(1));
        // A line that is longer than all there can be is never written, and one of another clock breaks nothing.
        assert_eq!(meter.admit(10_001, start + Duration::from_secs(1000)), None);
        assert_eq!(meter.admit(1, start), Some(1));
    }
}
