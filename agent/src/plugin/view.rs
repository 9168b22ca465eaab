//! What the fleet looks like from outside: for the API.

use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::contract::Description;
use crate::clock::Timestamp;

/// Whether an instance runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InstanceState {
    /// It is called when there is something for it.
    Running,
    /// It trapped and waits to be started again.
    Backoff,
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
pub(super) struct Board(Mutex<InstanceView>);

impl Board {
    pub(super) fn new(since: Timestamp) -> Arc<Self> {
        let state = InstanceState::Running;
        Arc::new(Self(Mutex::new(InstanceView { state, since, calls: 0, traps: 0, dropped: 0, last_error: None })))
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut InstanceView)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn read(&self) -> InstanceView {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
