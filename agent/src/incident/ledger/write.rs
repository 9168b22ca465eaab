use rusqlite::{Transaction, params};
use serde::Serialize;

use super::LedgerError;
use crate::clock::Timestamp;
use crate::incident::{Incident, Record, State};

/// Stores one record.
pub(super) fn record(transaction: &Transaction<'_>, record: &Record) -> Result<(), LedgerError> {
    match record {
        Record::Opened(incident) => opened(transaction, incident)?,
        Record::Raised { id, fault } => {
            let mut update = transaction
                .prepare_cached("UPDATE incident SET severity = ?2, summary = ?3, evidence = ?4 WHERE id = ?1")?;
            update.execute(params![id, fault.severity.as_str(), fault.summary, json(&fault.evidence)?])?;
        }
        Record::Diagnosed { id, causes } => {
            let mut update = transaction.prepare_cached("UPDATE incident SET causes = ?2 WHERE id = ?1")?;
            update.execute(params![id, json(causes)?])?;
        }
        Record::Moved { id, from, to, at, reason, basis } => {
            let resolved_at = (*to == State::Resolved).then_some(nanos(*at));
            let mut update = transaction
                .prepare_cached("UPDATE incident SET state = ?2, resolved_at = ?3, basis = ?4 WHERE id = ?1")?;
            update.execute(params![id, to.as_str(), resolved_at, basis])?;
            moved(transaction, id, Some(*from), *to, *at, reason)?;
        }
        Record::Began { id, attempt, at, streak, actions } => {
            let mut insert = transaction.prepare_cached(
                "INSERT INTO attempt (incident, number, started_at, streak, actions) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?;
            insert.execute(params![id, attempt, nanos(*at), streak, json(actions)?])?;
        }
        Record::Done { id, attempt, step, outcome } => {
            let mut insert = transaction
                .prepare_cached("INSERT INTO outcome (incident, attempt, step, outcome) VALUES (?1, ?2, ?3, ?4)")?;
            insert.execute(params![id, attempt, step, json(outcome)?])?;
        }
        Record::Judged { id, attempt, at, verdict } => {
            let mut update = transaction.prepare_cached(
                "UPDATE attempt SET finished_at = ?3, verdict = ?4 WHERE incident = ?1 AND number = ?2",
            )?;
            update.execute(params![id, attempt, nanos(*at), json(verdict)?])?;
        }
    }
    Ok(())
}

fn opened(transaction: &Transaction<'_>, incident: &Incident) -> Result<(), LedgerError> {
    let fault = &incident.fault;
    let mut insert = transaction.prepare_cached(
        "INSERT INTO incident
            (id, plugin, policy, kind, target, severity, summary, evidence, causes, state, opened_at, basis)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, '[]', ?9, ?10, ?11)",
    )?;
    insert.execute(params![
        incident.id,
        incident.plugin,
        incident.policy,
        fault.kind,
        fault.target,
        fault.severity.as_str(),
        fault.summary,
        json(&fault.evidence)?,
        incident.state.as_str(),
        nanos(incident.opened_at),
        incident.basis,
    ])?;
    moved(transaction, &incident.id, None, incident.state, incident.opened_at, &fault.summary)
}

fn moved(
    transaction: &Transaction<'_>,
    id: &str,
    from: Option<State>,
    to: State,
    at: Timestamp,
    reason: &str,
) -> Result<(), LedgerError> {
    let mut insert = transaction.prepare_cached(
        "INSERT INTO transition (incident, from_state, to_state, at, reason) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    insert.execute(params![id, from.map(State::as_str), to.as_str(), nanos(at), reason])?;
    Ok(())
}

/// SQLite's integers are signed; nanoseconds fit until the year 2262.
fn nanos(at: Timestamp) -> i64 {
    i64::try_from(at.as_nanos()).unwrap_or(i64::MAX)
}

fn json(value: &impl Serialize) -> Result<String, LedgerError> {
    serde_json::to_string(value).map_err(|error| LedgerError::Row(error.to_string()))
}
