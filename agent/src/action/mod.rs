//! Actions: what a plan asks for, as the host understands it, and what came of it.

pub mod actuator;
mod evidence;
mod terrain;

pub use evidence::Evidence;
pub use terrain::Host;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::service::Verb;
use crate::signal::Attribute;

/// The kinds of action this host can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ActionKind {
    /// `service.start`, `.stop`, `.restart`, `.reload`, `.reset-failed`.
    Service(Verb),
}

impl ActionKind {
    /// Every kind, as it is written.
    pub fn all() -> impl Iterator<Item = (String, Self)> {
        Verb::ALL.into_iter().map(|verb| (format!("service.{}", verb.as_str()), Self::Service(verb)))
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
    }
}
