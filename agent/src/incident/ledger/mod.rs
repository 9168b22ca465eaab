//! The ledger: incidents, attempts and transitions in SQLite, and the plugins' durable state beside them. The only place
//! that names SQLite.
//!
//! One writer (the incident engine's task) commits all records of a step in one transaction, with `synchronous=FULL`: when
//! it returns, they survive a power cut, and only then do effects follow. Readers have connections of their own; in WAL
//! mode they never wait for the writer.

mod alert;
mod damage;
mod error;
mod export;
mod outbox;
mod past;
mod plugin_state;
mod prune;
mod read;
mod report;
mod reserve;
mod schema;
mod write;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};

pub use alert::Alert;
pub use error::LedgerError;
pub use export::{Export, Exported, Tried};
pub use outbox::{ChannelState, Delivery, Entry, Outbox, StoredNotice};
pub use plugin_state::{PluginState, Quota, StateOwner};
pub use prune::Pruned;
pub use read::{LedgerReader, Transition};
pub use report::{Group, GroupBy, Report, Tries};
pub use reserve::RESERVE;

use super::{Past, Record};
use crate::clock::{Clock, Now, SystemClock, Timestamp};
use reserve::Reserve;

/// The ledger's file in the state directory.
const FILE: &str = "ledger.sqlite";
/// How long one connection waits for another's write.
const BUSY: Duration = Duration::from_secs(5);

/// The ledger, for its one writer.
#[derive(Debug)]
pub struct Ledger {
    connection: Connection,
    path: PathBuf,
    reserve: Reserve,
    /// Where a damaged one was put.
    set_aside: Option<PathBuf>,
    /// How many incidents there are, once that was asked for.
    count: Option<u64>,
}

impl Ledger {
    /// Opens the ledger in the state directory with the usual reserve; see [`Self::open_with`].
    pub fn open(state: &Path) -> Result<Self, LedgerError> {
        Self::open_with(state, RESERVE)
    }

    /// Opens the ledger in the state directory, making both where they are not there, and keeps `reserve` bytes back for a
    /// full disk. A damaged ledger is set aside, and a new one begun.
    pub fn open_with(state: &Path, reserve: u64) -> Result<Self, LedgerError> {
        Self::prepare(state)?;
        let path = state.join(FILE);
        let mut reserve = Reserve::new(state, reserve);
        let (connection, set_aside) = match connect(&path) {
            Err(error) if error.is_damage() => {
                let now = SystemClock::new().now().wall;
                let aside =
                    damage::set_aside(&path, now).map_err(|error| LedgerError::Stuck { path: path.clone(), error })?;
                tracing::error!(%error, "the ledger was set aside as {}; a new one is begun", aside.display());
                (connect(&path)?, Some(aside))
            }
            Err(error) if reserve.spend_on(&error) => (connect(&path)?, None),
            connected => (connected?, None),
        };
        reserve.restore(Instant::now());
        Ok(Self { connection, path, reserve, set_aside, count: None })
    }

    /// Where the ledger that was found damaged is now, if one was.
    pub fn set_aside(&self) -> Option<&Path> {
        self.set_aside.as_deref()
    }

    /// Whether the space that is kept back for a full disk is used up, or could not be kept back.
    pub fn reserve_spent(&self) -> bool {
        self.reserve.is_spent()
    }

    /// Makes the state directory, where it is not there, without touching what is in it.
    pub fn prepare(state: &Path) -> Result<(), LedgerError> {
        make_private(state).map_err(|error| LedgerError::Directory { path: state.to_owned(), error })
    }

    /// A reader of the same ledger.
    pub fn reader(&self) -> Result<LedgerReader, LedgerError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let open = |error| LedgerError::Open { path: self.path.clone(), error };
        let connection = Connection::open_with_flags(&self.path, flags).map_err(open)?;
        connection.busy_timeout(BUSY)?;
        keep_little(&connection)?;
        Ok(LedgerReader::new(connection))
    }

    /// The plugins' durable state, kept in the same file.
    pub fn plugin_state(&self) -> Result<PluginState, LedgerError> {
        let open = |error| LedgerError::Open { path: self.path.clone(), error };
        let connection = Connection::open(&self.path).map_err(open)?;
        configure(&connection).map_err(open)?;
        // Not synced each time: a plugin may write with every batch. The engine's next commit syncs the same file, so what
        // a plugin knew before an incident moved is as safe as the move.
        connection.pragma_update(None, "synchronous", "NORMAL").map_err(open)?;
        Ok(PluginState::new(connection))
    }

    /// What waits to be told, kept in the same file: durable when a call returns.
    pub fn outbox(&self) -> Result<Outbox, LedgerError> {
        let open = |error| LedgerError::Open { path: self.path.clone(), error };
        let connection = Connection::open(&self.path).map_err(open)?;
        configure(&connection).map_err(open)?;
        Ok(Outbox::new(connection))
    }

    /// Stores records, all or none; durable when it returns. Where the disk is full, the reserve is given up for it.
    pub fn commit(&mut self, records: &[Record]) -> Result<(), LedgerError> {
        self.write(|connection| {
            let transaction = connection.transaction()?;
            for record in records {
                write::record(&transaction, record)?;
            }
            Ok(transaction.commit()?)
        })?;
        let opened = records.iter().filter(|record| matches!(record, Record::Opened(_))).count() as u64;
        self.count = self.count.map(|count| count + opened);
        Ok(())
    }

    /// Stores records without those that can never be accepted, see [`LedgerError::is_lasting`]; durable when it returns.
    /// Answers with the places of those that were left out. An error means that nothing was stored, and that the same
    /// records may be accepted another time.
    pub fn commit_lenient(&mut self, records: &[Record]) -> Result<Vec<(usize, LedgerError)>, LedgerError> {
        match self.commit(records) {
            Err(error) if error.is_lasting() => {}
            done => return done.map(|()| Vec::new()),
        }
        self.count = None;
        self.write(|connection| {
            let mut refused = Vec::new();
            let mut transaction = connection.transaction()?;
            for (place, record) in records.iter().enumerate() {
                let savepoint = transaction.savepoint()?;
                match write::record(&savepoint, record) {
                    Ok(()) => savepoint.commit()?,
                    // A savepoint that is not committed is undone.
                    Err(error) if error.is_lasting() => refused.push((place, error)),
                    Err(error) => return Err(error),
                }
            }
            transaction.commit()?;
            Ok(refused)
        })
    }

    /// Deletes resolved incidents, the oldest first, that ended longer than `keep` ago or are more than `max`, with all that
    /// hangs on them, and notices as old as they. At most `limit` incidents, and at most 500, leave in one call, so that a
    /// commit never waits long; [`Pruned::more`] says whether to call again. Open ones are never deleted.
    pub fn prune(&mut self, now: Timestamp, keep: Duration, max: u64, limit: u32) -> Result<Pruned, LedgerError> {
        let count = match self.count {
            Some(count) => count,
            None => prune::count(&self.connection)?,
        };
        let excess = count.saturating_sub(max);
        let pruned = self.write(|connection| prune::prune(connection, now, keep, excess, limit))?;
        self.count = Some(count.saturating_sub(pruned.incidents.into()));
        Ok(pruned)
    }

    /// Writes; where the disk is full once more, with the reserve given up.
    fn write<T>(&mut self, work: impl Fn(&mut Connection) -> Result<T, LedgerError>) -> Result<T, LedgerError> {
        let written = match work(&mut self.connection) {
            Err(error) if self.reserve.spend_on(&error) => work(&mut self.connection),
            written => written,
        };
        if written.is_ok() {
            self.reserve.restore(Instant::now());
        }
        written
    }

    /// All that an engine carries on with.
    pub fn past(&self, now: Now) -> Result<Past, LedgerError> {
        past::past(&self.connection, now)
    }
}

/// Opens the file, finds out whether it is sound, and brings it to the newest schema.
fn connect(path: &Path) -> Result<Connection, LedgerError> {
    let open = |error| LedgerError::Open { path: path.to_owned(), error };
    let cut_short = damage::was_cut_short(path);
    let mut connection = Connection::open(path).map_err(open)?;
    configure(&connection).map_err(open)?;
    damage::check(&connection, path, cut_short)?;
    schema::migrate(&mut connection).map_err(|error| LedgerError::Schema { path: path.to_owned(), error })?;
    // What the agent begins with must be readable also where the file is too large to be looked through.
    if let Err(error) = read::open_incidents(&connection)
        && error.is_damage()
    {
        return Err(error);
    }
    // The looking through has filled the cache, with pages that are not needed soon.
    connection.execute_batch("PRAGMA shrink_memory")?;
    Ok(connection)
}

fn configure(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    keep_little(connection)
}

/// An agent's working set is a few pages; SQLite's default would keep 2 MB of them.
fn keep_little(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.pragma_update(None, "cache_size", -256)
}

/// Makes a directory that only its owner can enter: what plugins were told and what failed is nobody else's business.
fn make_private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(test)]
mod keeping_tests;
#[cfg(test)]
mod tests;
