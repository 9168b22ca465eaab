//! What an incident is made of. All of it is stored, shown by the API, and handed to plugins.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::State;
use crate::action::{Action, Outcome};
use crate::clock::Timestamp;
use crate::signal::{Attribute, Value};

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

impl Fault {
    /// The targets that it says to have brought down: the texts of its evidence `fault.consequence`.
    pub fn consequences(&self) -> impl Iterator<Item = &str> {
        self.evidence.iter().filter(|attribute| attribute.key == "fault.consequence").filter_map(|attribute| {
            match &attribute.value {
                Value::Text(target) => Some(target.as_str()),
                _ => None,
            }
        })
    }
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
    /// When its plan was written to the ledger, before its first action.
    pub started: Timestamp,
    /// When its verdict was given.
    pub finished: Option<Timestamp>,
    /// In which round; see [`Incident::round`].
    #[serde(default)]
    pub round: u32,
    /// Content digest of the plugin that planned it.
    #[serde(default)]
    pub digest: String,
    /// What it acts on: its targets and what they stand on.
    #[serde(default)]
    pub targets: Vec<String>,
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
    /// That plugin's content: SHA-256 in hexadecimal.
    pub digest: String,
    /// Under which policy.
    pub policy: String,
    /// What is wrong, as last raised.
    pub fault: Fault,
    /// Where it stands.
    pub state: State,
    /// Since when it stands there.
    pub since: Timestamp,
    /// When the host saw what the fault was found in: not after `opened_at`.
    pub occurred_at: Timestamp,
    /// When the fault was found.
    pub opened_at: Timestamp,
    /// When it was resolved.
    pub resolved_at: Option<Timestamp>,
    /// Why, the most likely first.
    pub causes: Vec<Cause>,
    /// What was tried, in every round.
    pub attempts: Vec<Attempt>,
    /// How often the host began anew after the incident had been handed to a person: 0 at first.
    pub round: u32,
    /// A plan that waits for a person, or that one agreed to.
    pub pending: Option<Pending>,
    /// The open incident that this one is a consequence of.
    pub cause: Option<String>,
    /// Whether the fault comes and goes too often to be healed.
    pub flapping: bool,
    /// How it ended.
    pub resolution: Option<Resolution>,
    /// What the last decision on it was based on: the digest of policy and plugin. When that changes, a decision that
    /// ended in waiting for somebody is made again.
    pub basis: String,
}

/// How an incident ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resolution {
    /// An attempt was verified healthy.
    Healed,
    /// The fault went away without an attempt, or outside of one.
    SelfCleared,
    /// A person closed it.
    Closed,
}

impl Resolution {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Healed, Self::SelfCleared, Self::Closed];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healed => "healed",
            Self::SelfCleared => "self-cleared",
            Self::Closed => "closed",
        }
    }
}

/// A plan that needs a person's yes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pending {
    /// What is to be done; a yes is for exactly this.
    pub actions: Vec<Action>,
    /// Why it is asked.
    pub reason: String,
    /// When it was asked.
    pub asked_at: Timestamp,
    /// Until when it can be answered, and a yes be used.
    pub expires_at: Timestamp,
    /// Who agreed.
    pub approved_by: Option<String>,
}
