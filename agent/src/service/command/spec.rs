//! What the configuration says about a service.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

/// How the agent runs one service: a `[services.NAME]` entry. Commands are argument vectors, run without a shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandSpec {
    /// Starts the service. Without `pidfile` and `status` this process *is* the service; otherwise it returns 0 once
    /// the service runs on its own.
    pub start: Vec<String>,
    /// Stops it. Without it, or if it fails, the process group gets SIGTERM.
    pub stop: Option<Vec<String>>,
    /// Has it read its configuration again.
    pub reload: Option<Vec<String>>,
    /// Exits 0 while the service runs. Only used for a service without a process to watch, that is without `pidfile`:
    /// it is then run every [`POLL_INTERVAL`](super::POLL_INTERVAL).
    pub status: Option<Vec<String>>,
    /// Where the service writes the number of its main process.
    pub pidfile: Option<PathBuf>,
    /// Whether to start it with the agent if it is not running by then.
    pub autostart: bool,
    /// How long `start` may take to return (not if it is the service itself), including the time until the pidfile
    /// names the process; also the limit of `reload` and `status`.
    pub start_timeout: Duration,
    /// How long the service may take to end after `stop` or SIGTERM, until SIGKILL ends it.
    pub stop_timeout: Duration,
    /// Working directory of the commands; the agent's if not given.
    pub directory: Option<PathBuf>,
    /// Added to the agent's environment for the commands.
    pub environment: BTreeMap<String, String>,
    /// Where output of the commands is appended; discarded if not given.
    pub output: Option<PathBuf>,
    /// What it needs to work: units of systemd, and other entries.
    pub requires: BTreeSet<String>,
}

/// How the agent knows whether a service runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life<'a> {
    /// The start command is the service: its exit is awaited.
    Child,
    /// The service detaches itself; the process that the file names is watched.
    Pidfile(&'a PathBuf),
    /// There is no process to watch, only a command to ask.
    Status(&'a [String]),
}

impl CommandSpec {
    pub(super) fn life(&self) -> Life<'_> {
        match (&self.pidfile, &self.status) {
            (Some(pidfile), _) => Life::Pidfile(pidfile),
            (None, Some(status)) => Life::Status(status),
            (None, None) => Life::Child,
        }
    }
}
