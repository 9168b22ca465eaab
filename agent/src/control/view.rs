//! What the API answers with. These shapes are public: fields are added, never changed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::incident::ledger::Transition;
use crate::incident::{Attempt, Cause, Incident, Severity, State};
use crate::plugin::FleetView;
use crate::signal::Attribute;

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
    /// Null while it is open.
    pub resolved_at: Option<Timestamp>,
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
    /// Plugins and policies.
    #[serde(flatten)]
    pub fleet: FleetView,
}

impl StatusView {
    /// Everything that is not as it should be, a sentence each.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = self.fleet.problems.clone();
        let plugins = self.fleet.plugins.iter().filter_map(|plugin| Some((&plugin.name, plugin.problem.as_ref()?)));
        problems.extend(plugins.map(|(name, problem)| format!("plugin {name}: {problem}")));
        for policy in &self.fleet.policies {
            if let Some(problem) = &policy.problem {
                problems.push(format!("policy {}: {problem}", policy.name));
            }
            if let Some(error) =
                policy.instance.as_ref().filter(|i| !i.is_running()).and_then(|i| i.last_error.as_ref())
            {
                problems.push(format!("policy {}: its plugin is down: {error}", policy.name));
            }
        }
        problems
    }
}
