use std::collections::BTreeMap;

use salve_plugin_sdk::detect::Limit;
use salve_plugin_sdk::prelude::*;

/// What the operator writes under `[config]`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Config {
    /// Which service answers which probe: `[config.probes.NAME]`, where NAME is that of the agent's `[probes.NAME]`.
    pub probes: BTreeMap<String, Watch>,
    /// Whether a reload is tried before a restart.
    pub reload: bool,
    /// How many restarts are tried.
    pub restarts: u32,
    /// How long a service must have run before it is expected to answer.
    pub warm_up: HumanDuration,
    /// How long after an action the probes are looked at.
    pub settle: HumanDuration,
    /// How long it may take until they are well; more than `rise` intervals of the slowest.
    pub deadline: HumanDuration,
}

/// A probe, and the service that answers it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Watch {
    /// A unit, or a `[services.NAME]` of the agent.
    pub service: String,
    /// When its answers are too slow, in seconds; never by default.
    #[serde(default)]
    pub slow: Option<Limit>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            probes: BTreeMap::new(),
            reload: true,
            restarts: 1,
            warm_up: HumanDuration::from_secs(30),
            settle: HumanDuration::from_secs(2),
            deadline: HumanDuration::from_secs(60),
        }
    }
}
