//! Compares readings with a threshold. The benchmarks have the same logic natively and as a program (`check.c`).

use salve_plugin_sdk::Sample;
use salve_plugin_sdk::prelude::*;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// A reading above it is a fault.
    threshold: f64,
    /// Metrics to be told of (`*` as in file names).
    #[serde(default)]
    metrics: Vec<String>,
    /// Services to be told of.
    #[serde(default)]
    services: Vec<String>,
}

struct Readings {
    threshold: f64,
}

impl Remediator for Readings {
    type Config = Config;

    fn configure(config: Config) -> Result<(Self, Subscription), String> {
        let subscription = config.metrics.iter().fold(Subscription::new(), |all, name| all.metric(name));
        let subscription = config.services.iter().fold(subscription, |all, name| all.service(name));
        let threshold = config.threshold;
        Ok((Self { threshold }, subscription))
    }

    fn detect(&mut self, batch: &Batch<'_>) -> Vec<Finding> {
        let (mut sum, mut count) = (0.0, 0_u32);
        let mut over = Vec::new();
        for sample in batch.samples() {
            sum += sample.value;
            count += 1;
            if sample.value > self.threshold {
                over.push(sample);
            }
        }
        let finding = |sample: Sample<'_>| {
            let fault = Fault::new("reading.high", sample.text("name").unwrap_or(sample.metric));
            let fault = fault.evidence("value", sample.value);
            fault.evidence("mean", sum / f64::from(count)).present()
        };
        over.into_iter().map(finding).collect()
    }
}

salve_plugin_sdk::export!(Readings);
