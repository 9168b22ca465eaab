use std::time::Duration;

use crate::{Attribute, Event, Value};

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value {
    fn from(integer: i64) -> Self {
        Self::Integer(integer)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Value {
    fn from(boolean: bool) -> Self {
        Self::Boolean(boolean)
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Integer(integer) => integer.fmt(f),
            Self::Number(number) => number.fmt(f),
            Self::Boolean(boolean) => boolean.fmt(f),
        }
    }
}

impl Attribute {
    /// An attribute `key = value`.
    pub fn new(key: impl Into<String>, value: impl Into<Value>) -> Self {
        Self { key: key.into(), value: value.into() }
    }
}

/// Reading attributes by key, on whatever carries them. `None` means absent or of another type.
pub trait Attributes {
    /// The attributes, in the host's order.
    fn attributes(&self) -> &[Attribute];

    /// The value of `key`.
    fn get(&self, key: &str) -> Option<&Value> {
        self.attributes().iter().find(|attribute| attribute.key == key).map(|attribute| &attribute.value)
    }

    /// The text of `key`.
    fn text(&self, key: &str) -> Option<&str> {
        match self.get(key)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The integer of `key`.
    fn integer(&self, key: &str) -> Option<i64> {
        match self.get(key)? {
            Value::Integer(integer) => Some(*integer),
            _ => None,
        }
    }

    /// The number of `key`; an integer counts as one.
    fn number(&self, key: &str) -> Option<f64> {
        match self.get(key)? {
            Value::Number(number) => Some(*number),
            Value::Integer(integer) => Some(*integer as f64),
            _ => None,
        }
    }

    /// The boolean of `key`.
    fn boolean(&self, key: &str) -> Option<bool> {
        match self.get(key)? {
            Value::Boolean(boolean) => Some(*boolean),
            _ => None,
        }
    }
}

impl Attributes for [Attribute] {
    fn attributes(&self) -> &[Attribute] {
        self
    }
}

impl Attributes for Event {
    fn attributes(&self) -> &[Attribute] {
        &self.attributes
    }
}

impl Event {
    /// When it happened, or since when the state it tells has lasted, since the Unix epoch.
    pub fn at(&self) -> Duration {
        Duration::from_nanos(self.at)
    }

    /// Whether it tells the present state of its subject, which holds until the next such event.
    pub fn is_state(&self) -> bool {
        self.name.ends_with(".state")
    }

    /// An event without attributes, at time 0: the beginning of one in a test.
    pub fn new(name: impl Into<String>, subject: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            subject: subject.into(),
            attributes: Vec::new(),
            body: String::new(),
            at: 0,
            caused_by: None,
        }
    }

    /// The same with one attribute more.
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.attributes.push(Attribute::new(key, value));
        self
    }
}
