//! Looks at what a metric was, which needs a grant.

use salve_plugin_sdk::history;
use salve_plugin_sdk::prelude::*;

#[derive(Deserialize, JsonSchema)]
struct Config {
    metric: String,
    window: HumanDuration,
}

struct Historian(Config);

impl Remediator for Historian {
    type Config = Config;

    fn configure(config: Config) -> Result<(Self, Subscription), String> {
        Ok((Self(config), Subscription::new()))
    }

    /// A fault for each series, whose evidence says what it was.
    fn detect(&mut self, _: &Batch<'_>) -> Vec<Finding> {
        let series = history::query(&self.0.metric, &[("kind", "*")], *self.0.window);
        let fault = |past: history::Past| {
            let (first, last) = (past.samples.first(), past.samples.last());
            let rising = past.samples.windows(2).all(|pair| pair[0].0 < pair[1].0);
            Fault::new("seen", past.text("kind").unwrap_or_default())
                .evidence("samples", past.samples.len() as i64)
                .evidence("first", first.map_or(0, |(at, _)| (at / 1_000_000_000) as i64))
                .evidence("last", last.map_or(f64::NAN, |(_, value)| *value))
                .evidence("rising", rising)
                .present()
        };
        series.into_iter().map(fault).collect()
    }
}

salve_plugin_sdk::export!(Historian);
