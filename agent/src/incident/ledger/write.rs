use rusqlite::{Connection, params};
use serde::Serialize;

use super::LedgerError;
use super::read::nanos;
use crate::action::Action;
use crate::clock::Timestamp;
use crate::incident::{Incident, Record, Resolution, State, Verdict};

/// Stores one record.
pub(super) fn record(transaction: &Connection, record: &Record) -> Result<(), LedgerError> {
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
        Record::Moved { id, from, to, at, reason, basis, actor, cause, resolution } => {
            let resolved_at = (*to == State::Resolved).then_some(nanos(*at));
            let mut update = transaction.prepare_cached(
                "UPDATE incident SET state = ?2, moved_at = ?3, resolved_at = ?4, basis = ?5, cause = ?6, resolution = ?7,
                    person = person OR ?8
                 WHERE id = ?1",
            )?;
            let resolution = resolution.map(Resolution::as_str);
            // So the report need not look at every step of every incident.
            let person = actor.is_some() || matches!(to, State::Escalated | State::AwaitingApproval);
            update.execute(params![id, to.as_str(), nanos(*at), resolved_at, basis, cause, resolution, person])?;
            moved(transaction, id, Some(*from), *to, *at, reason, actor.as_deref())?;
        }
        Record::Began { id, attempt, at, round, streak, digest, targets, actions } => {
            let mut insert = transaction.prepare_cached(
                "INSERT INTO attempt (incident, number, started_at, round, streak, digest, targets, actions, kinds)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?;
            let (targets, kinds, actions) = (json(targets)?, kinds(actions), json(actions)?);
            insert.execute(params![id, attempt, nanos(*at), round, streak, digest, targets, actions, kinds])?;
        }
        Record::Done { id, attempt, step, outcome } => {
            let mut insert = transaction
                .prepare_cached("INSERT INTO outcome (incident, attempt, step, outcome) VALUES (?1, ?2, ?3, ?4)")?;
            insert.execute(params![id, attempt, step, json(outcome)?])?;
        }
        Record::Judged { id, attempt, at, verdict } => {
            let mut update = transaction.prepare_cached(
                "UPDATE attempt SET finished_at = ?3, verdict = ?4, worked = ?5 WHERE incident = ?1 AND number = ?2",
            )?;
            let worked = match verdict {
                Verdict::Healthy => Some(true),
                Verdict::Unhealthy(_) => Some(false),
                Verdict::Undecided => None,
            };
            update.execute(params![id, attempt, nanos(*at), json(verdict)?, worked])?;
        }
        Record::Pending { id, pending } => {
            let mut update = transaction.prepare_cached("UPDATE incident SET pending = ?2 WHERE id = ?1")?;
            update.execute(params![id, pending.as_ref().map(json).transpose()?])?;
        }
        Record::Flapping { id, flapping } => {
            let mut update = transaction.prepare_cached("UPDATE incident SET flapping = ?2 WHERE id = ?1")?;
            update.execute(params![id, flapping])?;
        }
        Record::Round { id, round } => {
            let mut update = transaction.prepare_cached("UPDATE incident SET round = ?2 WHERE id = ?1")?;
            update.execute(params![id, round])?;
        }
        Record::Collected { id, attempt, evidence } => {
            let mut insert = transaction
                .prepare_cached("INSERT INTO evidence (incident, attempt, place, evidence) VALUES (?1, ?2, ?3, ?4)")?;
            for (place, evidence) in (0_i64..).zip(evidence) {
                insert.execute(params![id, attempt, place, json(evidence)?])?;
            }
        }
        Record::Held(hold) => {
            let mut insert = transaction.prepare_cached(
                "INSERT INTO hold (id, policy, target, since, until, reason, actor) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?;
            let until = hold.until.map(nanos);
            insert.execute(params![
                hold.id,
                hold.policy,
                hold.target,
                nanos(hold.since),
                until,
                hold.reason,
                hold.actor
            ])?;
        }
        Record::Released { hold, at, actor } => {
            let mut update = transaction
                .prepare_cached("UPDATE hold SET ended_at = ?2, ended_by = ?3 WHERE id = ?1 AND ended_at IS NULL")?;
            update.execute(params![hold, nanos(*at), actor])?;
        }
        Record::Tripped(trip) => {
            let mut insert = transaction.prepare_cached("INSERT INTO trip (at, reason) VALUES (?1, ?2)")?;
            insert.execute(params![nanos(trip.at), trip.reason])?;
        }
        Record::Closed { at, actor } => {
            let mut update =
                transaction.prepare_cached("UPDATE trip SET closed_at = ?1, closed_by = ?2 WHERE closed_at IS NULL")?;
            update.execute(params![nanos(*at), actor])?;
        }
        Record::Quarantined(it) => {
            let mut insert = transaction.prepare_cached(
                "INSERT INTO quarantine (policy, plugin, basis, digest, since, reason) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?;
            insert.execute(params![it.policy, it.plugin, it.basis, it.digest, nanos(it.since), it.reason])?;
        }
        Record::Freed { policy, at, reason, actor } => {
            let mut update = transaction.prepare_cached(
                "UPDATE quarantine SET ended_at = ?2, ended_by = ?3, ended_why = ?4
                 WHERE policy = ?1 AND ended_at IS NULL",
            )?;
            update.execute(params![policy, nanos(*at), actor, reason])?;
        }
        Record::Notice(notice) => {
            let mut insert =
                transaction.prepare_cached("INSERT INTO notice (at, kind, key, notice) VALUES (?1, ?2, ?3, ?4)")?;
            insert.execute(params![nanos(notice.at), notice.kind.as_str(), notice.key, json(notice)?])?;
        }
    }
    Ok(())
}

fn opened(transaction: &Connection, incident: &Incident) -> Result<(), LedgerError> {
    let fault = &incident.fault;
    let mut insert = transaction.prepare_cached(
        "INSERT INTO incident
            (id, plugin, digest, policy, kind, target, severity, summary, evidence, causes, state, moved_at,
             occurred_at, opened_at, basis)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, '[]', ?10, ?12, ?11, ?12, ?13)",
    )?;
    insert.execute(params![
        incident.id,
        incident.plugin,
        incident.digest,
        incident.policy,
        fault.kind,
        fault.target,
        fault.severity.as_str(),
        fault.summary,
        json(&fault.evidence)?,
        incident.state.as_str(),
        nanos(incident.occurred_at),
        nanos(incident.opened_at),
        incident.basis,
    ])?;
    moved(transaction, &incident.id, None, incident.state, incident.opened_at, &fault.summary, None)
}

fn moved(
    transaction: &Connection,
    id: &str,
    from: Option<State>,
    to: State,
    at: Timestamp,
    reason: &str,
    actor: Option<&str>,
) -> Result<(), LedgerError> {
    let mut insert = transaction.prepare_cached(
        "INSERT INTO transition (incident, from_state, to_state, at, reason, actor) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    insert.execute(params![id, from.map(State::as_str), to.as_str(), nanos(at), reason, actor])?;
    Ok(())
}

/// The kinds of the actions, each once, with commas between them.
fn kinds(actions: &[Action]) -> String {
    let mut kinds: Vec<&str> = Vec::new();
    for action in actions {
        if !kinds.contains(&&*action.kind) {
            kinds.push(&action.kind);
        }
    }
    kinds.join(",")
}

fn json(value: &impl Serialize) -> Result<String, LedgerError> {
    serde_json::to_string(value).map_err(|error| LedgerError::Row(error.to_string()))
}
