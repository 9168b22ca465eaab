//! Actuators: the host code that does one kind of action, and reports what really changed. None goes through a shell, each
//! ends within a time of its own.

mod collect;
mod command;
mod container;
mod file;
mod host;
mod http;
mod journal;
mod parameters;
mod process;
mod service;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::{Action, ActionKind, Evidence, Outcome};
use crate::config::{CommandSpec, Rules};
use crate::container::Docker;
use crate::service::{Services, StatusTable};
use parameters::Parameters;

pub(super) use process::is_kill;

/// Takes a message for a channel (`*`: for all); what became of it, or why it was not taken. It must not block.
pub type NotifyDoor = Box<dyn Fn(&str, &str) -> Result<String, String> + Send + Sync>;

/// What actuators act with.
pub struct Parts {
    /// Every service of the host.
    pub services: Arc<Services>,
    /// The last known status of each watched service, for evidence.
    pub status: Arc<StatusTable>,
    /// What `command.run` can run, by name.
    pub commands: BTreeMap<String, CommandSpec>,
    /// Containers of the host.
    pub containers: Arc<Docker>,
    /// Where `notify` goes.
    pub notify: NotifyDoor,
    /// Where procfs is mounted: `/proc`.
    pub proc: PathBuf,
    /// Programs of the host.
    pub programs: Programs,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts")
            .field("commands", &self.commands)
            .field("programs", &self.programs)
            .finish_non_exhaustive()
    }
}

/// Programs of the host that actuators run; tests put others in their place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Programs {
    /// `journalctl`.
    pub journalctl: PathBuf,
    /// Reboots the host: a program and its arguments.
    pub reboot: Vec<String>,
}

impl Programs {
    /// Those of this host: `systemctl reboot` where systemd runs, `reboot` elsewhere.
    pub fn of_this_host() -> Self {
        // What sd_booted(3) looks at.
        let has_systemd = Path::new("/run/systemd/system").is_dir();
        let reboot: &[&str] = if has_systemd { &["systemctl", "reboot"] } else { &["reboot"] };
        Self { journalctl: "journalctl".into(), reboot: reboot.iter().map(ToString::to_string).collect() }
    }
}

/// All actuators, behind one door.
#[derive(Debug)]
pub struct Actuators {
    parts: Arc<Parts>,
}

/// Actions to do in order for an incident; the first failure ends it.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    /// For which incident.
    pub incident: String,
    /// In which attempt.
    pub attempt: u32,
    /// The fault's target: what evidence is collected about.
    pub target: String,
    /// Everything the actions touch.
    pub targets: Vec<String>,
    /// What the operator wrote for the policy.
    pub rules: Arc<Rules>,
    /// What to do.
    pub actions: Vec<Action>,
}

impl Actuators {
    /// Actuators that act with these.
    pub fn new(parts: Parts) -> Self {
        Self { parts: Arc::new(parts) }
    }

    /// Does one action under the rules of a policy. An action that fails, of whatever kind, is an outcome,
    /// not an error.
    pub async fn act(&self, action: &Action, rules: &Rules) -> Outcome {
        let started = Instant::now();
        let result = self.perform(action, rules).await;
        let (ok, detail) = match result {
            Ok(detail) => (true, detail),
            Err(detail) => (false, detail),
        };
        Outcome { action: action.clone(), ok, detail, took: started.elapsed() }
    }

    /// What really changed, or why it did not work.
    async fn perform(&self, action: &Action, rules: &Rules) -> Result<String, String> {
        let kind = ActionKind::parse(&action.kind).map_err(|unknown| unknown.to_string())?;
        if action.target.is_empty() {
            return Err(format!("{} has no target", action.kind));
        }
        let parts = &self.parts;
        match kind {
            ActionKind::Service(verb) => {
                Parameters::of(action, &[])?;
                service::act(&parts.services, verb, &action.target).await
            }
            ActionKind::Container(verb) => container::act(&parts.containers, verb, action).await,
            ActionKind::ProcessSignal => process::signal(&parts.proc, action).await,
            ActionKind::ProcessRenice => process::renice(&parts.proc, action),
            ActionKind::CommandRun => command::act(&parts.commands, action).await,
            ActionKind::FileDelete => file::delete(action, rules).await,
            ActionKind::FileTruncate => file::truncate(action, rules).await,
            ActionKind::JournalVacuum => journal::vacuum(&parts.programs.journalctl, action).await,
            ActionKind::HttpRequest => http::request(action, rules).await,
            ActionKind::HostReboot => host::reboot(&parts.programs.reboot, action).await,
            ActionKind::Notify => {
                let parameters = Parameters::of(action, &["message"])?;
                (parts.notify)(&action.target, parameters.required("message", parameters.text("message")?)?)
            }
        }
    }

    /// Collects what the policy lists about a target, all of it side by side, within the rules' cap in time. It never fails:
    /// what could not be collected says why.
    pub async fn collect(&self, rules: &Rules, target: &str) -> Vec<Evidence> {
        collect::collect(&self.parts, &rules.collect, rules.collect_timeout, target).await
    }
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;
    use crate::signal::{Attribute, Value};

    /// An action with parameters.
    pub(super) fn action(kind: &str, target: impl ToString, parameters: &[(&str, Value)]) -> Action {
        let parameters = parameters.iter().map(|(key, value)| Attribute::new(*key, value.clone())).collect();
        Action { kind: kind.to_owned(), target: target.to_string(), parameters }
    }

    /// Parts of a host without services, whose messages come back as they are.
    pub(super) fn parts(state: &Path, commands: &str) -> Parts {
        Parts {
            services: Arc::new(Services::new(state, BTreeMap::new(), Arc::new(|_| {}))),
            status: Arc::default(),
            commands: crate::config::testing::commands(commands),
            containers: Arc::new(Docker::new(vec![state.join("docker.sock")])),
            notify: Box::new(|channel, message| Ok(format!("{channel}: {message}"))),
            proc: "/proc".into(),
            programs: Programs { journalctl: "/bin/echo".into(), reboot: vec!["/bin/echo".into(), "reboot".into()] },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{action, parts};
    use super::*;
    use crate::signal::Value;

    #[tokio::test]
    async fn what_is_wrong_with_an_action_is_an_outcome_that_says_so() {
        let state = tempfile::tempdir().unwrap();
        let actuators = Actuators::new(parts(state.path(), ""));
        for (action, expected) in [
            (action("process.explode", "7", &[]), "unknown action kind `process.explode`"),
            (action("notify", "", &[("message", "x".into())]), "notify has no target"),
            (action("notify", "ops", &[]), "notify: parameter `message` is missing"),
            (action("service.restart", "demo", &[("signal", "TERM".into())]), "service.restart: unknown key `signal`"),
            (action("service.restart", "demo", &[]), "there is no service `demo`"),
            (action("command.run", "absent", &[]), "no [commands.absent]"),
            (action("host.reboot", "other-host", &[]), "target of host.reboot is `host`"),
            (action("container.start", "web", &[("signal", "TERM".into())]), "container.start: unknown key `signal`"),
            (action("container.kill", "web", &[("signal", "NOPE".into())]), "`NOPE`, which is not one of TERM, KILL"),
            (action("container.stop", "web", &[("timeout_ms", Value::Integer(-1))]), "0 or more"),
            (action("container.stop", "web", &[("timeout_ms", Value::Integer(600_001))]), "at most 600000"),
            (action("container.start", "../web", &[]), "there is no container `../web`"),
            (action("container.start", "web", &[]), "no Docker API on this host: there is no"),
            (action("journal.vacuum", "journal", &[]), "`max_bytes` or `older_than_ms`"),
        ] {
            let outcome = actuators.act(&action, &Rules::default()).await;
            assert!(!outcome.ok && outcome.detail.contains(expected), "{action}: {}\n  not {expected}", outcome.detail);
        }
        let outcome = actuators.act(&action("notify", "*", &[("message", "hello".into())]), &Rules::default()).await;
        assert_eq!((outcome.ok, outcome.detail.as_str()), (true, "*: hello"));
    }
}
