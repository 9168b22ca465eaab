//! What the fleet looks like from outside: for the API.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::contract::Description;
use super::limits;
use crate::clock::Timestamp;
use crate::incident::Finding;

/// Whether an instance runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InstanceState {
    /// It is being made.
    Loading,
    /// It is called when there is something for it.
    Running,
    /// It failed and waits to be started again.
    Backoff,
    /// It failed too often and is not called any more.
    Quarantined,
    /// It ends after the call under way.
    Unloading,
}

impl InstanceState {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Loading => "loading",
            Self::Running => "running",
            Self::Backoff => "backoff",
            Self::Quarantined => "quarantined",
            Self::Unloading => "unloading",
        }
    }
}

/// An instance's counts, kept by its actor.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct InstanceView {
    /// Whether it runs.
    pub state: InstanceState,
    /// Since when.
    pub since: Timestamp,
    /// Calls so far.
    pub calls: u64,
    /// Of which trapped.
    pub traps: u64,
    /// Strikes that count at the moment: traps, and answers that could not be accepted.
    #[serde(default)]
    pub strikes: u32,
    /// Signals dropped for it.
    pub dropped: u64,
    /// The last thing that went wrong.
    pub last_error: Option<String>,
}

impl InstanceView {
    /// Whether it is called when there is something for it.
    pub fn is_running(&self) -> bool {
        self.state == InstanceState::Running
    }
}

/// Where an actor writes its counts.
#[derive(Debug)]
pub(super) struct Board {
    view: Mutex<InstanceView>,
    /// The faults it says are there, up to [`limits::PRESENT`].
    present: Mutex<BTreeSet<(String, String)>>,
}

impl Board {
    pub(super) fn new(since: Timestamp) -> Arc<Self> {
        let (state, last_error) = (InstanceState::Loading, None);
        let view = InstanceView { state, since, calls: 0, traps: 0, strikes: 0, dropped: 0, last_error };
        Arc::new(Self { view: Mutex::new(view), present: Mutex::default() })
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut InstanceView)) {
        change(&mut self.view.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn read(&self) -> InstanceView {
        self.view.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes note of what it says of faults.
    pub(super) fn note(&self, findings: &[Finding]) {
        let mut present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        for finding in findings {
            match finding {
                Finding::Present(fault) if present.len() < limits::PRESENT => {
                    present.insert((fault.kind.clone(), fault.target.clone()));
                }
                Finding::Present(_) => {}
                Finding::Cleared { kind, target } => drop(present.remove(&(kind.clone(), target.clone()))),
            }
        }
    }

    /// The faults it says are there.
    pub(super) fn present(&self) -> BTreeSet<(String, String)> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A plugin's file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PluginView {
    /// Its stem.
    pub name: String,
    /// SHA-256 of what runs.
    pub digest: Option<String>,
    /// The id of the key that signed it, where signatures are wanted.
    #[serde(default)]
    pub signed_by: Option<String>,
    /// What it says it is.
    pub description: Option<Description>,
    /// Why the file as it is now does not run.
    pub problem: Option<String>,
}

/// A policy, and the instance under it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PolicyView {
    /// Its name.
    pub name: String,
    /// Its plugin.
    pub plugin: String,
    /// Its mode.
    pub mode: String,
    /// False for the policy that a plugin without one runs under.
    pub written: bool,
    /// The instance, if one runs.
    pub instance: Option<InstanceView>,
    /// SHA-256 of a new version that is tried beside it.
    #[serde(default)]
    pub canary: Option<String>,
    /// Why the file as it is now does not apply, or no instance runs.
    pub problem: Option<String>,
}

/// Everything about plugins and policies.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct FleetView {
    /// Plugins by name.
    pub plugins: Vec<PluginView>,
    /// Policies by name.
    pub policies: Vec<PolicyView>,
    /// What is wrong with the watched directories.
    pub problems: Vec<String>,
}
