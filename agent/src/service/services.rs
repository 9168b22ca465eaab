use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::watch;

use super::command::{CommandManager, CommandSpec};
use super::systemd::Systemd;
use super::{Change, Report, ServiceError, Verb, needs, owner};

/// Every service of the host, whoever manages it.
pub struct Services {
    systemd: Systemd,
    command: CommandManager,
    proc: PathBuf,
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
        Self { systemd: Systemd::new(), command, proc: "/proc".into() }
    }

    /// Has processes looked up under `proc` instead of `/proc`.
    pub fn with_proc(self, proc: impl Into<PathBuf>) -> Self {
        Self { proc: proc.into(), ..self }
    }

    /// Watches the systemd units that `wanted` names, as it changes; ends with its task.
    pub async fn watch_units(&self, wanted: watch::Receiver<Arc<BTreeSet<String>>>, report: Report) {
        self.systemd.watch(wanted, report).await;
    }

    /// Everything that the service `name` needs to work, directly or through what it needs: of an entry of the configuration
    /// what its `requires` lists; of a watched unit what it `Requires=`, is bound to (`BindsTo=`), is part of (`PartOf=`) or
    /// starts after (`After=`). Needs of units that nobody watches are not known.
    pub fn requires(&self, name: &str) -> BTreeSet<String> {
        needs::closure(name, |name| self.command.requires(name).unwrap_or_else(|| self.systemd.needs(name)))
    }

    /// The service that process `pid` belongs to. One of the configuration goes before the unit it runs in, which would be
    /// the agent's own.
    pub fn owner_of(&self, pid: u32) -> Option<String> {
        owner::service_of(&self.proc, pid, &self.command.mains()).or_else(|| owner::unit_of(&self.proc, pid))
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    #[tokio::test]
    async fn the_services_of_the_configuration_have_needs_and_processes() {
        let directory = tempfile::tempdir().unwrap();
        let spec = |requires: &[&str]| CommandSpec {
            start: vec!["sleep".to_owned(), "60".to_owned()],
            stop: None,
            reload: None,
            status: None,
            pidfile: None,
            autostart: false,
            start_timeout: Duration::from_secs(20),
            stop_timeout: Duration::from_secs(20),
            directory: None,
            environment: BTreeMap::new(),
            output: None,
            requires: requires.iter().map(|name| (*name).to_owned()).collect(),
        };
        let specs = [("web", spec(&["db", "net.target"])), ("db", spec(&["disk.mount"]))];
        let (sender, _reports) = unbounded_channel();
        let report: Report = Arc::new(move |status| drop(sender.send(status)));
        let specs = specs.into_iter().map(|(name, spec)| (name.to_owned(), spec)).collect();
        let services = Services::new(directory.path(), specs, report);

        assert_eq!(services.requires("web").iter().collect::<Vec<_>>(), ["db", "disk.mount", "net.target"]);
        assert!(services.requires("nobody").is_empty());

        let pid = services.act(Verb::Start, "db").await.unwrap().after.main_pid.unwrap();
        assert_eq!(services.owner_of(pid).as_deref(), Some("db"));
        assert_ne!(services.owner_of(std::process::id()).as_deref(), Some("db"));
        services.act(Verb::Stop, "db").await.unwrap();

        let proc = directory.path().join("proc");
        fs::create_dir_all(proc.join(pid.to_string())).unwrap();
        fs::write(proc.join(pid.to_string()).join("cgroup"), "0::/system.slice/nginx.service\n").unwrap();
        assert_eq!(services.with_proc(proc).owner_of(pid).as_deref(), Some("nginx.service"));
    }
}
