//! Configuration: the agent's own file and the policies. As written (`raw`) and as meant (validated) are apart; every error
//! names the file, the line and what to do.

mod access;
mod agent;
mod budget;
mod command;
mod containers;
mod duration;
mod error;
mod files;
mod guard;
mod key;
mod limits;
mod log;
mod maintenance;
mod metrics;
mod notify;
mod number;
mod overlap;
mod pattern;
mod policy;
mod probe;
mod raw;
mod requires;
mod rules;
mod size;
mod supervision;
mod trust;
mod upgrade;
mod web;

pub use access::{Access, READABLE};
pub use agent::{LedgerSettings, Settings};
pub use command::{CommandSpec, ParameterType};
pub(crate) use error::unknown_key;
pub use error::{ConfigError, Location};
pub use files::WatchedFile;
pub use key::{PublicKey, key_id};
pub use maintenance::Window;
pub use metrics::EndpointSpec;
pub use overlap::overlap;
pub use pattern::Pattern;
pub use policy::Policy;
pub use probe::{CommandProbe, Dialogue, DnsProbe, HttpProbe, ProbeKind, ProbeSpec, RecordType, TcpProbe};
pub use rules::{Backoff, Breaker, Budget, Flapping, HostRules, Mode, Rules};
pub use supervision::Supervision;
pub use trust::{Require, TrustRules};
pub use upgrade::Upgrade;
pub use web::Trust;

#[cfg(test)]
pub(crate) mod testing {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::{CommandSpec, Settings};

    /// The `[commands.NAME]` entries of a configuration.
    pub(crate) fn commands(text: &str) -> BTreeMap<String, CommandSpec> {
        Settings::parse(Path::new("/etc/salve/salve.toml"), text).unwrap().commands
    }
}
