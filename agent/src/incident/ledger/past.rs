use std::time::Duration;

use rusqlite::Connection;

use super::LedgerError;
use super::read::{self, timestamp};
use crate::action::Action;
use crate::clock::Now;
use crate::incident::Past;
use crate::incident::engine::{Begun, Change};

/// What is older than this does not count any more for budgets, the breaker or flapping, whatever a policy says.
const RECENT: Duration = Duration::from_secs(24 * 3600);

/// All that an engine carries on with.
pub(super) fn past(connection: &Connection, now: Now) -> Result<Past, LedgerError> {
    let since = now.wall.as_nanos().saturating_sub(u64::try_from(RECENT.as_nanos()).unwrap_or(u64::MAX));
    let since = i64::try_from(since).unwrap_or(i64::MAX);
    let (holds, trip) = read::stops(connection)?;
    let next_hold: i64 = connection.query_row("SELECT coalesce(max(id), 0) + 1 FROM hold", [], |row| row.get(0))?;
    let last_id = connection.query_row("SELECT coalesce(max(id), '') FROM incident", [], |row| row.get(0))?;
    let forgiven: Option<i64> = connection.query_row("SELECT max(closed_at) FROM trip", [], |row| row.get(0))?;
    Ok(Past {
        forgiven: forgiven.map(|at| now.mono_of(timestamp(at))),
        last_id,
        open: read::open_incidents(connection)?,
        recency: read::recency(connection, now)?,
        holds,
        quarantines: read::quarantines(connection)?,
        next_hold,
        trip,
        begun: begun(connection, now, since)?,
        changes: changes(connection, now, since)?,
    })
}

fn begun(connection: &Connection, now: Now, since: i64) -> Result<Vec<Begun>, LedgerError> {
    let mut select = connection.prepare(
        "SELECT policy, targets, actions, started_at FROM attempt JOIN incident ON incident.id = attempt.incident
         WHERE started_at > ?1 ORDER BY started_at",
    )?;
    let mut rows = select.query([since])?;
    let mut begun = Vec::new();
    while let Some(row) = rows.next()? {
        let actions: Vec<Action> = read::json(&row.get::<_, String>(2)?)?;
        begun.push(Begun {
            policy: row.get(0)?,
            targets: read::json(&row.get::<_, String>(1)?)?,
            actions: actions.len(),
            reboot: actions.iter().any(|action| action.kind == "host.reboot"),
            at: now.mono_of(timestamp(row.get(3)?)),
        });
    }
    Ok(begun)
}

fn changes(connection: &Connection, now: Now, since: i64) -> Result<Vec<Change>, LedgerError> {
    // Ids are times, so this is in the order of opening.
    let mut select = connection.prepare(
        "SELECT policy, kind, target, opened_at, resolved_at FROM incident
         WHERE opened_at > ?1 OR resolved_at IS NULL ORDER BY id",
    )?;
    let mut rows = select.query([since])?;
    let mut changes = Vec::new();
    while let Some(row) = rows.next()? {
        changes.push(Change {
            policy: row.get(0)?,
            kind: row.get(1)?,
            target: row.get(2)?,
            opened: now.mono_of(timestamp(row.get(3)?)),
            resolved: row.get::<_, Option<i64>>(4)?.map(|at| now.mono_of(timestamp(at))),
        });
    }
    Ok(changes)
}
