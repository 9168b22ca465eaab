use std::collections::BTreeMap;

use salve_plugin_sdk::diagnose::Wanted;
use salve_plugin_sdk::prelude::*;

/// What the operator writes under `[config]`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// What to look for, by name: `[config.class.NAME]`.
    #[serde(default)]
    pub class: BTreeMap<String, ClassConfig>,
}

/// Lines or events of one kind, and how many of them are a fault.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ClassConfig {
    /// The name of the events; `*` stands for any text.
    #[serde(default = "log_record")]
    pub event: String,
    /// Whose: the unit of a journal record, the NAME of `[logs.NAME]`, the subject of another event; `*` stands for any text.
    #[serde(default = "anything")]
    pub source: String,
    /// Attributes that the event must have.
    #[serde(default)]
    pub attributes: BTreeMap<String, Wanted>,
    /// A regular expression that the line, or the body of the event, must match. Needed for `log.record`.
    pub pattern: Option<String>,
    /// A fault when there are so many…
    #[serde(default = "one")]
    pub at_least: u32,
    /// …within so long.
    #[serde(default = "minute")]
    pub within: HumanDuration,
    /// No fault any more when there are fewer than so many within that time: 1 means none.
    #[serde(default = "one")]
    pub clear_below: u32,
    /// How long it stays as it is, at least, after it became a fault or ceased to be one.
    #[serde(default = "at_once")]
    pub hold_off: HumanDuration,
    /// The kind of the fault; without it, `log.` and the name of the class.
    pub kind: Option<String>,
    /// How severe it is: info, warning, error or critical.
    #[serde(default = "error")]
    pub severity: Severity,
    /// What is at fault; without it, the source of the line.
    pub target: Option<String>,
    /// A sentence for people; without it, the last line.
    pub summary: Option<String>,
    /// What helps: `"service.restart:{target}"`, or several, one after the other.
    #[serde(default)]
    pub remedy: Remedy,
    /// How long there must be none after that; without it, `within`, but at most a minute.
    pub calm: Option<HumanDuration>,
    /// How long to wait before the first look.
    #[serde(default = "settle")]
    pub settle: HumanDuration,
}

fn log_record() -> String {
    super::RECORD.into()
}

fn anything() -> String {
    "*".into()
}

fn one() -> u32 {
    1
}

fn minute() -> HumanDuration {
    HumanDuration::from_secs(60)
}

fn at_once() -> HumanDuration {
    HumanDuration::from_secs(0)
}

fn error() -> Severity {
    Severity::Error
}

fn settle() -> HumanDuration {
    HumanDuration::from_secs(1)
}
