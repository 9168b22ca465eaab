use salve_plugin_sdk::prelude::*;

/// What the operator writes under `[config]`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The services to watch: units (`nginx.service`, `app@*.service`) or `[services.NAME]` entries of the agent.
    #[serde(default)]
    pub services: Vec<String>,
    /// Whether a service that ended by itself without an error is left alone.
    #[serde(default)]
    pub ignore_clean_exit: bool,
    /// Milliseconds a service must have been up again before the recovery is judged.
    #[serde(default = "settle_ms")]
    pub settle_ms: u64,
    /// Seconds it may take to come up after that.
    #[serde(default = "start_deadline_s")]
    pub start_deadline_s: u64,
}

fn settle_ms() -> u64 {
    1000
}

fn start_deadline_s() -> u64 {
    90
}
