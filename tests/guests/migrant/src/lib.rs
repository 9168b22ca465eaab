//! Keeps a number under `count`, as version 0.9 of it kept marks under `tally`; a tally with anything else in it is refused.

use salve_plugin_sdk::prelude::*;
use salve_plugin_sdk::{Migrate, export, state};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The least that it is content with.
    #[serde(default)]
    least: u64,
}

struct Migrant;

impl Remediator for Migrant {
    type Config = Config;

    fn configure(config: Config) -> Result<(Self, Subscription), String> {
        let count: u64 = state::get("count").unwrap_or_default();
        if count < config.least {
            return Err(format!("{count} is less than {}", config.least));
        }
        Ok((Self, Subscription::new().every(std::time::Duration::from_millis(50))))
    }

    fn detect(&mut self, _: &Batch<'_>) -> Vec<Finding> {
        let count: u64 = state::get("count").unwrap_or_default();
        vec![Fault::new("test.count", "migrant").evidence("count", count as i64).present()]
    }
}

impl Migrate for Migrant {
    fn migrate(from: &str) -> Result<(), String> {
        let tally: String = state::get("tally").unwrap_or_default();
        state::set("count", &tally.len())?;
        state::delete("tally")?;
        match tally.chars().find(|mark| *mark != '|') {
            Some(other) => Err(format!("{other:?} is no mark of version {from}")),
            None => Ok(()),
        }
    }
}

export!(Migrant, migrate);
