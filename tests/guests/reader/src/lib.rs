//! Looks at services, which needs a grant, and at the clock, the random numbers and its own state.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use salve_plugin_sdk::prelude::*;
use salve_plugin_sdk::{services, state};

#[derive(Deserialize, JsonSchema)]
struct Config {
    service: String,
    /// How often it looks without being told anything.
    #[serde(default)]
    every: Option<HumanDuration>,
}

struct Reader(Config);

impl Remediator for Reader {
    type Config = Config;

    fn configure(config: Config) -> Result<(Self, Subscription), String> {
        let subscription = config.every.iter().fold(Subscription::new(), |all, every| all.every(**every));
        Ok((Self(config), subscription))
    }

    /// One fault whose evidence says everything it can see.
    fn detect(&mut self, batch: &Batch<'_>) -> Vec<Finding> {
        let calls: i64 = state::get("calls").unwrap_or(0) + 1;
        let kept = state::set("calls", &calls).is_ok();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        // The hasher's keys come from the random numbers of the sandbox.
        let random = format!("{:?}", HashMap::<u8, u8>::new().hasher());
        let fault = match services::show(&self.0.service) {
            Ok(attributes) => Fault::new("seen", &self.0.service)
                .evidence("state", attributes.text("service.active_state").unwrap_or_default()),
            Err(error) => Fault::new("unseen", &self.0.service).evidence("error", error),
        };
        let files = std::fs::read_dir("/").map_or(0, |entries| entries.count() as i64);
        vec![
            fault
                .evidence("calls", calls)
                .evidence("dependencies", services::dependencies(&self.0.service).join(" "))
                .evidence("kept", kept)
                .evidence("clock_is_batch", now == batch.at())
                .evidence("random", random)
                .evidence("files", files)
                .evidence("environment", std::env::vars().count() as i64)
                .evidence("arguments", std::env::args().count() as i64)
                .present(),
        ]
    }

    /// It never knows.
    fn verify(&mut self, _: &Incident) -> Verdict {
        Verdict::Undecided
    }
}

salve_plugin_sdk::export!(Reader);
