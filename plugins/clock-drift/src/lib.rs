//! Sees that the host's clock is off or no longer synchronised.
//!
//! **Sees** `system.clock.offset` (seconds) and `system.clock.synchronized` (0 or 1), as the kernel tells them.
//! **Decides**: `clock.drift` while the clock is further off than `offset` allows, `clock.unsynchronized` (a warning) when
//! nothing has set it for `unsynchronized-for`. Both are at the target `clock`, and outlast a restart of the plugin.
//! **Does** what `remedy` says, nothing by default: a person is told. A clock is slewed and not set, so the verdict has
//! until `deadline`.
//!
//! ```toml
//! [config]
//! offset = { above = 0.5, clear = 0.1, for = "1m", clear-for = "10s" }   # the defaults
//! unsynchronized-for = "15m"
//! settle = "10s"
//! deadline = "10m"
//! remedy = "service.restart:chrony.service"                               # default: none
//! ```

mod config;

use salve_plugin_sdk::detect::{Limit, Resume, Threshold};
use salve_plugin_sdk::{log, prelude::*, state};

pub use config::Config;

const TARGET: &str = "clock";
const DRIFT: &str = "clock.drift";
const UNSYNCHRONIZED: &str = "clock.unsynchronized";
const OFFSET: &str = "system.clock.offset";
const SYNCHRONIZED: &str = "system.clock.synchronized";

/// The plugin: its configuration and what the readings say.
pub struct ClockDrift {
    config: Config,
    drift: Watch,
    unsynchronized: Watch,
}

/// One of the two faults: a threshold that is kept over restarts, and the last reading.
struct Watch {
    kind: &'static str,
    metric: &'static str,
    threshold: Threshold,
    last: Option<f64>,
}

impl Remediator for ClockDrift {
    type Config = Config;

    fn wants() -> Vec<String> {
        ["service.restart:*", "command.run:*"].map(String::from).to_vec()
    }

    fn configure(config: Config) -> Result<(Self, Subscription), String> {
        config.remedy.check(&["target"]).map_err(|error| format!("remedy: {error}"))?;
        let subscription = Subscription::new().metric(OFFSET).metric(SYNCHRONIZED);
        let drift = Watch::new(DRIFT, OFFSET, config.offset);
        let unsynchronized = Limit::below(0.5).hold(*config.unsynchronized_for);
        let unsynchronized = Watch::new(UNSYNCHRONIZED, SYNCHRONIZED, unsynchronized);
        Ok((Self { config, drift, unsynchronized }, subscription))
    }

    fn detect(&mut self, batch: &Batch<'_>) -> Vec<Finding> {
        [self.drift.detect(batch), self.unsynchronized.detect(batch)].into_iter().flatten().collect()
    }

    fn diagnose(&mut self, incident: &Incident) -> Vec<Cause> {
        let cause = Cause::new;
        // `None` where nothing was read yet: then nothing is ruled out.
        let synchronized = self.unsynchronized.last.map(|last| last >= 0.5);
        match (incident.fault.kind.as_str(), synchronized) {
            (UNSYNCHRONIZED, _) => vec![
                cause("the time service does not run", 0.5).path([UNSYNCHRONIZED, "no time service"]),
                cause("the time service reaches none of its sources", 0.4).path([UNSYNCHRONIZED, "no source"]),
            ],
            (_, Some(false)) => vec![cause("nothing sets the clock", 0.8).path([DRIFT, UNSYNCHRONIZED])],
            _ => vec![
                cause("the clock was stepped, or the host was suspended", 0.5).path([DRIFT, "step"]),
                cause("the time service corrects more slowly than the clock drifts", 0.3)
                    .path([DRIFT, "slow correction"]),
            ],
        }
    }

    fn recover(&mut self, incident: &Incident) -> Recovery {
        let words = [("target", TARGET)];
        self.config.remedy.ladder(&words, *self.config.settle, *self.config.deadline).recover(incident)
    }

    fn verify(&mut self, incident: &Incident) -> Verdict {
        let watch = if incident.fault.kind == DRIFT { &self.drift } else { &self.unsynchronized };
        let is_new = incident
            .attempts
            .last()
            .is_some_and(|attempt| attempt.verdict.is_none() && attempt.outcomes.iter().all(|outcome| outcome.ok));
        match (watch.threshold.is_raised(), incident.as_detected()) {
            // The plugin has just been started, and has not looked for long enough.
            (None, _) => Verdict::Undecided,
            // The clock is still being slewed.
            (Some(true), Verdict::Unhealthy(_)) if is_new => Verdict::Undecided,
            (_, verdict) => verdict,
        }
    }
}

impl Watch {
    fn new(kind: &'static str, metric: &'static str, limit: Limit) -> Self {
        Self { kind, metric, threshold: Threshold::new(limit).resume(state::get(kind)), last: None }
    }

    fn detect(&mut self, batch: &Batch<'_>) -> Option<Finding> {
        let value = batch.value(self.metric, &[]).filter(|value| value.is_finite())?;
        self.last = Some(value);
        let before = self.threshold.is_raised();
        let raised = self.threshold.push(batch.at(), value.abs());
        if raised != before
            && let Err(error) = state::set(self.kind, &self.threshold)
        {
            log::warn!("{} is forgotten at the next restart: {error}", self.kind);
        }
        Some(self.fault(value).present_if(raised?))
    }

    /// To a tenth of a second in words, so that the fault does not change with every sample.
    fn fault(&self, value: f64) -> Fault {
        let fault = Fault::new(self.kind, TARGET);
        match self.kind {
            DRIFT => {
                let way = if value < 0.0 { "ahead of" } else { "behind" };
                fault.summary(format!("the clock is {:.1} s {way} its source", value.abs()))
            }
            _ => fault.severity(Severity::Warning).summary("nothing synchronises the clock"),
        }
    }
}

salve_plugin_sdk::export!(ClockDrift);
