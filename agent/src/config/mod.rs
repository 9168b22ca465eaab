//! Configuration: the agent's own file and the policies. As written (`raw`) and as meant (validated) are apart; every error
//! names the file, the line and what to do.

mod agent;
mod duration;
mod error;
mod pattern;
mod policy;
mod raw;
mod rules;
mod size;

pub use agent::{LedgerSettings, Settings};
pub(crate) use error::unknown_key;
pub use error::{ConfigError, Location};
pub use pattern::Pattern;
pub use policy::{Policy, READABLE};
pub use rules::{Backoff, Breaker, Budget, Flapping, HostRules, Mode, Rules};
