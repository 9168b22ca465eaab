use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Params, Row};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{FILE, LedgerError, schema};
use crate::action::Evidence;
use crate::clock::{Now, Timestamp};
use crate::incident::{Attempt, Fault, Hold, Incident, Quarantine, Recency, Resolution, Severity, State, Trip};

/// Attempts older than this do not make a new one wait any more, whatever a policy's backoff says: no wait is that long.
const RECENT: Duration = Duration::from_secs(24 * 3600);

/// What [`incidents`] reads.
pub(super) const COLUMNS: &str = "id, plugin, policy, kind, target, severity, summary, evidence, causes, state, opened_at, \
                       resolved_at, basis, \
                       digest, moved_at, occurred_at, round, pending, cause, flapping, resolution";

/// Reads the ledger while the engine writes it. Calls block for as long as SQLite takes.
#[derive(Debug)]
pub struct LedgerReader(Mutex<Connection>);

/// One step in an incident's life.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Transition {
    /// From where; none where it was opened.
    pub from: Option<State>,
    /// To where.
    pub to: State,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
    /// Who, if a person did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
}

impl LedgerReader {
    pub(super) fn new(connection: Connection) -> Self {
        Self(Mutex::new(connection))
    }

    /// Opens the ledger of a state directory whose agent does not run, for reading only: nothing is made, mended or migrated.
    pub fn open(state: &Path) -> Result<Self, LedgerError> {
        let path = state.join(FILE);
        let refused = |error| LedgerError::Open { path: path.clone(), error };
        let (connection, found) = match opened(&path, "ro") {
            // The index of SQLite's log cannot be made where nothing may be written; without an agent it is not needed.
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::CannotOpen) && path.is_file() => {
                opened(&path, "ro&immutable=1").map_err(refused)?
            }
            opened => opened.map_err(refused)?,
        };
        let known = schema::newest();
        if found != known {
            return Err(LedgerError::Version { path, found, known });
        }
        Ok(Self::new(connection))
    }

    /// The newest incidents first, at most `limit`, without their attempts' details being left out.
    pub fn list(&self, open_only: bool, limit: u32) -> Result<Vec<Incident>, LedgerError> {
        let filter = if open_only { "WHERE resolved_at IS NULL" } else { "" };
        let sql = format!("SELECT {COLUMNS} FROM incident {filter} ORDER BY id DESC LIMIT ?1");
        incidents(&self.connection(), &sql, [limit])
    }

    /// The incidents whose id begins with `prefix`, at most two: one is an answer, two are an ambiguity.
    pub fn find(&self, prefix: &str) -> Result<Vec<Incident>, LedgerError> {
        // The first id after every one that begins with the prefix: no id has a character beyond `z`.
        let end = format!("{prefix}{{");
        let sql = format!("SELECT {COLUMNS} FROM incident WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT 2");
        incidents(&self.connection(), &sql, [prefix, &end])
    }

    /// An incident's life, from the beginning.
    pub fn transitions(&self, id: &str) -> Result<Vec<Transition>, LedgerError> {
        transitions(&self.connection(), id)
    }

    /// What was collected before each attempt, as attempt and evidence, in order.
    pub fn evidence(&self, id: &str) -> Result<Vec<(u32, Evidence)>, LedgerError> {
        let connection = self.connection();
        let mut select = connection
            .prepare_cached("SELECT attempt, evidence FROM evidence WHERE incident = ?1 ORDER BY attempt, place")?;
        let mut rows = select.query([id])?;
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            all.push((row.get(0)?, json(&row.get::<_, String>(1)?)?));
        }
        Ok(all)
    }

    /// The holds in force at `now`, and the breaker's trip if it is open.
    pub fn stops(&self, now: Timestamp) -> Result<(Vec<Hold>, Option<Trip>), LedgerError> {
        let (mut holds, trip) = stops(&self.connection())?;
        holds.retain(|hold| hold.until.is_none_or(|until| until > now));
        Ok((holds, trip))
    }

    pub(super) fn connection(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens a file in a mode of SQLite's URIs, and reads which schema it has.
fn opened(path: &Path, mode: &str) -> Result<(Connection, usize), rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    // In a URI these three mean something else.
    let name = path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let connection = Connection::open_with_flags(format!("file:{name}?mode={mode}"), flags)?;
    connection.busy_timeout(super::BUSY)?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok((connection, usize::try_from(version).unwrap_or(0)))
}

pub(super) fn transitions(connection: &Connection, id: &str) -> Result<Vec<Transition>, LedgerError> {
    let mut select = connection.prepare_cached(
        "SELECT from_state, to_state, at, reason, actor FROM transition WHERE incident = ?1 ORDER BY id",
    )?;
    let mut rows = select.query([id])?;
    let mut transitions = Vec::new();
    while let Some(row) = rows.next()? {
        let from: Option<String> = row.get(0)?;
        transitions.push(Transition {
            from: from.map(|word| word.parse()).transpose().map_err(LedgerError::Row)?,
            to: row.get::<_, String>(1)?.parse().map_err(LedgerError::Row)?,
            at: timestamp(row.get(2)?),
            reason: row.get(3)?,
            actor: row.get(4)?,
        });
    }
    Ok(transitions)
}

/// What was collected before each attempt, by its number.
pub(super) fn collected(connection: &Connection, id: &str) -> Result<HashMap<u32, Vec<Evidence>>, LedgerError> {
    let mut select = connection
        .prepare_cached("SELECT attempt, evidence FROM evidence WHERE incident = ?1 ORDER BY attempt, place")?;
    let mut rows = select.query([id])?;
    let mut collected: HashMap<u32, Vec<Evidence>> = HashMap::new();
    while let Some(row) = rows.next()? {
        collected.entry(row.get(0)?).or_default().push(json(&row.get::<_, String>(1)?)?);
    }
    Ok(collected)
}

pub(super) fn open_incidents(connection: &Connection) -> Result<Vec<Incident>, LedgerError> {
    let sql = format!("SELECT {COLUMNS} FROM incident WHERE resolved_at IS NULL ORDER BY id");
    incidents(connection, &sql, [])
}

pub(super) fn recency(connection: &Connection, now: Now) -> Result<HashMap<(String, String), Recency>, LedgerError> {
    let since = now.wall.as_nanos().saturating_sub(u64::try_from(RECENT.as_nanos()).unwrap_or(u64::MAX));
    // In the order of time, so that the last attempt on a target is what remains of it.
    let mut select = connection.prepare(
        "SELECT policy, target, streak, started_at, resolved_at
         FROM attempt JOIN incident ON incident.id = attempt.incident
         WHERE started_at > ?1 ORDER BY started_at",
    )?;
    let mut rows = select.query([i64::try_from(since).unwrap_or(i64::MAX)])?;
    let mut recency = HashMap::new();
    while let Some(row) = rows.next()? {
        let resolved: Option<i64> = row.get(4)?;
        let last = Recency {
            streak: row.get(2)?,
            last_began: Some(now.mono_of(timestamp(row.get(3)?))),
            healthy_since: resolved.map(|at| now.mono_of(timestamp(at))),
        };
        recency.insert((row.get(0)?, row.get(1)?), last);
    }
    Ok(recency)
}

pub(super) fn incidents(connection: &Connection, sql: &str, params: impl Params) -> Result<Vec<Incident>, LedgerError> {
    let mut select = connection.prepare_cached(sql)?;
    let mut rows = select.query(params)?;
    let mut incidents = Vec::new();
    while let Some(row) = rows.next()? {
        let mut incident = incident(row)?;
        incident.attempts = attempts(connection, &incident.id)?;
        incidents.push(incident);
    }
    Ok(incidents)
}

fn incident(row: &Row<'_>) -> Result<Incident, LedgerError> {
    let fault = Fault {
        kind: row.get(3)?,
        target: row.get(4)?,
        severity: severity(&row.get::<_, String>(5)?)?,
        summary: row.get(6)?,
        evidence: json(&row.get::<_, String>(7)?)?,
    };
    Ok(Incident {
        id: row.get(0)?,
        plugin: row.get(1)?,
        policy: row.get(2)?,
        fault,
        causes: json(&row.get::<_, String>(8)?)?,
        state: row.get::<_, String>(9)?.parse().map_err(LedgerError::Row)?,
        opened_at: timestamp(row.get(10)?),
        resolved_at: row.get::<_, Option<i64>>(11)?.map(timestamp),
        basis: row.get(12)?,
        digest: row.get(13)?,
        since: timestamp(row.get(14)?),
        occurred_at: timestamp(row.get(15)?),
        round: row.get(16)?,
        pending: row.get::<_, Option<String>>(17)?.map(|pending| json(&pending)).transpose()?,
        cause: row.get(18)?,
        flapping: row.get(19)?,
        resolution: row.get::<_, Option<String>>(20)?.map(|word| resolution(&word)).transpose()?,
        attempts: Vec::new(),
    })
}

fn attempts(connection: &Connection, id: &str) -> Result<Vec<Attempt>, LedgerError> {
    let mut select = connection.prepare_cached(
        "SELECT number, started_at, finished_at, actions, verdict, round, digest, targets
         FROM attempt WHERE incident = ?1 ORDER BY number",
    )?;
    let mut outcomes =
        connection.prepare_cached("SELECT outcome FROM outcome WHERE incident = ?1 AND attempt = ?2 ORDER BY step")?;
    let mut rows = select.query([id])?;
    let mut attempts = Vec::new();
    while let Some(row) = rows.next()? {
        let number: u32 = row.get(0)?;
        let mut done = Vec::new();
        let mut outcome_rows = outcomes.query((id, number))?;
        while let Some(outcome) = outcome_rows.next()? {
            done.push(json(&outcome.get::<_, String>(0)?)?);
        }
        attempts.push(Attempt {
            number,
            started: timestamp(row.get(1)?),
            finished: row.get::<_, Option<i64>>(2)?.map(timestamp),
            actions: json(&row.get::<_, String>(3)?)?,
            outcomes: done,
            verdict: row.get::<_, Option<String>>(4)?.map(|verdict| json(&verdict)).transpose()?,
            round: row.get(5)?,
            digest: row.get(6)?,
            targets: json(&row.get::<_, String>(7)?)?,
        });
    }
    Ok(attempts)
}

fn severity(word: &str) -> Result<Severity, LedgerError> {
    let all = [Severity::Info, Severity::Warning, Severity::Error, Severity::Critical];
    let found = all.into_iter().find(|severity| severity.as_str() == word);
    found.ok_or_else(|| LedgerError::Row(format!("no severity `{word}`")))
}

fn resolution(word: &str) -> Result<Resolution, LedgerError> {
    let found = Resolution::ALL.into_iter().find(|resolution| resolution.as_str() == word);
    found.ok_or_else(|| LedgerError::Row(format!("no resolution `{word}`")))
}

pub(super) fn timestamp(nanos: i64) -> Timestamp {
    Timestamp::from_nanos(u64::try_from(nanos).unwrap_or(0))
}

/// SQLite's integers are signed; nanoseconds fit until the year 2262.
pub(super) fn nanos(at: Timestamp) -> i64 {
    i64::try_from(at.as_nanos()).unwrap_or(i64::MAX)
}

pub(super) fn json<T: DeserializeOwned>(text: &str) -> Result<T, LedgerError> {
    serde_json::from_str(text).map_err(|error| LedgerError::Row(format!("{error} in {text}")))
}

impl LedgerReader {
    /// How many incidents are in each state that is not resolved.
    pub fn open_by_state(&self) -> Result<Vec<(State, u64)>, LedgerError> {
        let connection = self.connection();
        let mut select = connection
            .prepare_cached("SELECT state, count(*) FROM incident WHERE resolved_at IS NULL GROUP BY state")?;
        let rows = select.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))?;
        rows.map(|row| {
            let (state, count) = row?;
            Ok((state.parse().map_err(LedgerError::Row)?, u64::try_from(count).unwrap_or(0)))
        })
        .collect()
    }
}

/// The plugins that are quarantined.
pub(super) fn quarantines(connection: &Connection) -> Result<Vec<Quarantine>, LedgerError> {
    let mut select = connection.prepare(
        "SELECT policy, plugin, basis, digest, since, reason FROM quarantine WHERE ended_at IS NULL ORDER BY id",
    )?;
    let rows = select.query_map([], |row| {
        Ok(Quarantine {
            policy: row.get(0)?,
            plugin: row.get(1)?,
            basis: row.get(2)?,
            digest: row.get(3)?,
            since: timestamp(row.get(4)?),
            reason: row.get(5)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The holds that are in force, and the breaker's trip if it is open.
pub(super) fn stops(connection: &Connection) -> Result<(Vec<Hold>, Option<Trip>), LedgerError> {
    let mut select = connection.prepare(
        "SELECT id, policy, target, since, until, reason, actor FROM hold WHERE ended_at IS NULL ORDER BY id",
    )?;
    let holds = select.query_map([], |row| {
        Ok(Hold {
            id: row.get(0)?,
            policy: row.get(1)?,
            target: row.get(2)?,
            since: timestamp(row.get(3)?),
            until: row.get::<_, Option<i64>>(4)?.map(timestamp),
            reason: row.get(5)?,
            actor: row.get(6)?,
        })
    })?;
    let holds = holds.collect::<Result<_, _>>()?;
    let trip = connection
        .prepare("SELECT at, reason FROM trip WHERE closed_at IS NULL ORDER BY id DESC LIMIT 1")?
        .query_row([], |row| Ok(Trip { at: timestamp(row.get(0)?), reason: row.get(1)? }))
        .optional()?;
    Ok((holds, trip))
}
