//! Configuration: the agent's own file and the policies. As written (`raw`) and as meant (validated) are apart; every error
//! names the file, the line and what to do.

mod agent;
mod budget;
mod command;
mod containers;
mod duration;
mod error;
mod files;
mod guard;
mod maintenance;
mod notify;
mod number;
mod pattern;
mod policy;
mod raw;
mod requires;
mod rules;
mod size;

pub use agent::{LedgerSettings, Settings};
pub use command::{CommandSpec, ParameterType};
pub(crate) use error::unknown_key;
pub use error::{ConfigError, Location};
pub use files::WatchedFile;
pub use maintenance::Window;
pub use pattern::Pattern;
pub use policy::{Policy, READABLE};
pub use rules::{Backoff, Breaker, Budget, Flapping, HostRules, Mode, Rules};

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
