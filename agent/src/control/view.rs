//! What the API answers with. These shapes are public: fields are added, never changed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::action::Evidence;
use crate::clock::Timestamp;
use crate::incident::ledger::Transition;
use crate::incident::{Attempt, BREAKER, Cause, Hold, Incident, Pending, Resolution, Severity, State, Trip};
use crate::notify::ChannelView;
use crate::plugin::{FleetView, InstanceState};
use crate::signal::collector::{Condition, SourceView};
use crate::signal::{Attribute, Usage};

/// `GET /v1/incidents`: an array of these, the newest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct IncidentView {
    /// Its name on this host.
    pub id: String,
    /// Which plugin found it.
    pub plugin: String,
    /// Under which policy.
    pub policy: String,
    /// The fault's kind.
    pub kind: String,
    /// What it is about.
    pub target: String,
    /// Where it stands.
    pub state: State,
    /// How bad it is.
    pub severity: Severity,
    /// One sentence.
    pub summary: String,
    /// What the plugin saw.
    pub evidence: Vec<Attribute>,
    /// RFC 3339, as every time here.
    pub opened_at: Timestamp,
    /// When the host saw what the fault was found in.
    pub occurred_at: Timestamp,
    /// Since when it stands where it does.
    pub since: Timestamp,
    /// Null while it is open.
    pub resolved_at: Option<Timestamp>,
    /// How it ended: `healed`, `self-cleared` or `closed`; null while it is open.
    pub resolution: Option<Resolution>,
    /// SHA-256 of the plugin that found it.
    pub plugin_digest: String,
    /// How often the host began anew after a person had it.
    pub round: u32,
    /// Whether the fault comes and goes too often to be healed.
    pub flapping: bool,
    /// The open incident that this one is a consequence of.
    pub caused_by: Option<String>,
    /// The plan that waits for a person, was agreed to, or was said no to.
    pub pending: Option<Pending>,
    /// The most likely first.
    pub causes: Vec<Cause>,
    /// What was tried.
    pub attempts: Vec<Attempt>,
}

impl From<Incident> for IncidentView {
    fn from(incident: Incident) -> Self {
        let fault = incident.fault;
        Self {
            id: incident.id,
            plugin: incident.plugin,
            policy: incident.policy,
            kind: fault.kind,
            target: fault.target,
            state: incident.state,
            severity: fault.severity,
            summary: fault.summary,
            evidence: fault.evidence,
            opened_at: incident.opened_at,
            occurred_at: incident.occurred_at,
            since: incident.since,
            resolution: incident.resolution,
            plugin_digest: incident.digest,
            round: incident.round,
            flapping: incident.flapping,
            caused_by: incident.cause,
            pending: incident.pending,
            resolved_at: incident.resolved_at,
            causes: incident.causes,
            attempts: incident.attempts,
        }
    }
}

/// `GET /v1/incidents/{id}`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct IncidentDetail {
    /// The incident.
    #[serde(flatten)]
    pub incident: IncidentView,
    /// Its life, from the beginning.
    pub transitions: Vec<Transition>,
    /// What was collected before its attempts.
    pub collected: Vec<Collected>,
}

/// One thing that was collected before an attempt.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Collected {
    /// Before which.
    pub attempt: u32,
    /// What.
    #[serde(flatten)]
    pub evidence: Evidence,
}

/// `GET /v1/status`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StatusView {
    /// The agent's version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Since when it runs.
    pub started_at: Timestamp,
    /// The most any policy may do.
    pub ceiling: String,
    /// Open incidents by state.
    pub open_incidents: BTreeMap<State, u64>,
    /// Holds in force.
    pub holds: Vec<Hold>,
    /// What opened the storm breaker; null while it is closed.
    pub breaker: Option<Trip>,
    /// Sources of signals that somebody asks for, and how they do.
    #[serde(default)]
    pub sources: Vec<SourceView>,
    /// What is kept of the metrics.
    #[serde(default)]
    pub history: Usage,
    /// Ways to tell people, and how they do.
    pub channels: Vec<ChannelView>,
    /// Plugins and policies.
    #[serde(flatten)]
    pub fleet: FleetView,
}

impl StatusView {
    /// Everything that is not as it should be, a sentence each.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = self.fleet.problems.clone();
        problems.extend(self.breaker.iter().map(|trip| {
            format!("nothing is done: the storm breaker opened ({}); `salve resume --breaker` closes it", trip.reason)
        }));
        let by_breaker = self.holds.iter().filter(|hold| hold.actor == BREAKER);
        let by_breaker = by_breaker.filter_map(|hold| Some((hold.policy.as_ref()?, &hold.reason)));
        let is_here = |name: &str| self.fleet.policies.iter().any(|policy| policy.name == *name);
        problems.extend(by_breaker.filter(|(policy, _)| is_here(policy)).map(|(policy, reason)| {
            format!("policy {policy}: nothing is done for it: {reason}; `salve resume --policy {policy}` ends that")
        }));
        problems.extend(self.channels.iter().filter(|channel| channel.state.waiting > 0).filter_map(|channel| {
            let error = channel.state.error.as_ref()?;
            Some(format!("channel {}: {} notices wait: {error}", channel.name, channel.state.waiting))
        }));
        problems.extend(self.sources.iter().filter(|source| source.condition == Condition::Degraded).map(|source| {
            format!("source {}: {}", source.source, source.reason.as_deref().unwrap_or("cannot be read"))
        }));
        let plugins = self.fleet.plugins.iter().filter_map(|plugin| Some((&plugin.name, plugin.problem.as_ref()?)));
        problems.extend(plugins.map(|(name, problem)| format!("plugin {name}: {problem}")));
        for policy in &self.fleet.policies {
            if let Some(problem) = &policy.problem {
                problems.push(format!("policy {}: {problem}", policy.name));
            }
            let Some(instance) = &policy.instance else { continue };
            let error = instance.last_error.as_deref().unwrap_or_default();
            let (name, plugin) = (&policy.name, &policy.plugin);
            match instance.state {
                InstanceState::Backoff => problems.push(format!("policy {name}: its plugin is down: {error}")),
                InstanceState::Quarantined => problems.push(format!(
                    "policy {name}: its plugin is quarantined: {error}; new bytes, a changed policy or `salve plugin \
                     release {plugin}` end that"
                )),
                InstanceState::Loading | InstanceState::Running | InstanceState::Unloading => {}
            }
        }
        problems
    }
}
