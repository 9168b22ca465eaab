use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::availability::unavailability;
use crate::HumanDuration;

/// The prior of an event that gives none.
pub const DEFAULT_PROBABILITY: f64 = 0.01;

/// A basic event of a fault tree: something that can be observed, or at least be thought of, and is not explained further.
///
/// ```toml
/// [config.event."the database is down"]
/// when.service = { name = "postgresql*.service" }
/// probability = 0.001
/// summary = "PostgreSQL does not run"
/// remedy = "service.restart:postgresql.service"
/// ```
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BasicEvent {
    /// What makes it true; without it nothing is known of it but its probability.
    pub when: Option<Condition>,
    /// How probable it is as long as nobody knows, 0..1. Without it and without `mtbf` and `mttr`: 0.01.
    pub probability: Option<f64>,
    /// Instead of a probability: the mean time between its occurrences, and…
    pub mtbf: Option<HumanDuration>,
    /// …the mean time it lasts. The probability is then MTTR / (MTBF + MTTR).
    pub mttr: Option<HumanDuration>,
    /// A sentence for people; without it, its name.
    pub summary: Option<String>,
    /// What helps against it, in the words of the plugin that asks.
    pub remedy: Option<String>,
}

impl BasicEvent {
    /// The probability as long as nobody knows, or what is wrong with it.
    pub(super) fn prior(&self) -> Result<f64, String> {
        match (self.probability, self.mtbf, self.mttr) {
            (Some(p), None, None) if (0.0..=1.0).contains(&p) => Ok(p),
            (Some(p), None, None) => Err(format!("the probability {p} is not between 0 and 1")),
            (None, None, None) => Ok(DEFAULT_PROBABILITY),
            (None, Some(mtbf), Some(mttr)) => unavailability(*mtbf, *mttr),
            _ => Err("give either `probability`, or `mtbf` and `mttr`".into()),
        }
    }
}

/// What makes a basic event true. Names, subjects and text may hold `*`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Condition {
    /// Such an incident is open.
    Incident(IncidentCondition),
    /// The last value of such a series is beyond a threshold.
    Metric(MetricCondition),
    /// Such an event happened lately.
    Event(EventCondition),
    /// Such a service is in one of these states.
    Service(ServiceCondition),
}

/// An incident is open: `when.incident = { kind = "disk.*", target = "/var" }`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IncidentCondition {
    /// The kind of its fault.
    pub kind: String,
    /// The target of its fault; without it, any.
    #[serde(default = "anything")]
    pub target: String,
}

/// A metric is beyond a threshold: `when.metric = { name = "system.cpu.utilization", above = 0.95 }`. If several series
/// match, one of them is enough.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MetricCondition {
    /// Of the metric.
    pub name: String,
    /// Attributes that the series must have.
    #[serde(default)]
    pub attributes: BTreeMap<String, Wanted>,
    /// True if the value is greater.
    pub above: Option<f64>,
    /// True if the value is less.
    pub below: Option<f64>,
    /// How long a value counts; after that nothing is known.
    #[serde(default = "five_minutes")]
    pub fresh: HumanDuration,
}

/// An event happened: `when.event = { name = "kernel.oom_kill", within = "10m" }`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EventCondition {
    /// Of the event.
    pub name: String,
    /// What it happened to; without it, anything.
    #[serde(default = "anything")]
    pub subject: String,
    /// Attributes that it must have.
    #[serde(default)]
    pub attributes: BTreeMap<String, Wanted>,
    /// How long ago at most.
    pub within: HumanDuration,
}

/// A service is in a state: `when.service = { name = "redis*.service", state = ["failed"] }`. If several services match, one
/// of them is enough.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceCondition {
    /// Of the service.
    pub name: String,
    /// True in these states (`service.active_state`); without it, if it has failed or does not run.
    #[serde(default = "down")]
    pub state: Vec<String>,
}

/// What an attribute's value must be.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Wanted {
    /// This truth value.
    Boolean(bool),
    /// This integer.
    Integer(i64),
    /// This number.
    Number(f64),
    /// A text that matches this pattern.
    Text(String),
}

fn anything() -> String {
    "*".into()
}

fn five_minutes() -> HumanDuration {
    HumanDuration::from_secs(300)
}

fn down() -> Vec<String> {
    ["failed", "inactive"].map(String::from).to_vec()
}
