//! What the hostile plugins share: one that behaves, of which each takes the place of what it misbehaves in.
//!
//! They export the contract's bindings themselves, without the SDK's runtime between, which would answer for them.

pub use salve_plugin_sdk::bindings::salve::plugin::{files, history, log, services, state, types};
pub use salve_plugin_sdk::bindings::{self, exports::salve::plugin::remediator::Guest};
pub use salve_plugin_sdk::serde_json;

pub use types::{
    Action, Attempt, Attribute, Batch, Cause, Description, Event, Fault, Finding, Incident, Plan, Recovery, Selector,
    Severity, Subscription, Value, Verdict,
};

use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};

/// A plugin that finds one fault, at `scratch`, has `noop` run for it, and finds that this has helped.
pub trait Hostile {
    fn describe() -> Description {
        description("hostile")
    }
    fn configure(_config: String) -> Result<Subscription, String> {
        Ok(every(100))
    }
    fn detect(_batch: Batch) -> Vec<Finding> {
        if first() { vec![present("scratch")] } else { vec![] }
    }
    fn diagnose(_incident: Incident) -> Vec<Cause> {
        vec![]
    }
    fn recover(_incident: Incident) -> Recovery {
        Recovery::Act(plan(vec![action("command.run", "noop")]))
    }
    fn verify(_incident: Incident) -> Verdict {
        Verdict::Healthy
    }
}

/// Makes a component of a hostile plugin.
#[macro_export]
macro_rules! export {
    ($plugin:ident) => {
        const _: () = {
            use $crate::{Batch, Cause, Description, Finding, Hostile, Incident, Recovery, Subscription, Verdict};
            struct Component;
            impl $crate::Guest for Component {
                fn describe() -> Description {
                    <$plugin as Hostile>::describe()
                }
                fn configure(config: String) -> Result<Subscription, String> {
                    <$plugin as Hostile>::configure(config)
                }
                fn detect(batch: Batch) -> Vec<Finding> {
                    <$plugin as Hostile>::detect(batch)
                }
                fn diagnose(incident: Incident) -> Vec<Cause> {
                    <$plugin as Hostile>::diagnose(incident)
                }
                fn recover(incident: Incident) -> Recovery {
                    <$plugin as Hostile>::recover(incident)
                }
                fn verify(incident: Incident) -> Verdict {
                    <$plugin as Hostile>::verify(incident)
                }
            }
    $crate::bindings::export_component!(Component with_types_in $crate::bindings);
        };
    };
}

/// Whether this is the first time that it is asked.
pub fn first() -> bool {
    count() == 0
}

/// How often it was asked before.
pub fn count() -> u32 {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    CALLS.fetch_add(1, Ordering::Relaxed)
}

pub fn description(name: &str) -> Description {
    Description {
        name: name.to_owned(),
        version: "0.1.0".to_owned(),
        summary: String::new(),
        config_schema: String::new(),
        wants: vec![],
    }
}

/// Describes itself with this schema of its configuration.
pub fn schema(config_schema: impl Into<String>) -> Description {
    Description { config_schema: config_schema.into(), ..description("hostile") }
}

/// A call at least each so many milliseconds, and no signals.
pub fn every(millis: u64) -> Subscription {
    Subscription { metrics: vec![], events: vec![], every: millis }
}

pub fn selector(name: impl Into<String>, body: Option<String>) -> Selector {
    Selector { name: name.into(), matching: vec![], body }
}

pub fn fault(kind: impl Into<String>, target: impl Into<String>) -> Fault {
    let (severity, summary) = (Severity::Error, "something hostile".to_owned());
    Fault { kind: kind.into(), target: target.into(), severity, summary, evidence: vec![] }
}

pub fn present(target: impl Into<String>) -> Finding {
    Finding::Present(fault("hostile.fault", target))
}

pub fn cleared(target: impl Into<String>) -> Finding {
    Finding::Cleared(("hostile.fault".to_owned(), target.into()))
}

pub fn action(kind: impl Into<String>, target: impl Into<String>) -> Action {
    Action { kind: kind.into(), target: target.into(), parameters: vec![] }
}

/// Judged at once.
pub fn plan(actions: Vec<Action>) -> Plan {
    Plan { actions, settle: 0, deadline: 1000 }
}

pub fn text(key: &str, value: impl Into<String>) -> Attribute {
    Attribute { key: key.to_owned(), value: Value::Text(value.into()) }
}

/// A value of its configuration.
pub fn setting(config: &str, key: &str) -> String {
    let config: serde_json::Value = serde_json::from_str(config).unwrap_or_default();
    config[key].as_str().unwrap_or_default().to_owned()
}

/// Never ends.
pub fn spin() -> ! {
    let mut n = 0_u64;
    loop {
        n = black_box(n.wrapping_add(1));
    }
}
