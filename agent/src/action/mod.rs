//! Actions: what a plan asks for, as the host understands it, and what came of it.

pub mod actuator;
mod evidence;
mod terrain;

pub use evidence::{Collect, CollectError, Evidence};
pub use terrain::Host;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::CommandSpec;
use crate::container;
use crate::service::Verb;
use crate::signal::{Attribute, Value};

/// The kinds of action this host can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ActionKind {
    /// `service.start`, `.stop`, `.restart`, `.reload`, `.reset-failed`.
    Service(Verb),
    /// `container.start`, `.stop`, `.restart`, `.kill`.
    Container(container::Verb),
    /// `process.signal`: a signal to one process; with a grace, its end.
    ProcessSignal,
    /// `process.renice`: another scheduling priority for one process.
    ProcessRenice,
    /// `command.run`: a `[commands.NAME]` of the configuration.
    CommandRun,
    /// `file.delete`: regular files by path or glob.
    FileDelete,
    /// `file.truncate`: regular files by path or glob, down to nothing or to their end.
    FileTruncate,
    /// `journal.vacuum`: old entries of systemd's journal.
    JournalVacuum,
    /// `http.request`: one request to a URL.
    HttpRequest,
    /// `host.reboot`: this host.
    HostReboot,
    /// `notify`: a message to a channel, or to all.
    Notify,
}

/// The kinds besides `service.*` and `container.*`, as they are written.
const KINDS: [(&str, ActionKind); 9] = [
    ("process.signal", ActionKind::ProcessSignal),
    ("process.renice", ActionKind::ProcessRenice),
    ("command.run", ActionKind::CommandRun),
    ("file.delete", ActionKind::FileDelete),
    ("file.truncate", ActionKind::FileTruncate),
    ("journal.vacuum", ActionKind::JournalVacuum),
    ("http.request", ActionKind::HttpRequest),
    ("host.reboot", ActionKind::HostReboot),
    ("notify", ActionKind::Notify),
];

impl ActionKind {
    /// Every kind, as it is written.
    pub fn all() -> impl Iterator<Item = (String, Self)> {
        let services = Verb::ALL.into_iter().map(|verb| (format!("service.{}", verb.as_str()), Self::Service(verb)));
        let containers = container::Verb::ALL.into_iter();
        let containers = containers.map(|verb| (format!("container.{}", verb.as_str()), Self::Container(verb)));
        services.chain(containers).chain(KINDS.into_iter().map(|(name, kind)| (name.to_owned(), kind)))
    }

    /// The kind that is written so; the error lists the valid ones.
    pub fn parse(kind: &str) -> Result<Self, UnknownKind> {
        Self::all().find(|(name, _)| name == kind).map(|(_, kind)| kind).ok_or_else(|| UnknownKind(kind.to_owned()))
    }
}

/// An action of a kind this host does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown action kind `{0}`; this agent knows {known}", known = known_kinds())]
pub struct UnknownKind(pub String);

fn known_kinds() -> String {
    ActionKind::all().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// One step of a plan, as the plugin asked for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Action {
    /// `service.restart`; one this host does not know fails when its turn comes.
    pub kind: String,
    /// What to do it to.
    pub target: String,
    /// Details.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<Attribute>,
}

impl Action {
    /// Why this cannot be undone or done again without harm, if so: a person is asked first, unless the grant says
    /// `unattended`. A command that is not in `commands` counts as not repeatable.
    pub fn cannot_be_undone(&self, commands: &BTreeMap<String, CommandSpec>) -> Option<String> {
        match ActionKind::parse(&self.kind).ok()? {
            ActionKind::FileDelete | ActionKind::FileTruncate => Some("what a file held is gone for good".to_owned()),
            ActionKind::HostReboot => Some("a reboot ends everything that runs on this host".to_owned()),
            ActionKind::ProcessSignal => {
                let kills = self.parameters.iter().any(|parameter| match (parameter.key.as_str(), &parameter.value) {
                    ("signal", Value::Text(name)) => actuator::is_kill(name),
                    (key, _) => key == "grace_ms",
                });
                kills.then(|| "SIGKILL gives the process no chance to save what it holds".to_owned())
            }
            ActionKind::Container(container::Verb::Kill) => {
                let signal = self.parameters.iter().find(|parameter| parameter.key == "signal");
                let kills = match signal.map(|signal| &signal.value) {
                    Some(Value::Text(name)) => actuator::is_kill(name),
                    _ => true,
                };
                kills.then(|| "SIGKILL gives the container no chance to save what it holds".to_owned())
            }
            ActionKind::CommandRun if commands.get(&self.target).is_some_and(|command| command.repeatable) => None,
            ActionKind::CommandRun => Some(format!("[commands.{}] is not marked `repeatable`", self.target)),
            ActionKind::Service(_)
            | ActionKind::Container(_)
            | ActionKind::ProcessRenice
            | ActionKind::JournalVacuum
            | ActionKind::HttpRequest
            | ActionKind::Notify => None,
        }
    }
}

impl fmt::Display for Action {
    /// `service.restart nginx.service`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.target)
    }
}

/// What came of an action.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Which one.
    pub action: Action,
    /// Whether it did what was asked.
    pub ok: bool,
    /// What really changed, or why it failed.
    pub detail: String,
    /// How long it took.
    #[serde(rename = "took_ms", with = "millis")]
    pub took: Duration,
}

/// Durations as milliseconds with a fraction, which is what people compare.
mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64((duration.as_secs_f64() * 1e6).round() / 1e3)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let millis = f64::deserialize(deserializer)?;
        Duration::try_from_secs_f64(millis / 1e3).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_kind_lists_the_known_ones() {
        assert_eq!(ActionKind::parse("service.reset-failed"), Ok(ActionKind::Service(Verb::ResetFailed)));
        let error = ActionKind::parse("service.explode").unwrap_err().to_string();
        assert!(error.contains("service.explode") && error.contains("`service.reload`"), "{error}");
        for kind in ["process.renice", "file.truncate", "notify"] {
            assert!(error.contains(&format!("`{kind}`")), "{error}");
            assert!(ActionKind::parse(kind).is_ok());
        }
    }

    #[test]
    fn what_cannot_be_undone_says_why() {
        let commands = crate::config::testing::commands(
            "[commands.safe]\nargv = [\"/bin/true\"]\nrepeatable = true\n[commands.once]\nargv = [\"/bin/true\"]\n",
        );
        let action = |kind: &str, target: &str, parameters: &[(&str, &str)]| Action {
            kind: kind.into(),
            target: target.into(),
            parameters: parameters.iter().map(|(key, value)| Attribute::new(*key, *value)).collect(),
        };
        for (action, final_) in [
            (action("service.stop", "a", &[]), false),
            (action("process.signal", "7", &[]), false),
            (action("process.signal", "7", &[("signal", "HUP")]), false),
            (action("process.signal", "7", &[("signal", "KILL")]), true),
            (action("process.signal", "7", &[("signal", "SIGKILL")]), true),
            (action("process.signal", "7", &[("grace_ms", "any")]), true),
            (action("container.restart", "web", &[]), false),
            (action("container.kill", "web", &[]), true),
            (action("container.kill", "web", &[("signal", "KILL")]), true),
            (action("container.kill", "web", &[("signal", "HUP")]), false),
            (action("process.renice", "7", &[]), false),
            (action("command.run", "safe", &[]), false),
            (action("command.run", "once", &[]), true),
            (action("command.run", "absent", &[]), true),
            (action("file.delete", "/tmp/x", &[]), true),
            (action("file.truncate", "/tmp/x", &[]), true),
            (action("journal.vacuum", "journal", &[]), false),
            (action("http.request", "http://localhost", &[]), false),
            (action("host.reboot", "host", &[]), true),
            (action("notify", "*", &[]), false),
        ] {
            assert_eq!(action.cannot_be_undone(&commands).is_some(), final_, "{action}");
        }
    }
}
