//! What an incident is made of. All of it is stored, shown by the API, and handed to plugins.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::State;
use crate::action::{Action, Outcome};
use crate::clock::Timestamp;
use crate::signal::Attribute;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// May become a problem.
    Warning,
    /// Something does not work.
    Error,
    /// Something important does not work.
    Critical,
}

impl Severity {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }
}

/// What a plugin says is wrong. Kind and target name it within a policy.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// `service.down`.
    pub kind: String,
    /// `nginx.service`.
    pub target: String,
    /// How bad it is.
    pub severity: Severity,
    /// One sentence for people.
    pub summary: String,
    /// What the plugin saw.
    pub evidence: Vec<Attribute>,
}

/// What `detect` says of a fault.
#[derive(Debug, Clone, PartialEq)]
pub enum Finding {
    /// It is there.
    Present(Fault),
    /// It is gone.
    Cleared {
        /// The fault's kind.
        kind: String,
        /// The fault's target.
        target: String,
    },
}

/// Why a fault is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cause {
    /// One sentence for people.
    pub summary: String,
    /// From the fault to its root.
    pub path: Vec<String>,
    /// 0..1.
    pub confidence: f64,
    /// What speaks for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Attribute>,
}

/// What a plugin wants done about an incident.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// In order; the first failure stops the plan.
    pub actions: Vec<Action>,
    /// How long to wait before `verify`.
    pub settle: Duration,
    /// How long `verify` may stay undecided after that.
    pub deadline: Duration,
}

/// A plugin's answer to `recover`.
#[derive(Debug, Clone, PartialEq)]
pub enum Recovery {
    /// Do this.
    Act(Plan),
    /// Ask again after this long.
    Wait(Duration),
    /// A person is needed, for this reason.
    Escalate(String),
}

/// Whether an attempt worked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", content = "reason", rename_all = "lowercase")]
pub enum Verdict {
    /// The fault is gone.
    Healthy,
    /// It is not, for this reason.
    Unhealthy(String),
    /// Too early to say.
    Undecided,
}

/// One plan carried out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// From 1.
    pub number: u32,
    /// The incident's round it was made in.
    #[serde(default)]
    pub round: u32,
    /// When its plan was written to the ledger, before its first action.
    pub started: Timestamp,
    /// When its verdict was given.
    pub finished: Option<Timestamp>,
    /// What was to be done.
    pub actions: Vec<Action>,
    /// What came of it; fewer than actions where one failed, or the agent ended meanwhile.
    pub outcomes: Vec<Outcome>,
    /// Whether it worked.
    #[serde(flatten, with = "optional_verdict")]
    pub verdict: Option<Verdict>,
}

/// `"verdict": "unhealthy", "reason": "…"` beside the other fields; `"verdict": null` while there is none.
mod optional_verdict {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Verdict;

    #[derive(Serialize, Deserialize)]
    struct Fields {
        verdict: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    }

    pub(super) fn serialize<S: Serializer>(verdict: &Option<Verdict>, serializer: S) -> Result<S::Ok, S::Error> {
        let (verdict, reason) = match verdict {
            None => (None, None),
            Some(Verdict::Healthy) => (Some("healthy"), None),
            Some(Verdict::Unhealthy(reason)) => (Some("unhealthy"), Some(reason.clone())),
            Some(Verdict::Undecided) => (Some("undecided"), None),
        };
        Fields { verdict: verdict.map(str::to_owned), reason }.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Verdict>, D::Error> {
        let Fields { verdict, reason } = Fields::deserialize(deserializer)?;
        Ok(match verdict.as_deref() {
            Some("healthy") => Some(Verdict::Healthy),
            Some("unhealthy") => Some(Verdict::Unhealthy(reason.unwrap_or_default())),
            Some("undecided") => Some(Verdict::Undecided),
            _ => None,
        })
    }
}

/// The durable record of a fault.
#[derive(Debug, Clone, PartialEq)]
pub struct Incident {
    /// Its name on this host.
    pub id: String,
    /// Which plugin found it.
    pub plugin: String,
    /// Under which policy.
    pub policy: String,
    /// What is wrong, as last raised.
    pub fault: Fault,
    /// Where it stands.
    pub state: State,
    /// When the fault was first seen.
    pub opened_at: Timestamp,
    /// When it was resolved.
    pub resolved_at: Option<Timestamp>,
    /// Why, the most likely first.
    pub causes: Vec<Cause>,
    /// How often it was begun anew after it had been handed to a person: 0 at first.
    pub round: u32,
    /// What was tried, in every round.
    pub attempts: Vec<Attempt>,
    /// What the last decision on it was based on: the digest of policy and plugin. When that changes, a decision that
    /// ended in waiting for somebody is made again.
    pub basis: String,
}
