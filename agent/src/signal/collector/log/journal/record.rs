//! A record of the journal, as JSON.

use serde::Deserialize;

use super::arguments::SEVERITIES;
use crate::clock::Timestamp;
use crate::signal::{Attribute, Value};

/// The fields that are used; the cursor and the time come by themselves.
pub(super) const FIELDS: [&str; 9] = [
    "MESSAGE",
    "PRIORITY",
    "SYSLOG_IDENTIFIER",
    "_COMM",
    "_PID",
    "_SYSTEMD_UNIT",
    "UNIT",
    "COREDUMP_UNIT",
    "_TRANSPORT",
];

/// What is used of a record.
#[derive(Debug, Deserialize)]
pub(super) struct Record {
    #[serde(rename = "__CURSOR")]
    pub(super) cursor: String,
    #[serde(rename = "__REALTIME_TIMESTAMP", default)]
    time: Field,
    #[serde(rename = "MESSAGE", default)]
    message: Field,
    #[serde(rename = "PRIORITY", default)]
    priority: Field,
    #[serde(rename = "SYSLOG_IDENTIFIER", default)]
    identifier: Field,
    #[serde(rename = "_COMM", default)]
    executable: Field,
    #[serde(rename = "_PID", default)]
    pid: Field,
    #[serde(rename = "_SYSTEMD_UNIT", default)]
    unit: Field,
    #[serde(rename = "UNIT", default)]
    about: Field,
    #[serde(rename = "COREDUMP_UNIT", default)]
    dumped: Field,
    #[serde(rename = "_TRANSPORT", default)]
    transport: Field,
}

/// A field's value: text; its bytes where it is no text; a list of both where the field is there several times; null where it
/// was too large.
#[derive(Debug, Default, Deserialize)]
#[serde(untagged)]
enum Field {
    Text(String),
    Bytes(Vec<u8>),
    Several(Vec<Field>),
    Number(i64),
    #[default]
    Null,
}

impl Field {
    /// The first value as text.
    fn text(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.clone()),
            Self::Bytes(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            Self::Several(all) => all.iter().find_map(Self::text),
            Self::Number(number) => Some(number.to_string()),
            Self::Null => None,
        }
    }

    fn str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Several(all) => all.iter().find_map(Self::str),
            _ => None,
        }
    }

    fn number<T: std::str::FromStr>(&self) -> Option<T> {
        self.text()?.parse().ok()
    }
}

impl Record {
    /// Reads one line of `journalctl --output=json`.
    pub(super) fn parse(line: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(line)
    }

    /// The message, cut to `limit` bytes; none if there is none, or if it was too large.
    pub(super) fn body(&self, limit: usize) -> Option<String> {
        let mut body = self.message.text()?;
        body.truncate(body.floor_char_boundary(limit));
        Some(body)
    }

    /// When it was written.
    pub(super) fn at(&self) -> Option<Timestamp> {
        self.time.number::<u64>().map(|micros| Timestamp::from_nanos(micros.saturating_mul(1000)))
    }

    /// What it is about: the unit that said it, or of which systemd or the core dump handler said it; the program where there is
    /// no unit.
    pub(super) fn subject(&self) -> &str {
        self.service().or(self.identifier.str()).or(self.executable.str()).unwrap_or("kernel")
    }

    /// The unit. What a record claims to be about is believed of systemd alone: fields that begin with `_` are the journal's
    /// own, others are the writer's.
    fn service(&self) -> Option<&str> {
        let unit = self.unit.str();
        let is_systemd = self.pid.str() == Some("1");
        let is_dump = unit.is_some_and(|unit| unit.starts_with("systemd-coredump@"));
        let about = if is_systemd { self.about.str() } else { None };
        about.or(if is_dump { self.dumped.str() } else { None }).or(unit)
    }

    /// Details.
    pub(super) fn attributes(&self) -> Vec<Attribute> {
        let mut attributes = vec![Attribute::new("log.source", "journal")];
        let mut known =
            |key: &str, value: Option<Value>| attributes.extend(value.map(|value| Attribute::new(key, value)));
        let severity = self.priority.number::<usize>().and_then(|priority| SEVERITIES.get(priority).copied());
        known("log.severity", severity.map(Value::from));
        known("process.pid", self.pid.number::<i64>().map(Value::from));
        known("process.executable.name", self.executable.str().map(Value::from));
        known("service.name", self.service().map(Value::from));
        known("syslog.identifier", self.identifier.str().map(Value::from));
        known("log.transport", self.transport.str().map(Value::from));
        attributes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Record {
        Record::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_record_of_a_service() {
        let record = parse(
            r#"{"__CURSOR":"s=3;i=1","__REALTIME_TIMESTAMP":"1700000000123456","_BOOT_ID":"b","MESSAGE":"upstream timed out",
            "PRIORITY":"3","_PID":"812","_COMM":"nginx","SYSLOG_IDENTIFIER":"nginx","_SYSTEMD_UNIT":"nginx.service",
            "UNIT":"forged.service","_TRANSPORT":"syslog"}"#,
        );
        assert_eq!((record.subject(), record.cursor.as_str()), ("nginx.service", "s=3;i=1"));
        assert_eq!(record.body(8).as_deref(), Some("upstream"));
        assert_eq!(record.at(), Some(Timestamp::from_nanos(1_700_000_000_123_456_000)));
        let attributes = record.attributes();
        for attribute in [
            Attribute::new("log.severity", "err"),
            Attribute::new("process.pid", 812_i64),
            Attribute::new("service.name", "nginx.service"),
            Attribute::new("syslog.identifier", "nginx"),
        ] {
            assert!(attributes.contains(&attribute), "{attributes:?}");
        }
    }

    #[test]
    fn what_systemd_says_of_a_unit_is_about_the_unit() {
        let record =
            parse(r#"{"__CURSOR":"c","_PID":"1","_SYSTEMD_UNIT":"init.scope","UNIT":"app.service","MESSAGE":"x"}"#);
        assert_eq!(record.subject(), "app.service");
        let dump = r#"{"__CURSOR":"c","_PID":"9","_SYSTEMD_UNIT":"systemd-coredump@0-1.service","COREDUMP_UNIT":"app.service"}"#;
        assert_eq!(parse(dump).subject(), "app.service");
        assert_eq!(parse(r#"{"__CURSOR":"c","_TRANSPORT":"kernel","MESSAGE":"x"}"#).subject(), "kernel");
        assert_eq!(parse(r#"{"__CURSOR":"c","_COMM":"cron"}"#).subject(), "cron");
    }

    #[test]
    fn values_that_are_no_text() {
        let record = parse(r#"{"__CURSOR":"c","MESSAGE":[99,97,102,233],"PRIORITY":["4","3"],"_PID":null}"#);
        assert_eq!(record.body(99).as_deref(), Some("caf\u{fffd}"));
        assert!(record.attributes().contains(&Attribute::new("log.severity", "warning")));
        let record = parse(r#"{"__CURSOR":"c","MESSAGE":["first",[115]],"PRIORITY":"77"}"#);
        assert_eq!(record.body(99).as_deref(), Some("first"));
        assert_eq!(parse(r#"{"__CURSOR":"c","MESSAGE":null}"#).body(99), None);
        assert_eq!(parse(r#"{"__CURSOR":"c","MESSAGE":"aé"}"#).body(2).as_deref(), Some("a"));
        for garbage in ["", "{", "[]", "-- No entries --", r#"{"MESSAGE":"no cursor"}"#, r#"{"__CURSOR":7}"#] {
            assert!(Record::parse(garbage.as_bytes()).is_err(), "{garbage}");
        }
        assert!(Record::parse(b"\xff\xfe").is_err());
    }
}
