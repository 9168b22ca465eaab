//! What the author of a Salve plugin depends on.
//!
//! A plugin is a type that implements [`Remediator`]: it is given signals and says what is wrong ([`detect`]), is given an
//! incident and says what to do about it ([`recover`]). It never does anything itself; the host does, within what the
//! operator granted. [`export!`] turns the type into a component.
//!
//! ```
//! use salve_plugin_sdk::prelude::*;
//!
//! /// The configuration: a serde type, from which the host's schema is derived.
//! #[derive(Deserialize, JsonSchema)]
//! #[serde(deny_unknown_fields)]
//! struct Settings {
//!     /// Restart this service…
//!     service: String,
//!     /// …when the host uses more than this share of its memory (0..1).
//!     above: f64,
//! }
//!
//! struct MemoryGuard(Settings);
//!
//! impl Remediator for MemoryGuard {
//!     type Config = Settings;
//!
//!     fn configure(config: Settings) -> Result<(Self, Subscription), String> {
//!         let subscription = Subscription::new().metric("system.memory.utilization");
//!         Ok((Self(config), subscription))
//!     }
//!
//!     fn detect(&mut self, batch: &Batch<'_>) -> Vec<Finding> {
//!         let Some(used) = batch.value("system.memory.utilization", &[("system.memory.state", "used")]) else {
//!             return vec![];
//!         };
//!         let fault = Fault::new("memory.high", &self.0.service).summary(format!("{:.0} % of memory used", used * 100.0));
//!         vec![fault.present_if(used > self.0.above)]
//!     }
//!
//!     fn recover(&mut self, incident: &Incident) -> Recovery {
//!         Plan::new([Action::restart_service(&incident.fault.target)]).into()
//!     }
//! }
//!
//! salve_plugin_sdk::export!(MemoryGuard);
//! ```
//!
//! What a signal says over time (a limit, a trend, a shift) the pieces of [`detect`](mod@detect) tell. Where a plan may not be
//! enough, a [`Ladder`] says what comes after it; where the operator is to say what helps, the configuration has a [`Remedy`].
//!
//! The crate compiles natively too, so a plugin's logic is tested with plain `cargo test`: see [`testing`].
//!
//! [`detect`]: Remediator::detect
//! [`recover`]: Remediator::recover

mod action;
mod batch;
#[doc(hidden)]
pub mod bindings;
pub mod detect;
pub mod diagnose;
mod duration;
mod event;
mod evidence;
mod fault;
pub mod files;
mod glob;
pub mod history;
mod incident;
mod ladder;
mod logging;
mod plan;
mod remediator;
mod remedy;
#[doc(hidden)]
pub mod runtime;
pub mod services;
mod severity;
mod size;
pub mod state;
mod subscription;
pub mod testing;

pub use batch::{Batch, Sample};
pub use bindings::salve::plugin::types::{
    Action, Attempt, Attribute, Cause, Event, Fault, Finding, Outcome, Plan, Recovery, Selector, Severity,
    Subscription, Value, Verdict,
};
pub use duration::HumanDuration;
pub use event::Attributes;
pub use glob::matches;
pub use incident::Incident;
pub use ladder::{Ladder, Rung};
pub use remediator::{Migrate, Remediator};
pub use remedy::Remedy;
pub use size::HumanSize;

// What the macro and the authors' derives need, so that a plugin has one dependency besides serde and schemars.
pub use {log, schemars, serde, serde_json};

/// Everything a plugin usually names.
pub mod prelude {
    pub use crate::{
        Action, Attributes, Batch, Cause, Event, Fault, Finding, HumanDuration, HumanSize, Incident, Ladder, Plan,
        Recovery, Remediator, Remedy, Rung, Severity, Subscription, Value, Verdict,
    };
    pub use schemars::JsonSchema;
    pub use serde::Deserialize;
}
