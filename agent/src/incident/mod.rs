//! Incidents: from a finding to its resolution. Knows no collector and no actuator by name.

mod engine;
mod herald;
mod hold;
mod ident;
pub mod ledger;
mod message;
mod model;
mod notice;
mod quarantine;
mod recency;
mod record;
mod runner;
mod state;
mod terrain;

pub use engine::{Engine, Past};
pub use hold::{BREAKER, Hold, Trip};
pub use message::{Effect, Input, Question, Reply, Step, Topic, Word};
pub use model::{Attempt, Cause, Fault, Finding, Incident, Pending, Plan, Recovery, Resolution, Severity, Verdict};
pub use notice::{About, Notice, NoticeKind};
pub use quarantine::Quarantine;
pub use recency::Recency;
pub use record::Record;
pub use runner::{Doors, Runner, Trouble};
pub use state::{Forbidden, State};
pub use terrain::{Ground, Terrain};
