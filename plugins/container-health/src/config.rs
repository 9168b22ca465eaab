use salve_plugin_sdk::prelude::*;

/// What the operator writes under `[config]`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// The containers to watch, by name; `*` stands for any text.
    #[serde(default = "every_container")]
    pub containers: Vec<String>,
    /// How long a container may be unhealthy; its own health check has a patience of its own.
    #[serde(default = "unhealthy_for")]
    pub unhealthy_for: HumanDuration,
    /// So many deaths or restarts…
    #[serde(default = "restarts")]
    pub restarts: u32,
    /// …within so long are a loop.
    #[serde(default = "within")]
    pub within: HumanDuration,
    /// How long a container that looped must run to be well again.
    #[serde(default = "steady")]
    pub steady: HumanDuration,
    /// How often a container is restarted before a person is asked.
    #[serde(default = "attempts")]
    pub attempts: u32,
    /// How long after a restart it is first looked at.
    #[serde(default = "settle")]
    pub settle: HumanDuration,
    /// How long it may take to be well after that.
    #[serde(default = "deadline")]
    pub deadline: HumanDuration,
}

fn every_container() -> Vec<String> {
    vec!["*".into()]
}

fn unhealthy_for() -> HumanDuration {
    HumanDuration::from_secs(30)
}

fn restarts() -> u32 {
    5
}

fn within() -> HumanDuration {
    HumanDuration::from_secs(600)
}

fn steady() -> HumanDuration {
    HumanDuration::from_secs(60)
}

fn attempts() -> u32 {
    2
}

fn settle() -> HumanDuration {
    HumanDuration::from_secs(2)
}

fn deadline() -> HumanDuration {
    HumanDuration::from_secs(180)
}
