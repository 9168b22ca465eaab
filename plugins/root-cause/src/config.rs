use std::collections::BTreeMap;

use salve_plugin_sdk::diagnose::{BasicEvent, Gate};
use salve_plugin_sdk::prelude::*;

/// What the operator writes under `[config]`: a fault tree, and what its tops mean.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// The basic events, by name: what can be observed, and what helps against it.
    #[serde(default)]
    pub event: BTreeMap<String, BasicEvent>,
    /// The gates, by name. Those that no other gate refers to are tops: each is a fault when it holds.
    #[serde(default)]
    pub tree: BTreeMap<String, Gate>,
    /// More of a top, by the gate's name. A gate that is named here is one in any case.
    #[serde(default)]
    pub top: BTreeMap<String, Top>,
    /// How long to wait after a remedy before the first look.
    #[serde(default = "settle")]
    pub settle: HumanDuration,
    /// How long a top must not hold any more for its cause to count as healed.
    #[serde(default = "calm")]
    pub calm: HumanDuration,
    /// How long that may take.
    #[serde(default = "deadline")]
    pub deadline: HumanDuration,
}

/// What a top means beyond its name.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Top {
    /// The target of the fault where the cause has no remedy; without it, the gate's name.
    pub target: Option<String>,
    /// What the fault brings down, besides the targets of incidents that the tree names: the incidents of other policies
    /// there wait, where `[grant] explains` lists it.
    #[serde(default)]
    pub consequences: Vec<String>,
    /// How severe it is: info, warning, error or critical.
    #[serde(default = "error")]
    pub severity: Severity,
}

impl Default for Top {
    fn default() -> Self {
        Self { target: None, consequences: vec![], severity: error() }
    }
}

fn error() -> Severity {
    Severity::Error
}

fn settle() -> HumanDuration {
    HumanDuration::from_secs(2)
}

fn calm() -> HumanDuration {
    HumanDuration::from_secs(5)
}

fn deadline() -> HumanDuration {
    HumanDuration::from_secs(60)
}
