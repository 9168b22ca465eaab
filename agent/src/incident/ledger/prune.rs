//! What is old leaves the ledger, in small bites.

use std::time::Duration;

use rusqlite::{Connection, params};

use super::LedgerError;
use crate::clock::Timestamp;

/// Incidents that leave in one call at most: a commit never waits for more.
const BITE: u32 = 500;

/// All that hangs on an incident, the deepest first, and the incident itself.
const DELETES: [&str; 5] = [
    "DELETE FROM evidence WHERE incident = ?1",
    "DELETE FROM outcome WHERE incident = ?1",
    "DELETE FROM attempt WHERE incident = ?1",
    "DELETE FROM transition WHERE incident = ?1",
    "DELETE FROM incident WHERE id = ?1",
];

/// What left the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pruned {
    /// Incidents, with all that hung on them.
    pub incidents: u32,
    /// Notices.
    pub notices: u32,
    /// Whether there was more than one call takes.
    pub more: bool,
}

/// How many incidents there are.
pub(super) fn count(connection: &Connection) -> Result<u64, LedgerError> {
    let count: i64 = connection.query_row("SELECT count(*) FROM incident", [], |row| row.get(0))?;
    Ok(u64::try_from(count).unwrap_or(0))
}

/// Deletes the resolved incidents that ended longer than `keep` ago, and the oldest of those that are `excess` too many.
pub(super) fn prune(
    connection: &mut Connection,
    now: Timestamp,
    keep: Duration,
    excess: u64,
    limit: u32,
) -> Result<Pruned, LedgerError> {
    let limit = limit.min(BITE);
    let before = now.as_nanos().saturating_sub(u64::try_from(keep.as_nanos()).unwrap_or(u64::MAX));
    let mut before = i64::try_from(before).unwrap_or(i64::MAX);
    let transaction = connection.transaction()?;
    let mut pruned = Pruned::default();
    {
        let mut oldest = transaction.prepare_cached(
            "SELECT id, resolved_at FROM incident WHERE resolved_at IS NOT NULL ORDER BY resolved_at LIMIT ?1",
        )?;
        let oldest = oldest.query_map([limit], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))?;
        let oldest: Vec<_> = oldest.collect::<Result<_, _>>()?;
        let leaves = |(place, (_, resolved)): &(u64, (String, i64))| *place < excess || *resolved < before;
        let leaving: Vec<_> = (0..).zip(oldest).take_while(leaves).map(|(_, it)| it).collect();
        for (id, resolved) in leaving {
            for delete in DELETES {
                transaction.prepare_cached(delete)?.execute([&id])?;
            }
            before = before.max(resolved);
            pruned.incidents += 1;
        }
        // Notices as old as what left; those of an incident that is open stay with it.
        // The newest stays: channels remember by its number how far they are.
        let mut notices = transaction.prepare_cached(
            "DELETE FROM notice WHERE id IN (
                SELECT id FROM notice WHERE at < ?1 AND id < (SELECT max(id) FROM notice) AND key NOT IN (SELECT id FROM incident WHERE resolved_at IS NULL)
                ORDER BY at LIMIT ?2)",
        )?;
        pruned.notices = u32::try_from(notices.execute(params![before, limit])?).unwrap_or(u32::MAX);
    }
    transaction.commit()?;
    pruned.more = pruned.incidents == limit || pruned.notices == limit;
    Ok(pruned)
}
