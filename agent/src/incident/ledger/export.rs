//! The ledger as JSON lines: an incident each, with all that hangs on it.

use rusqlite::OptionalExtension;
use serde::Serialize;

use super::read::{self, Transition};
use super::{LedgerError, LedgerReader};
use crate::action::Evidence;
use crate::clock::Timestamp;
use crate::incident::{Attempt, Cause, Incident, Resolution, Severity, State};
use crate::signal::Attribute;

/// Incidents that are read at once: what an export needs of memory, and how long it keeps the ledger's log from being
/// shortened.
const PAGE: u32 = 200;

/// One line of an export. Fields are added, never changed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Exported {
    /// Its name on its host.
    pub id: String,
    /// Which plugin found it.
    pub plugin: String,
    /// That plugin's content: SHA-256 in hexadecimal.
    pub digest: String,
    /// Under which policy.
    pub policy: String,
    /// The fault's kind.
    pub kind: String,
    /// What it is about.
    pub target: String,
    /// How bad it is.
    pub severity: Severity,
    /// One sentence.
    pub summary: String,
    /// What the plugin saw.
    pub evidence: Vec<Attribute>,
    /// Where it stands.
    pub state: State,
    /// When the host saw what the fault was found in; RFC 3339, as every time here.
    pub occurred_at: Timestamp,
    /// When the fault was found.
    pub opened_at: Timestamp,
    /// Null while it is open.
    pub resolved_at: Option<Timestamp>,
    /// How it ended.
    pub resolution: Option<Resolution>,
    /// The incident that it is a consequence of.
    pub cause: Option<String>,
    /// Whether the fault comes and goes too often to be healed.
    pub flapping: bool,
    /// How often the host began anew after it had been handed to a person.
    pub round: u32,
    /// The most likely first.
    pub causes: Vec<Cause>,
    /// What was tried.
    pub attempts: Vec<Tried>,
    /// Its life, from the beginning.
    pub transitions: Vec<Transition>,
}

/// An attempt, with what was collected before it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tried {
    /// The attempt.
    #[serde(flatten)]
    pub attempt: Attempt,
    /// What was collected before its first action.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub collected: Vec<Evidence>,
}

/// Where an export stands.
#[derive(Debug, Clone)]
pub struct Export {
    since: Timestamp,
    /// The next incident's id is not before this one.
    from: Option<String>,
    begun: bool,
}

impl Export {
    /// Of the incidents that were opened since then, in the order of their ids.
    pub fn new(since: Timestamp) -> Self {
        Self { since, from: None, begun: false }
    }

    /// The next lines, each with its end; none at the end of the ledger.
    pub fn next(&mut self, reader: &LedgerReader) -> Result<Option<Vec<u8>>, LedgerError> {
        if !self.begun {
            self.from = reader.first_since(self.since)?;
            self.begun = true;
        }
        let Some(from) = &self.from else { return Ok(None) };
        let page = reader.page(from, self.since)?;
        let mut lines = Vec::new();
        for incident in &page {
            serde_json::to_writer(&mut lines, incident).map_err(|error| LedgerError::Row(error.to_string()))?;
            lines.push(b'\n');
        }
        // No id is between one and itself followed by the least character.
        self.from = page.last().map(|last| format!("{}\0", last.id));
        Ok((!page.is_empty()).then_some(lines))
    }
}

impl LedgerReader {
    /// The least id of the incidents opened since then: they are sorted by time as long as no clock steps back.
    fn first_since(&self, since: Timestamp) -> Result<Option<String>, LedgerError> {
        let connection = self.connection();
        let sql = "SELECT min(id) FROM incident INDEXED BY incident_report WHERE opened_at >= ?1";
        let first = connection.query_row(sql, [read::nanos(since)], |row| row.get(0)).optional()?;
        Ok(first.flatten())
    }

    fn page(&self, from: &str, since: Timestamp) -> Result<Vec<Exported>, LedgerError> {
        let connection = self.connection();
        // One view of the ledger for all that belongs to an incident.
        let view = connection.unchecked_transaction()?;
        let sql = format!(
            "SELECT {} FROM incident WHERE id >= ?1 AND opened_at >= ?2 ORDER BY id LIMIT {PAGE}",
            read::COLUMNS
        );
        let incidents = read::incidents(&view, &sql, (from, read::nanos(since)))?;
        let mut page = Vec::with_capacity(incidents.len());
        for incident in incidents {
            let transitions = read::transitions(&view, &incident.id)?;
            let mut collected = read::collected(&view, &incident.id)?;
            let mut exported = Exported::from(incident);
            exported.transitions = transitions;
            for tried in &mut exported.attempts {
                tried.collected = collected.remove(&tried.attempt.number).unwrap_or_default();
            }
            page.push(exported);
        }
        Ok(page)
    }
}

impl From<Incident> for Exported {
    /// Without the transitions, and without what was collected.
    fn from(incident: Incident) -> Self {
        let fault = incident.fault;
        Self {
            id: incident.id,
            plugin: incident.plugin,
            digest: incident.digest,
            policy: incident.policy,
            kind: fault.kind,
            target: fault.target,
            severity: fault.severity,
            summary: fault.summary,
            evidence: fault.evidence,
            state: incident.state,
            occurred_at: incident.occurred_at,
            opened_at: incident.opened_at,
            resolved_at: incident.resolved_at,
            resolution: incident.resolution,
            cause: incident.cause,
            flapping: incident.flapping,
            round: incident.round,
            causes: incident.causes,
            attempts: incident.attempts.into_iter().map(|attempt| Tried { attempt, collected: Vec::new() }).collect(),
            transitions: Vec::new(),
        }
    }
}
