use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use tokio::sync::watch;

use super::command::{CommandManager, CommandSpec};
use super::systemd::Systemd;
use super::{Change, Report, ServiceError, Verb};

/// Every service of the host, whoever manages it.
pub struct Services {
    systemd: Systemd,
    command: CommandManager,
}

impl std::fmt::Debug for Services {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Services")
    }
}

impl Services {
    /// Takes over the services of the configuration (adopting what runs, starting what says `autostart`); those of systemd
    /// are looked at when somebody wants them. Everything seen goes to `report`.
    pub fn new(state: &Path, specs: BTreeMap<String, CommandSpec>, report: Report) -> Self {
        let command = CommandManager::new(state, report);
        command.configure(specs);
        Self { systemd: Systemd::new(), command }
    }

    /// Watches the systemd units that `wanted` names, as it changes; ends with its task.
    pub async fn watch_units(&self, wanted: watch::Receiver<Arc<BTreeSet<String>>>, report: Report) {
        self.systemd.watch(wanted, report).await;
    }

    /// Does `verb` to the service `name`. A name in the configuration is the agent's own; of the others, those with a suffix
    /// are units.
    pub async fn act(&self, verb: Verb, name: &str) -> Result<Change, ServiceError> {
        if self.command.owns(name) {
            self.command.act(verb, name).await
        } else if name.contains('.') {
            self.systemd.act(verb, name).await
        } else {
            Err(ServiceError::Unknown(name.to_owned()))
        }
    }
}
