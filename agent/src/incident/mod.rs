//! Incidents: from a finding to its resolution. Knows no collector and no actuator by name.

mod engine;
#[cfg(test)]
mod engine_tests;
mod hold;
mod ident;
pub mod ledger;
mod message;
mod model;
mod notice;
mod recency;
mod record;
mod runner;
mod state;

pub use engine::Engine;
pub use hold::{Hold, Trip};
pub use message::{Effect, Input, Question, Reply, Step, Topic};
pub use model::{Attempt, Cause, Fault, Finding, Incident, Pending, Plan, Recovery, Resolution, Severity, Verdict};
pub use notice::{About, Notice, NoticeKind};
pub use recency::Recency;
pub use record::Record;
pub use runner::{Doors, Runner};
pub use state::{Forbidden, State};
