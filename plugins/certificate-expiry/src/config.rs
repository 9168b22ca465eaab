use salve_plugin_sdk::prelude::*;

/// What the operator writes under `[config]`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// The `[probes.NAME]` whose certificates are watched; `*` stands for any text.
    #[serde(default = "every_probe")]
    pub probes: Vec<String>,
    /// A warning when so much time is left.
    #[serde(default = "warn")]
    pub warn: HumanDuration,
    /// Critical when so much time is left.
    #[serde(default = "critical")]
    pub critical: HumanDuration,
    /// What renews a certificate: `"command.run:certbot-renew"`. `{target}` is the name of the probe.
    #[serde(default)]
    pub renew: Remedy,
    /// How long after that the probe is first asked.
    #[serde(default = "settle")]
    pub settle: HumanDuration,
    /// How long it may take until the probe sees the new certificate.
    #[serde(default = "deadline")]
    pub deadline: HumanDuration,
}

fn every_probe() -> Vec<String> {
    vec!["*".into()]
}

fn warn() -> HumanDuration {
    HumanDuration::from_secs(21 * 24 * 3600)
}

fn critical() -> HumanDuration {
    HumanDuration::from_secs(7 * 24 * 3600)
}

fn settle() -> HumanDuration {
    HumanDuration::from_secs(5)
}

fn deadline() -> HumanDuration {
    HumanDuration::from_secs(600)
}
