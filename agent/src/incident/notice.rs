use serde::{Deserialize, Serialize};

use super::{Incident, Severity};
use crate::clock::Timestamp;

/// What a notice is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoticeKind {
    /// A fault was healed.
    Healed,
    /// A person is needed.
    Escalated,
    /// A plan waits for a person's yes.
    ApprovalAsked,
    /// An attempt was judged unhealthy.
    RecoveryFailed,
    /// An incident that was told of ended in another way than by being healed.
    Resolved,
    /// The storm breaker opened: nothing is done any more.
    BreakerOpened,
    /// A person closed it.
    BreakerClosed,
    /// A plugin fails again and again.
    PluginDown,
    /// It runs again.
    PluginUp,
    /// It failed so often that nothing of it is called any more.
    PluginQuarantined,
    /// What an action or a person wanted said, or a summary of notices that could not be told one by one.
    Message,
}

impl NoticeKind {
    /// Every kind, in the order documentation lists them.
    pub const ALL: [Self; 11] = [
        Self::Healed,
        Self::Escalated,
        Self::ApprovalAsked,
        Self::RecoveryFailed,
        Self::Resolved,
        Self::BreakerOpened,
        Self::BreakerClosed,
        Self::PluginDown,
        Self::PluginUp,
        Self::PluginQuarantined,
        Self::Message,
    ];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healed => "healed",
            Self::Escalated => "escalated",
            Self::ApprovalAsked => "approval-asked",
            Self::RecoveryFailed => "recovery-failed",
            Self::Resolved => "resolved",
            Self::BreakerOpened => "breaker-opened",
            Self::BreakerClosed => "breaker-closed",
            Self::PluginDown => "plugin-down",
            Self::PluginUp => "plugin-up",
            Self::PluginQuarantined => "plugin-quarantined",
            Self::Message => "message",
        }
    }

    /// Whether it ends what an earlier notice of the same key began: nothing is left for a person to do.
    pub const fn ends(self) -> bool {
        matches!(self, Self::Healed | Self::Resolved | Self::BreakerClosed | Self::PluginUp)
    }

    /// Whether it begins what a later notice of the same key ends: a person is wanted.
    pub const fn begins(self) -> bool {
        matches!(
            self,
            Self::Escalated
                | Self::ApprovalAsked
                | Self::RecoveryFailed
                | Self::BreakerOpened
                | Self::PluginDown
                | Self::PluginQuarantined
        )
    }
}

/// Something a person should hear of. It is in the ledger, in the same transaction as what it tells of, before any channel
/// sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    /// What it is about.
    pub kind: NoticeKind,
    /// When that happened.
    pub at: Timestamp,
    /// What it belongs to, for joining and ending: an incident's id, `breaker`, `plugin:POLICY`, or
    /// `message:DIGEST`.
    pub key: String,
    /// One sentence: why.
    pub reason: String,
    /// The incident, where it is about one.
    pub incident: Option<About>,
    /// What was done, or is to be done, as `kind target`.
    pub actions: Vec<String>,
}

/// The incident a notice is about, as it was then.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// Its name on this host.
    pub id: String,
    /// The policy.
    pub policy: String,
    /// The plugin.
    pub plugin: String,
    /// The fault's kind.
    pub kind: String,
    /// What it is about.
    pub target: String,
    /// How bad it is.
    pub severity: Severity,
    /// One sentence.
    pub summary: String,
    /// When the fault was found.
    pub opened_at: Timestamp,
    /// Attempts so far.
    pub attempts: u32,
}

impl From<&Incident> for About {
    fn from(incident: &Incident) -> Self {
        let fault = &incident.fault;
        Self {
            id: incident.id.clone(),
            policy: incident.policy.clone(),
            plugin: incident.plugin.clone(),
            kind: fault.kind.clone(),
            target: fault.target.clone(),
            severity: fault.severity,
            summary: fault.summary.clone(),
            opened_at: incident.opened_at,
            attempts: u32::try_from(incident.attempts.len()).unwrap_or(u32::MAX),
        }
    }
}
