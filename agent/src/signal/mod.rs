//! Signals: what collectors saw of the host, on its way to the instances that want it.

mod batch;
pub mod collector;
mod demand;
mod history;
mod mailbox;
mod name;
mod router;
mod selector;

pub use batch::Batch;
pub use demand::Demand;
pub use history::{Bounds, History, Keep, Past, Summary, Usage};
pub use mailbox::Mailbox;
pub use name::Name;
pub use router::Router;
pub use selector::{Selector, Subscription};

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// A truth value.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Number(f64),
    /// Text.
    Text(String),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(boolean) => boolean.fmt(f),
            Self::Integer(integer) => integer.fmt(f),
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl From<bool> for Value {
    fn from(boolean: bool) -> Self {
        Self::Boolean(boolean)
    }
}

impl From<i64> for Value {
    fn from(integer: i64) -> Self {
        Self::Integer(integer)
    }
}

impl From<u32> for Value {
    fn from(integer: u32) -> Self {
        Self::Integer(integer.into())
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attribute {
    /// By the OpenTelemetry conventions where there is one.
    pub key: String,
    /// Its value.
    pub value: Value,
}

impl Attribute {
    /// An attribute `key = value`.
    pub fn new(key: impl Into<String>, value: impl Into<Value>) -> Self {
        Self { key: key.into(), value: value.into() }
    }
}

/// What a time series is called: a metric and text attributes, in a fixed order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesName {
    /// `system.memory.utilization`.
    pub metric: Name,
    /// `system.memory.state = used`.
    pub attributes: Vec<(Name, Arc<str>)>,
}

/// A metric's value at one moment, in the unit its convention gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Of which series.
    pub series: SeriesName,
    /// In the unit its convention gives.
    pub value: f64,
}

/// A series as an instance knows it: by a small number of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    /// Dense, from 0; valid for one instance.
    pub number: u32,
    /// What it is.
    pub name: SeriesName,
}

/// A sample on its way to an instance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// The series' number in that instance.
    pub series: u32,
    /// In the unit its convention gives.
    pub value: f64,
}

/// Something that happened, or the present state of something.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// `service.state`, …
    pub name: Name,
    /// What it happened to.
    pub subject: String,
    /// Details.
    pub attributes: Vec<Attribute>,
    /// Text, if it is about text.
    pub body: String,
    /// When the host saw it.
    pub at: Timestamp,
    /// The incident whose action caused it, if that is known.
    pub caused_by: Option<String>,
}
