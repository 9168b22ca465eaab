use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};
use serde::{Deserialize, Serialize};

use super::LedgerError;
use crate::clock::Timestamp;
use crate::incident::{Notice, NoticeKind};

/// How long a delivery that is done is kept to be looked at.
const KEEP: Duration = Duration::from_secs(7 * 24 * 3600);

/// A notice with its number in this ledger.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredNotice {
    /// Its number: they grow.
    pub id: i64,
    /// What it says.
    pub notice: Notice,
}

/// What a channel makes of a notice that it sees for the first time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// Nothing.
    None,
    /// It is delivered.
    Delivery,
    /// Its key has an alert that stays until the key is ended. Labels are those of the key's first notice for as long as
    /// the alert lasts, because a receiver knows an alert by them; annotations are those of the last.
    Alert {
        /// A JSON object of strings.
        labels: String,
        /// A JSON object of strings.
        annotations: String,
    },
    /// Its key's alert ends, if there is one.
    End {
        /// A JSON object of strings.
        annotations: String,
    },
}

/// A notice that waits on a channel and is due.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// What to say.
    pub stored: StoredNotice,
    /// How often that was tried in vain.
    pub tries: u32,
}

/// How a channel does.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ChannelState {
    /// Notices and changes of alerts that are still to be told.
    pub waiting: u32,
    /// Notices that could not be told for so long that they never will be.
    pub given_up: u32,
    /// When something was last told.
    pub sent_at: Option<Timestamp>,
    /// When that last failed.
    pub failed_at: Option<Timestamp>,
    /// Why.
    pub error: Option<String>,
}

/// What waits to be told, by channel. A channel has a place in the list of notices, so that each notice is taken in once
/// whatever happens; deliveries are made at least once.
#[derive(Debug)]
pub struct Outbox(Mutex<Connection>);

impl Outbox {
    pub(super) fn new(connection: Connection) -> Self {
        Self(Mutex::new(connection))
    }

    /// Says which channels there are. A new one begins with the notices that come from now on; what waits on one that is
    /// gone is given up. To be called before the engine stores its first notice.
    pub fn register(&self, channels: &[&str], now: Timestamp) -> Result<(), LedgerError> {
        let mut connection = self.connection();
        let known: Vec<String> = connection
            .prepare("SELECT name FROM channel")?
            .query_map([], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        let transaction = begin(&mut connection)?;
        for channel in channels {
            transaction.execute(
                "INSERT INTO channel (name, seen) VALUES (?1, (SELECT coalesce(max(id), 0) FROM notice))
                 ON CONFLICT (name) DO UPDATE SET seen = min(seen, excluded.seen)",
                [channel],
            )?;
        }
        for gone in known.iter().filter(|name| !channels.contains(&name.as_str())) {
            transaction.execute("DELETE FROM channel WHERE name = ?1", [gone])?;
            transaction.execute("DELETE FROM alert WHERE channel = ?1", [gone])?;
            transaction.execute(
                "UPDATE delivery SET done_at = ?2, fate = 'given-up', error = 'there is no such channel any more'
                 WHERE channel = ?1 AND done_at IS NULL",
                params![gone, nanos(now)],
            )?;
        }
        Ok(transaction.commit()?)
    }

    /// Takes in the notices that a channel has not seen yet, each as `entry` says. Messages are not asked about: they have
    /// their deliveries from the beginning.
    pub fn take_in(
        &self,
        channel: &str,
        now: Timestamp,
        entry: impl Fn(&StoredNotice) -> Entry,
    ) -> Result<(), LedgerError> {
        let mut connection = self.connection();
        let (seen, last): (i64, i64) = connection
            .prepare_cached("SELECT seen, (SELECT coalesce(max(id), 0) FROM notice) FROM channel WHERE name = ?1")?
            .query_row([channel], |row| Ok((row.get(0)?, row.get(1)?)))?;
        if last <= seen {
            if last < seen {
                // The list was emptied, and its numbers begin anew.
                connection.execute("UPDATE channel SET seen = ?2 WHERE name = ?1", params![channel, last])?;
            }
            return Ok(());
        }
        let transaction = begin(&mut connection)?;
        let new: Vec<_> = transaction
            .prepare_cached("SELECT id, notice FROM notice WHERE id > ?1 AND kind <> 'message' ORDER BY id")?
            .query_map([seen], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<Vec<(i64, String)>, _>>()?;
        let last = new.last().map_or(last, |(id, _)| last.max(*id));
        for (id, text) in new {
            let Ok(notice) = serde_json::from_str(&text) else {
                // Written by an agent with other notices; one that cannot be read must not stop those behind it.
                tracing::warn!(notice = id, "a notice in the ledger cannot be read and is not told");
                continue;
            };
            let stored = StoredNotice { id, notice };
            match entry(&stored) {
                Entry::None => (),
                Entry::Delivery => deliver(&transaction, &stored, channel, now)?,
                Entry::Alert { labels, annotations } => {
                    super::alert::open(&transaction, channel, &stored.notice, &labels, &annotations, now)?;
                }
                Entry::End { annotations } => {
                    super::alert::end(&transaction, channel, &stored.notice, &annotations, now)?;
                }
            }
        }
        transaction.execute("UPDATE channel SET seen = ?2 WHERE name = ?1", params![channel, last])?;
        Ok(transaction.commit()?)
    }

    /// Stores a message and its deliveries to these channels. The number of its notice.
    pub fn send(&self, channels: &[&str], message: &Notice, now: Timestamp) -> Result<i64, LedgerError> {
        let mut connection = self.connection();
        let transaction = begin(&mut connection)?;
        let id = store(&transaction, message)?;
        let stored = StoredNotice { id, notice: message.clone() };
        for channel in channels {
            deliver(&transaction, &stored, channel, now)?;
        }
        transaction.commit()?;
        Ok(id)
    }

    /// Joins what waits on a channel beyond the newest `most` into one summary, which grows until it is told.
    pub fn join(&self, channel: &str, most: u32, now: Timestamp) -> Result<(), LedgerError> {
        let mut connection = self.connection();
        let key = format!("summary:{channel}");
        let waiting: u32 = connection
            .prepare_cached("SELECT count(*) FROM delivery WHERE channel = ?1 AND done_at IS NULL")?
            .query_row([channel], |row| row.get(0))?;
        if waiting <= most {
            return Ok(());
        }
        let transaction = begin(&mut connection)?;
        let summary: Option<i64> = transaction
            .prepare_cached(
                "SELECT d.notice FROM delivery d JOIN notice n ON n.id = d.notice
                 WHERE d.channel = ?1 AND d.done_at IS NULL AND n.key = ?2",
            )?
            .query_row([channel, &key], |row| row.get(0))
            .optional()?;
        let mut notice = Notice {
            kind: NoticeKind::Message,
            at: now,
            key,
            reason: String::new(),
            incident: None,
            actions: Vec::new(),
        };
        let id = match summary {
            Some(id) => id,
            None => {
                let id = store(&transaction, &notice)?;
                deliver(&transaction, &StoredNotice { id, notice: notice.clone() }, channel, now)?;
                id
            }
        };
        transaction.execute(
            "UPDATE delivery SET done_at = ?3, fate = 'joined', joined = ?2
             WHERE channel = ?1 AND notice IN (
                SELECT notice FROM delivery WHERE channel = ?1 AND done_at IS NULL AND notice <> ?2
                ORDER BY notice DESC LIMIT -1 OFFSET ?4)",
            params![channel, id, nanos(now), most.saturating_sub(1)],
        )?;
        let kinds: Vec<(String, u32)> = transaction
            .prepare_cached(
                "SELECT n.kind, count(*) FROM delivery d JOIN notice n ON n.id = d.notice
                 WHERE d.channel = ?1 AND d.joined = ?2 GROUP BY n.kind ORDER BY n.kind",
            )?
            .query_map(params![channel, id], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        let total: u32 = kinds.iter().map(|(_, count)| count).sum();
        let kinds: Vec<String> = kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        notice.reason = format!("{total} notices could not be told one by one: {}", kinds.join(", "));
        let text = json(&notice)?;
        transaction.execute("UPDATE notice SET notice = ?2 WHERE id = ?1", params![id, text])?;
        Ok(transaction.commit()?)
    }

    /// The oldest delivery that is due. A time of the next try further away than `longest` is a clock that was set back.
    pub fn due(&self, channel: &str, now: Timestamp, longest: Duration) -> Result<Option<Delivery>, LedgerError> {
        let connection = self.connection();
        let found: Option<(i64, String, u32)> = connection
            .prepare_cached(
                "SELECT d.notice, n.notice, d.tries FROM delivery d JOIN notice n ON n.id = d.notice
                 WHERE d.channel = ?1 AND d.done_at IS NULL AND (d.next_at <= ?2 OR d.next_at > ?3)
                 ORDER BY d.notice LIMIT 1",
            )?
            .query_row(params![channel, nanos(now), nanos(later(now, longest))], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .optional()?;
        let Some((id, text, tries)) = found else {
            return Ok(None);
        };
        let notice = serde_json::from_str(&text).map_err(|error| LedgerError::Row(error.to_string()))?;
        Ok(Some(Delivery { stored: StoredNotice { id, notice }, tries }))
    }

    /// When the next delivery, or the next sending of an alert, is due.
    pub fn next_at(&self, channel: &str) -> Result<Option<Timestamp>, LedgerError> {
        let next: Option<i64> = self
            .connection()
            .prepare_cached(
                "SELECT min(next_at) FROM (SELECT next_at FROM delivery WHERE channel = ?1 AND done_at IS NULL
                 UNION ALL SELECT next_at FROM alert WHERE channel = ?1)",
            )?
            .query_row([channel], |row| row.get(0))?;
        Ok(next.map(moment))
    }

    /// A delivery was made.
    pub fn sent(&self, channel: &str, notice: i64, now: Timestamp) -> Result<(), LedgerError> {
        let mut connection = self.connection();
        let transaction = begin(&mut connection)?;
        transaction.execute(
            "UPDATE delivery SET done_at = ?3, fate = 'sent', error = NULL WHERE channel = ?1 AND notice = ?2",
            params![channel, notice, nanos(now)],
        )?;
        succeeded(&transaction, channel, now)?;
        Ok(transaction.commit()?)
    }

    /// A delivery failed and is due again after `delay`. Deliveries that have waited since `cutoff` are given up: this one,
    /// or, where the channel as a `whole` failed, every one.
    pub fn failed(
        &self,
        channel: &str,
        notice: i64,
        error: &str,
        (now, delay, cutoff): (Timestamp, Duration, Timestamp),
        whole: bool,
    ) -> Result<(), LedgerError> {
        let mut connection = self.connection();
        let transaction = begin(&mut connection)?;
        transaction.execute(
            "UPDATE delivery SET tries = tries + 1, next_at = ?3, error = ?4
             WHERE channel = ?1 AND notice = ?2 AND done_at IS NULL",
            params![channel, notice, nanos(later(now, delay)), error],
        )?;
        transaction.execute(
            "UPDATE delivery SET done_at = ?3, fate = 'given-up', error = ?4
             WHERE channel = ?1 AND done_at IS NULL AND since <= ?5 AND (notice = ?2 OR ?6)",
            params![channel, notice, nanos(now), error, nanos(cutoff), whole],
        )?;
        failed(&transaction, channel, error, now)?;
        Ok(transaction.commit()?)
    }

    /// Forgets deliveries that were done long ago.
    pub fn prune(&self, now: Timestamp) -> Result<(), LedgerError> {
        let before = Timestamp::from_nanos(now.as_nanos().saturating_sub(duration_nanos(KEEP)));
        // Those that a summary still has to count stay with it.
        self.connection().execute(
            "DELETE FROM delivery WHERE done_at < ?1 AND (joined IS NULL OR joined NOT IN
                (SELECT notice FROM delivery WHERE done_at IS NULL))",
            [nanos(before)],
        )?;
        Ok(())
    }

    /// How a channel does.
    pub fn state(&self, channel: &str) -> Result<ChannelState, LedgerError> {
        let state = self
            .connection()
            .prepare_cached(
                "SELECT (SELECT count(*) FROM delivery WHERE channel = ?1 AND done_at IS NULL)
                      + (SELECT count(*) FROM alert WHERE channel = ?1 AND sent <> revision),
                        (SELECT count(*) FROM delivery WHERE channel = ?1 AND fate = 'given-up'),
                        sent_at, failed_at, error
                 FROM channel WHERE name = ?1",
            )?
            .query_row([channel], |row: &Row<'_>| {
                Ok(ChannelState {
                    waiting: row.get(0)?,
                    given_up: row.get(1)?,
                    sent_at: row.get::<_, Option<i64>>(2)?.map(moment),
                    failed_at: row.get::<_, Option<i64>>(3)?.map(moment),
                    error: row.get(4)?,
                })
            })
            .optional()?;
        Ok(state.unwrap_or_default())
    }

    pub(super) fn connection(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A delivery of a notice; one of the same kind and key that still waits on the channel is replaced.
fn deliver(
    transaction: &Transaction<'_>,
    stored: &StoredNotice,
    channel: &str,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let StoredNotice { id, notice } = stored;
    transaction
        .prepare_cached(
            "UPDATE delivery SET done_at = ?5, fate = 'replaced'
             WHERE channel = ?1 AND done_at IS NULL AND notice <> ?2
               AND notice IN (SELECT id FROM notice WHERE kind = ?3 AND key = ?4)",
        )?
        .execute(params![channel, id, notice.kind.as_str(), notice.key, nanos(now)])?;
    transaction
        .prepare_cached("INSERT OR IGNORE INTO delivery (notice, channel, since, next_at) VALUES (?1, ?2, ?3, ?3)")?
        .execute(params![id, channel, nanos(now)])?;
    Ok(())
}

fn store(transaction: &Transaction<'_>, notice: &Notice) -> Result<i64, LedgerError> {
    transaction.execute(
        "INSERT INTO notice (at, kind, key, notice) VALUES (?1, ?2, ?3, ?4)",
        params![nanos(notice.at), notice.kind.as_str(), notice.key, json(notice)?],
    )?;
    Ok(transaction.last_insert_rowid())
}

pub(super) fn succeeded(transaction: &Transaction<'_>, channel: &str, now: Timestamp) -> Result<(), LedgerError> {
    transaction.execute("UPDATE channel SET sent_at = ?2 WHERE name = ?1", params![channel, nanos(now)])?;
    Ok(())
}

pub(super) fn failed(
    transaction: &Transaction<'_>,
    channel: &str,
    error: &str,
    now: Timestamp,
) -> Result<(), LedgerError> {
    transaction.execute(
        "UPDATE channel SET failed_at = ?2, error = ?3 WHERE name = ?1",
        params![channel, nanos(now), error],
    )?;
    Ok(())
}

/// A transaction that writes from its beginning: it waits for the engine's commit instead of failing on it halfway.
pub(super) fn begin(connection: &mut Connection) -> Result<Transaction<'_>, rusqlite::Error> {
    connection.transaction_with_behavior(TransactionBehavior::Immediate)
}

/// SQLite's integers are signed; nanoseconds fit until the year 2262.
pub(super) fn nanos(at: Timestamp) -> i64 {
    i64::try_from(at.as_nanos()).unwrap_or(i64::MAX)
}

pub(super) fn moment(nanos: i64) -> Timestamp {
    Timestamp::from_nanos(u64::try_from(nanos).unwrap_or(0))
}

pub(super) fn later(now: Timestamp, delay: Duration) -> Timestamp {
    Timestamp::from_nanos(now.as_nanos().saturating_add(duration_nanos(delay)))
}

fn duration_nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn json(notice: &Notice) -> Result<String, LedgerError> {
    serde_json::to_string(notice).map_err(|error| LedgerError::Row(error.to_string()))
}
