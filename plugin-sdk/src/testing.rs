//! A plugin under plain `cargo test`: the host's side of the contract, without a sandbox.
//!
//! ```
//! use salve_plugin_sdk::prelude::*;
//! use salve_plugin_sdk::testing::Harness;
//! # #[derive(Deserialize, JsonSchema)] struct Settings { service: String }
//! # struct Watch(Settings);
//! # impl Remediator for Watch {
//! #     type Config = Settings;
//! #     fn configure(config: Settings) -> Result<(Self, Subscription), String> {
//! #         let subscription = Subscription::new().service(&config.service);
//! #         Ok((Self(config), subscription))
//! #     }
//! #     fn detect(&mut self, batch: &Batch<'_>) -> Vec<Finding> {
//! #         let failed = |e: &Event| e.text("service.active_state") == Some("failed");
//! #         batch.events().iter().map(|e| Fault::new("service.failed", &e.subject).present_if(failed(e))).collect()
//! #     }
//! # }
//! let mut plugin = Harness::<Watch>::new(r#"{ "service": "demo" }"#).unwrap();
//! let findings = plugin.event(Event::new("service.state", "demo").with("service.active_state", "failed"));
//! assert_eq!(findings, [Fault::new("service.failed", "demo").present()]);
//! ```

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use crate::bindings::salve::plugin::types::{Batch as WireBatch, Incident as WireIncident, Reading, Series};
use crate::files::File;
use crate::runtime::Instance;
use crate::{
    Attempt, Attribute, Cause, Event, Fault, Finding, Outcome, Plan, Recovery, Remediator, Subscription, Value, Verdict,
};

/// One second, in the contract's nanoseconds.
const SECOND: u64 = 1_000_000_000;

/// A sample in a test: metric, text attributes, value.
pub type TestSample<'a> = (&'a str, &'a [(&'a str, &'a str)], f64);

/// A plugin, configured, with a clock that moves one second with each batch.
#[derive(Debug)]
pub struct Harness<P> {
    instance: Instance<P>,
    subscription: Subscription,
    series: Vec<(String, Vec<(String, String)>)>,
    now: u64,
    round: u32,
}

impl<P: Remediator> Harness<P> {
    /// Configures the plugin from JSON, as the host does.
    pub fn new(config: &str) -> Result<Self, String> {
        let (instance, subscription) = Instance::configure(config)?;
        Ok(Self { instance, subscription, series: Vec::new(), now: SECOND, round: 0 })
    }

    /// The plugin after a restart, at the same time, with what it kept in the state and nothing else.
    pub fn restart(self, config: &str) -> Result<Self, String> {
        Ok(Self { now: self.now, round: self.round, ..Self::new(config)? })
    }

    /// Lets so much time pass without a call.
    pub fn pass(&mut self, time: Duration) {
        self.now = self.now.saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// What it subscribed to.
    pub fn subscription(&self) -> &Subscription {
        &self.subscription
    }

    /// A batch of one event.
    pub fn event(&mut self, event: Event) -> Vec<Finding> {
        self.batch(&[], vec![event])
    }

    /// A batch of one sample of the series that `metric` and `attributes` name.
    pub fn sample(&mut self, metric: &str, attributes: &[(&str, &str)], value: f64) -> Vec<Finding> {
        self.batch(&[(metric, attributes, value)], Vec::new())
    }

    /// A batch of samples and events. Events without a time of their own happen now.
    pub fn batch(&mut self, samples: &[TestSample<'_>], mut events: Vec<Event>) -> Vec<Finding> {
        self.now += SECOND;
        events.iter_mut().filter(|event| event.at == 0).for_each(|event| event.at = self.now);
        let mut new_series = Vec::new();
        let mut readings = Vec::new();
        for (metric, attributes, value) in samples {
            let attributes: Vec<_> = attributes.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            let name = ((*metric).to_owned(), attributes);
            let number = self.series.iter().position(|known| *known == name).unwrap_or(self.series.len());
            if number == self.series.len() {
                let attributes = name.1.iter().map(|(k, v)| Attribute::new(k, Value::Text(v.clone()))).collect();
                new_series.push(Series { id: number as u32, metric: name.0.clone(), attributes });
                self.series.push(name);
            }
            readings.push(Reading { series: number as u32, value: *value });
        }
        let batch = WireBatch { at: self.now, new_series, gone_series: vec![], readings, events, dropped: 0 };
        self.instance.detect(batch)
    }

    /// Asks `diagnose` about a fault.
    pub fn diagnose(&mut self, fault: &Fault) -> Vec<Cause> {
        self.instance.diagnose(self.incident(fault, Vec::new()))
    }

    /// Asks `recover` about a fault, after these attempts.
    pub fn recover(&mut self, fault: &Fault, attempts: Vec<Attempt>) -> Recovery {
        self.instance.recover(self.incident(fault, attempts))
    }

    /// Asks `verify` about a fault, after these attempts.
    pub fn verify(&mut self, fault: &Fault, attempts: Vec<Attempt>) -> Verdict {
        self.instance.verify(self.incident(fault, attempts))
    }

    /// The host begins anew: incidents and attempts from now on are of the next round.
    pub fn next_round(&mut self) {
        self.round += 1;
    }

    /// An attempt that carried out `plan` now and got this verdict.
    pub fn attempt(&self, number: u32, plan: &Plan, verdict: Verdict) -> Attempt {
        let done =
            |action: &crate::Action| Outcome { action: action.clone(), ok: true, detail: String::new(), took: 0 };
        Attempt {
            number,
            round: self.round,
            started: self.now,
            finished: Some(self.now),
            actions: plan.actions.clone(),
            outcomes: plan.actions.iter().map(done).collect(),
            verdict: Some(verdict),
        }
    }

    fn incident(&self, fault: &Fault, attempts: Vec<Attempt>) -> WireIncident {
        WireIncident {
            id: "test".into(),
            at: self.now,
            opened: self.now,
            fault: fault.clone(),
            causes: vec![],
            round: self.round,
            attempts,
        }
    }
}

thread_local! {
    static SERVICES: RefCell<BTreeMap<String, Vec<Attribute>>> = const { RefCell::new(BTreeMap::new()) };
}

/// What [`services::show`](crate::services::show) answers for `name` in this thread's tests.
pub fn set_service(name: &str, attributes: Vec<Attribute>) {
    SERVICES.with_borrow_mut(|services| services.insert(name.to_owned(), attributes));
}

thread_local! {
    static DEPENDENCIES: RefCell<BTreeMap<String, Vec<String>>> = const { RefCell::new(BTreeMap::new()) };
    static FILES: RefCell<Vec<File>> = const { RefCell::new(Vec::new()) };
}

/// What [`services::dependencies`](crate::services::dependencies) answers for `name` in this thread's tests.
pub fn set_dependencies(name: &str, needs: &[&str]) {
    let needs = needs.iter().map(|it| (*it).to_owned()).collect();
    DEPENDENCIES.with_borrow_mut(|all| all.insert(name.to_owned(), needs));
}

#[cfg(not(target_family = "wasm"))]
pub(crate) fn dependencies(name: &str) -> Vec<String> {
    DEPENDENCIES.with_borrow(|all| all.get(name).cloned().unwrap_or_default())
}

/// What there is for [`files::largest`](crate::files::largest) in this thread's tests, whatever the pattern.
pub fn set_files(files: Vec<File>) {
    FILES.with_borrow_mut(|all| *all = files);
}

#[cfg(not(target_family = "wasm"))]
pub(crate) fn files(limit: usize) -> Vec<File> {
    let mut files = FILES.with_borrow(Clone::clone);
    files.sort_by_key(|file| std::cmp::Reverse(file.bytes));
    files.truncate(limit);
    files
}

#[cfg(not(target_family = "wasm"))]
pub(crate) fn service(name: &str) -> Result<Vec<Attribute>, String> {
    let known = SERVICES.with_borrow(|services| services.get(name).cloned());
    known.ok_or_else(|| format!("no policy watches the service `{name}`"))
}
