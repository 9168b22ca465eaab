use salve_plugin_sdk::prelude::*;

/// What the operator writes under `[config]`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// The services to watch: units (`nginx.service`, `app@*.service`) or `[services.NAME]` entries of the agent.
    #[serde(default)]
    pub services: Vec<String>,
    /// Whether a service that ended by itself without an error is left alone.
    #[serde(default)]
    pub ignore_clean_exit: bool,
    /// How long a service must have been up again before the recovery is judged.
    #[serde(default = "settle")]
    pub settle: HumanDuration,
    /// How long it may take to come up after that.
    #[serde(default = "start_deadline")]
    pub start_deadline: HumanDuration,
}

fn settle() -> HumanDuration {
    HumanDuration::from_secs(1)
}

fn start_deadline() -> HumanDuration {
    HumanDuration::from_secs(90)
}
