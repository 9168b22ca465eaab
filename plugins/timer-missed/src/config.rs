use std::collections::BTreeMap;

use salve_plugin_sdk::prelude::*;

/// What the operator writes under `[config]`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// The timers to watch; `*` stands for any text.
    #[serde(default = "every_timer")]
    pub timers: Vec<String>,
    /// How late a timer may be, beyond its own accuracy; without it, the agent's minute.
    pub grace: Option<HumanDuration>,
    /// How long it may be since a timer fired, whatever its schedule says; without it, any time.
    pub every: Option<HumanDuration>,
    /// Whether the job of a timer that did not fire is started.
    #[serde(default)]
    pub start: bool,
    /// The jobs of timers whose events do not tell and that have another name: `"a.timer" = "b.service"`.
    #[serde(default)]
    pub jobs: BTreeMap<String, String>,
    /// How severe a missed timer is: info, warning, error or critical.
    #[serde(default = "severity")]
    pub severity: Severity,
    /// How long a job that was started is left alone before it is looked at.
    #[serde(default = "settle")]
    pub settle: HumanDuration,
    /// How long it may take to start, and how long one that still runs from the last time is waited for.
    #[serde(default = "deadline")]
    pub deadline: HumanDuration,
}

fn every_timer() -> Vec<String> {
    vec!["*.timer".into()]
}

fn severity() -> Severity {
    Severity::Warning
}

fn settle() -> HumanDuration {
    HumanDuration::from_secs(2)
}

fn deadline() -> HumanDuration {
    HumanDuration::from_secs(600)
}
