use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// A plugin that failed too often under a policy: nothing of it is called until its bytes or the policy change, or a person
/// releases it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantine {
    /// The policy.
    pub policy: String,
    /// The plugin.
    pub plugin: String,
    /// Digest of policy and plugin: what it is about.
    pub basis: String,
    /// Digest of the plugin alone.
    pub digest: String,
    /// Since when.
    pub since: Timestamp,
    /// How often it failed, and how at last.
    pub reason: String,
}
