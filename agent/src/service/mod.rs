//! Services of this host, whoever manages them: systemd over D-Bus, or the agent's own `command` manager.
//!
//! The collector looks at services and the actuator acts on them; both go through here, so that an action and the state
//! changes it causes are seen by one place.

pub mod command;
mod needs;
mod owner;
mod services;
pub mod systemd;

pub use services::Services;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, RwLock};

use serde::Serialize;

/// Who starts and stops a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ManagerKind {
    /// systemd, over D-Bus.
    Systemd,
    /// The agent itself, by the commands that `[services.NAME]` lists.
    Command,
}

/// systemd's `ActiveState`, used for both managers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActiveState {
    /// Running.
    Active,
    /// Running, and reading its configuration again.
    Reloading,
    /// Not running, without a failure on record.
    Inactive,
    /// Not running, because of a failure.
    Failed,
    /// Starting.
    Activating,
    /// Stopping.
    Deactivating,
}

impl ActiveState {
    /// The word systemd uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Reloading => "reloading",
            Self::Inactive => "inactive",
            Self::Failed => "failed",
            Self::Activating => "activating",
            Self::Deactivating => "deactivating",
        }
    }
}

impl std::str::FromStr for ActiveState {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Ok(match word {
            "active" => Self::Active,
            "reloading" | "refreshing" => Self::Reloading,
            "inactive" => Self::Inactive,
            "failed" => Self::Failed,
            "activating" => Self::Activating,
            // A unit under maintenance is one that systemd is cleaning up: on its way out.
            "deactivating" | "maintenance" => Self::Deactivating,
            other => return Err(format!("unknown ActiveState `{other}`")),
        })
    }
}

/// What is known of a service at one moment, in systemd's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServiceStatus {
    /// The name it goes by: a unit (`nginx.service`) or a `[services.NAME]` entry.
    pub name: String,
    /// Who manages it.
    pub manager: ManagerKind,
    /// `ActiveState`.
    pub active_state: ActiveState,
    /// `SubState` (`running`, `dead`, `auto-restart`, …).
    pub sub_state: String,
    /// `Result`: `success`, `exit-code`, `signal`, `core-dump`, `watchdog`, `timeout`, `oom-kill`, `start-limit-hit`, …
    pub result: String,
    /// The main process, while there is one.
    pub main_pid: Option<u32>,
    /// Exit status of the last main process, if it exited by itself.
    pub exit_code: Option<i32>,
    /// Number of the signal that ended the last main process, if one did.
    pub exit_signal: Option<i32>,
    /// How often the manager has restarted it by itself (`NRestarts`; for `command` services, how often the agent did).
    pub restarts: u32,
    /// Whether the last stop was asked for (a stop job, or an action of the agent); `None` when nobody saw it happen.
    pub stop_requested: Option<bool>,
}

/// What can be done to a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verb {
    /// Start it if it is not running.
    Start,
    /// Stop it.
    Stop,
    /// Stop it if it runs, then start it.
    Restart,
    /// Have it read its configuration again, in place.
    Reload,
    /// Forget a failure and the count of starts that led to `start-limit-hit`.
    ResetFailed,
}

impl Verb {
    /// Every verb, in the order documentation lists them.
    pub const ALL: [Self; 5] = [Self::Start, Self::Stop, Self::Restart, Self::Reload, Self::ResetFailed];

    /// The verb as action kinds and `systemctl` spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Reload => "reload",
            Self::ResetFailed => "reset-failed",
        }
    }
}

/// What an action on a service really changed: the status before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Before the action.
    pub before: ServiceStatus,
    /// Once it was done.
    pub after: ServiceStatus,
}

impl fmt::Display for Change {
    /// `failed (pid none) -> active (pid 4711)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pid = |status: &ServiceStatus| status.main_pid.map_or("none".to_owned(), |pid| pid.to_string());
        let (before, after) = (&self.before, &self.after);
        write!(f, "{} (pid {}) -> ", before.active_state.as_str(), pid(before))?;
        write!(f, "{} (pid {})", after.active_state.as_str(), pid(after))
    }
}

/// Why an action on a service did not happen or did not work.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// Neither systemd nor a `[services.NAME]` entry knows the name.
    #[error("there is no service `{0}`: systemd has no such unit and the configuration no [services.{0}]")]
    Unknown(String),
    /// systemd cannot be reached on this host.
    #[error("systemd cannot be reached ({0}); a service without systemd needs a [services.NAME] entry")]
    NoSystemd(String),
    /// The manager refused or failed.
    #[error("{0}")]
    Failed(String),
    /// It did not finish in time.
    #[error("`{verb}` of {name} did not finish within {seconds} s")]
    TimedOut {
        /// What was asked.
        verb: &'static str,
        /// Of which service.
        name: String,
        /// The limit.
        seconds: u64,
    },
    /// The manager cannot do this for this service.
    #[error("`{verb}` is not possible for {name}: {why}")]
    Unsupported {
        /// What was asked.
        verb: &'static str,
        /// Of which service.
        name: String,
        /// What is missing.
        why: String,
    },
}

/// Where managers report every status they see; called from their tasks, so it must not block.
pub type Report = Arc<dyn Fn(ServiceStatus) + Send + Sync>;

/// The last known status of every watched service.
#[derive(Debug, Default)]
pub struct StatusTable(RwLock<HashMap<String, ServiceStatus>>);

impl StatusTable {
    /// The last known status of `name`.
    pub fn get(&self, name: &str) -> Option<ServiceStatus> {
        self.0.read().unwrap_or_else(|poisoned| poisoned.into_inner()).get(name).cloned()
    }

    /// Remembers `status`; false if nothing changed since the last time.
    pub fn put(&self, status: ServiceStatus) -> bool {
        let mut table = self.0.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        let changed = table.get(&status.name) != Some(&status);
        if changed {
            table.insert(status.name.clone(), status);
        }
        changed
    }
}
