use std::time::Duration;

use super::perfdata::Datum;
use crate::clock::Timestamp;
use crate::signal::{Attribute, Event, Name, Sample, SeriesName, Value};

/// Characters of a message.
const MAX_MESSAGE: usize = 300;
/// Characters of the text of an event.
const MAX_TEXT: usize = 8192;

/// How something is, from best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Status {
    /// It answers as expected.
    Up,
    /// It does, and says that something is not as it should be.
    Warning,
    /// It could not be asked: what is broken may be the probe.
    Unknown,
    /// It does not answer, or not as expected.
    Down,
}

impl Status {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Warning => "warning",
            Self::Unknown => "unknown",
            Self::Down => "down",
        }
    }

    /// Whether what was asked does not work, as far as one can tell.
    pub(super) fn is_bad(self) -> bool {
        matches!(self, Self::Unknown | Self::Down)
    }
}

/// What one run of a probe found.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Answer {
    pub(super) status: Status,
    /// In a line.
    pub(super) message: String,
    /// Whatever else was said.
    pub(super) text: String,
    /// The status of an HTTP answer.
    pub(super) http_status: Option<u16>,
    /// When the certificate that was shown ends: seconds since the Unix epoch.
    pub(super) expiry: Option<Duration>,
    /// What a command measured.
    pub(super) perfdata: Vec<Datum>,
    /// How much of that was too much.
    pub(super) dropped: u64,
    /// How long it took.
    pub(super) took: Duration,
}

impl Answer {
    pub(super) fn new(status: Status, message: impl AsRef<str>) -> Self {
        Self {
            status,
            message: one_line(message.as_ref()),
            text: String::new(),
            http_status: None,
            expiry: None,
            perfdata: Vec::new(),
            dropped: 0,
            took: Duration::ZERO,
        }
    }

    pub(super) fn up(message: impl AsRef<str>) -> Self {
        Self::new(Status::Up, message)
    }

    pub(super) fn down(message: impl AsRef<str>) -> Self {
        Self::new(Status::Down, message)
    }

    pub(super) fn unknown(message: impl AsRef<str>) -> Self {
        Self::new(Status::Unknown, message)
    }

    /// As an event about the probe `name` that says it is `status`.
    pub(super) fn event(
        &self,
        event: &'static str,
        name: &str,
        kind: &str,
        status: Status,
        failures: u32,
        at: Timestamp,
    ) -> Event {
        let mut attributes = vec![
            Attribute::new("probe.status", status.as_str()),
            Attribute::new("probe.kind", kind),
            Attribute::new("probe.message", self.message.as_str()),
            Attribute::new("probe.duration", self.took.as_secs_f64()),
            Attribute::new("probe.failures", failures),
        ];
        let mut known = |key, value: Option<Value>| attributes.extend(value.map(|value| Attribute::new(key, value)));
        known("http.response.status_code", self.http_status.map(|code| Value::Integer(code.into())));
        known("tls.certificate.remaining", self.remaining(at).map(Value::Number));
        let body = if self.text.is_empty() { self.message.clone() } else { format!("{}\n{}", self.message, self.text) };
        let body = body.chars().take(MAX_TEXT).collect();
        Event { name: event.into(), subject: name.to_owned(), attributes, body, at, caused_by: None }
    }

    /// As samples of the probe `name`.
    pub(super) fn samples(&self, name: &str, at: Timestamp) -> Vec<Sample> {
        let own = ("probe.name", name);
        let sample = |metric: &'static str, more: &[(&'static str, &str)], value| {
            let attributes = std::iter::once(&own).chain(more).map(|(key, value)| (Name::from(*key), (*value).into()));
            let attributes = attributes.collect();
            Sample { series: SeriesName { metric: metric.into(), attributes }, value }
        };
        let mut samples = vec![
            sample("probe.duration", &[], self.took.as_secs_f64()),
            sample("probe.success", &[], f64::from(u8::from(!self.status.is_bad()))),
        ];
        samples.extend(self.remaining(at).map(|remaining| sample("tls.certificate.remaining", &[], remaining)));
        samples.extend(
            self.perfdata.iter().map(|datum| {
                sample("probe.perfdata", &[("label", &*datum.label), ("unit", &*datum.unit)], datum.value)
            }),
        );
        samples
    }

    /// Seconds until the certificate ends; less than 0 once it has.
    fn remaining(&self, at: Timestamp) -> Option<f64> {
        let now = Duration::from_nanos(at.as_nanos()).as_secs_f64();
        self.expiry.map(|expiry| expiry.as_secs_f64() - now)
    }
}

/// Text as one line of bounded length without control characters.
fn one_line(text: &str) -> String {
    let line = text.trim().chars().map(|char| if char.is_control() { ' ' } else { char });
    line.take(MAX_MESSAGE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_one_line_and_bounded() {
        let answer =
            Answer { text: "y".repeat(100_000), ..Answer::down(format!(" a\r\n\u{1b}[31m{}", "x".repeat(9999))) };
        assert_eq!(answer.message.chars().count(), MAX_MESSAGE);
        assert!(answer.message.starts_with("a   [31mxxx"), "{}", answer.message);
        let event = answer.event("probe.result", "web", "http", Status::Down, 2, Timestamp::default());
        assert_eq!(event.body.len(), MAX_TEXT);
        assert_eq!(event.attributes[4], Attribute::new("probe.failures", Value::Integer(2)));
    }

    #[test]
    fn a_certificate_that_has_ended_has_less_than_nothing_left() {
        let answer = Answer { expiry: Some(Duration::from_secs(100)), ..Answer::down("expired") };
        let samples = answer.samples("web", Timestamp::from_nanos(160_000_000_000));
        let of =
            |metric: &str| samples.iter().find(|sample| sample.series.metric == *metric).map(|sample| sample.value);
        assert_eq!((of("tls.certificate.remaining"), of("probe.success")), (Some(-60.0), Some(0.0)));
    }
}
