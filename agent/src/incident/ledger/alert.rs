use std::time::Duration;

use rusqlite::{Transaction, params};

use super::outbox::{begin, failed, later, moment, nanos, succeeded};
use super::{LedgerError, Outbox};
use crate::clock::Timestamp;
use crate::incident::Notice;

/// An alert whose sending is due: it changed, or its receiver would forget it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// Whose.
    pub key: String,
    /// A JSON object of strings; the same from the alert's beginning to its end.
    pub labels: String,
    /// A JSON object of strings.
    pub annotations: String,
    /// When it began.
    pub starts_at: Timestamp,
    /// When it ended, if it has.
    pub ends_at: Option<Timestamp>,
    /// Counts its changes: what changes while it is sent has to be sent again.
    pub revision: i64,
    /// How often sending was tried in vain.
    pub tries: u32,
}

impl Outbox {
    /// The alerts that are due, the oldest first, at most `most`. A time further away than `longest` is a clock that was set
    /// back.
    pub fn due_alerts(
        &self,
        channel: &str,
        now: Timestamp,
        longest: Duration,
        most: u32,
    ) -> Result<Vec<Alert>, LedgerError> {
        let connection = self.connection();
        let mut select = connection.prepare_cached(
            "SELECT key, labels, annotations, starts_at, ends_at, revision, tries FROM alert
             WHERE channel = ?1 AND (next_at <= ?2 OR next_at > ?3) ORDER BY next_at LIMIT ?4",
        )?;
        let rows = select.query_map(params![channel, nanos(now), nanos(later(now, longest)), most], |row| {
            Ok(Alert {
                key: row.get(0)?,
                labels: row.get(1)?,
                annotations: row.get(2)?,
                starts_at: moment(row.get(3)?),
                ends_at: row.get::<_, Option<i64>>(4)?.map(moment),
                revision: row.get(5)?,
                tries: row.get(6)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Alerts arrived: those that have ended are forgotten, the others sent again after `again`; those that changed
    /// meanwhile, at once.
    pub fn alerts_sent(
        &self,
        channel: &str,
        alerts: &[Alert],
        now: Timestamp,
        again: Duration,
    ) -> Result<(), LedgerError> {
        let mut connection = self.connection();
        let transaction = begin(&mut connection)?;
        for alert in alerts {
            transaction
                .prepare_cached(
                    "DELETE FROM alert WHERE channel = ?1 AND key = ?2 AND revision = ?3 AND ends_at IS NOT NULL",
                )?
                .execute(params![channel, alert.key, alert.revision])?;
            transaction
                .prepare_cached(
                    "UPDATE alert SET sent = ?3, tries = 0, next_at = iif(revision = ?3, ?4, next_at)
                     WHERE channel = ?1 AND key = ?2",
                )?
                .execute(params![channel, alert.key, alert.revision, nanos(later(now, again))])?;
        }
        succeeded(&transaction, channel, now)?;
        Ok(transaction.commit()?)
    }

    /// Alerts did not arrive and are due again after `delay`. An end that nobody could be told since `cutoff` is given up:
    /// whoever did not hear of it for so long has forgotten the alert by himself. What is still true is not given up.
    pub fn alerts_failed(
        &self,
        channel: &str,
        alerts: &[Alert],
        error: &str,
        (now, delay, cutoff): (Timestamp, Duration, Timestamp),
    ) -> Result<(), LedgerError> {
        let mut connection = self.connection();
        let transaction = begin(&mut connection)?;
        for alert in alerts {
            transaction
                .prepare_cached("UPDATE alert SET tries = tries + 1, next_at = ?3 WHERE channel = ?1 AND key = ?2")?
                .execute(params![channel, alert.key, nanos(later(now, delay))])?;
        }
        transaction.execute(
            "DELETE FROM alert WHERE channel = ?1 AND ends_at IS NOT NULL AND since <= ?2",
            params![channel, nanos(cutoff)],
        )?;
        failed(&transaction, channel, error, now)?;
        Ok(transaction.commit()?)
    }
}

/// Begins a key's alert, or changes what is said of it. One whose end has not been told yet goes on.
pub(super) fn open(
    transaction: &Transaction<'_>,
    channel: &str,
    notice: &Notice,
    labels: &str,
    annotations: &str,
    now: Timestamp,
) -> Result<(), LedgerError> {
    transaction
        .prepare_cached(
            "INSERT INTO alert (channel, key, labels, annotations, starts_at, since, next_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)
             ON CONFLICT (channel, key) DO UPDATE SET annotations = excluded.annotations, ends_at = NULL,
                revision = revision + 1, since = excluded.since, tries = 0, next_at = excluded.next_at",
        )?
        .execute(params![channel, notice.key, labels, annotations, nanos(notice.at), nanos(now)])?;
    Ok(())
}

/// Ends a key's alert, if it has one that has not ended.
pub(super) fn end(
    transaction: &Transaction<'_>,
    channel: &str,
    notice: &Notice,
    annotations: &str,
    now: Timestamp,
) -> Result<(), LedgerError> {
    transaction
        .prepare_cached(
            "UPDATE alert SET annotations = ?3, ends_at = max(?4, starts_at), revision = revision + 1, since = ?5, tries = 0, next_at = ?5
             WHERE channel = ?1 AND key = ?2 AND ends_at IS NULL",
        )?
        .execute(params![channel, notice.key, annotations, nanos(notice.at), nanos(now)])?;
    Ok(())
}
