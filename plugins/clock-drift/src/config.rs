use salve_plugin_sdk::detect::Limit;
use salve_plugin_sdk::prelude::*;

/// What the operator writes under `[config]`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// How far off the clock may be, in seconds either way, and for how long.
    #[serde(default = "offset")]
    pub offset: Limit,
    /// How long the clock may run without being synchronised.
    #[serde(default = "unsynchronized_for")]
    pub unsynchronized_for: HumanDuration,
    /// What helps: `"service.restart:chrony.service"`.
    #[serde(default)]
    pub remedy: Remedy,
    /// How long after that the clock is first looked at.
    #[serde(default = "settle")]
    pub settle: HumanDuration,
    /// How long it may take until the clock is right.
    #[serde(default = "deadline")]
    pub deadline: HumanDuration,
}

fn offset() -> Limit {
    Limit::above(0.5).clear(0.1).hold(*HumanDuration::from_secs(60)).clear_hold(*HumanDuration::from_secs(10))
}

fn unsynchronized_for() -> HumanDuration {
    HumanDuration::from_secs(15 * 60)
}

fn settle() -> HumanDuration {
    HumanDuration::from_secs(10)
}

fn deadline() -> HumanDuration {
    HumanDuration::from_secs(10 * 60)
}
