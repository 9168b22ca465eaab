//! The ledger: incidents, attempts and transitions in SQLite, and the plugins' durable state beside them. The only place
//! that names SQLite.
//!
//! One writer (the incident engine's task) commits all records of a step in one transaction, with `synchronous=FULL`: when
//! it returns, they survive a power cut, and only then do effects follow. Readers have connections of their own; in WAL
//! mode they never wait for the writer.

mod alert;
mod outbox;
mod past;
mod plugin_state;
mod read;
mod schema;
mod write;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

pub use alert::Alert;
pub use outbox::{ChannelState, Delivery, Entry, Outbox, StoredNotice};
pub use plugin_state::PluginState;
pub use read::{LedgerReader, Transition};

use super::{Past, Record};
use crate::clock::Now;

/// The ledger's file in the state directory.
const FILE: &str = "ledger.sqlite";
/// How long one connection waits for another's write.
const BUSY: Duration = Duration::from_secs(5);

/// What can go wrong with the ledger.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The state directory cannot be made or used.
    #[error(
        "the state directory {path} cannot be used: {error}; set `state` in salve.toml to a directory the agent can write"
    )]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The file cannot be opened, or is not a ledger.
    #[error("the ledger {path} cannot be opened: {error}; move it aside to start with an empty one")]
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        error: rusqlite::Error,
    },
    /// It was written by a newer agent, or a migration failed.
    #[error(
        "the ledger {path} has a schema this agent cannot use ({error}); run the agent that wrote it, or move it aside"
    )]
    Schema {
        /// Which.
        path: PathBuf,
        /// Why.
        error: rusqlite_migration::Error,
    },
    /// A statement failed.
    #[error("the ledger: {0}")]
    Sql(#[from] rusqlite::Error),
    /// A row does not mean anything.
    #[error("the ledger holds what cannot be read: {0}")]
    Row(String),
}

/// The ledger, for its one writer.
#[derive(Debug)]
pub struct Ledger {
    connection: Connection,
    path: PathBuf,
}

impl Ledger {
    /// Opens the ledger in the state directory, making both where they are not there.
    pub fn open(state: &Path) -> Result<Self, LedgerError> {
        make_private(state).map_err(|error| LedgerError::Directory { path: state.to_owned(), error })?;
        let path = state.join(FILE);
        let open = |error| LedgerError::Open { path: path.clone(), error };
        let mut connection = Connection::open(&path).map_err(open)?;
        configure(&connection).map_err(open)?;
        schema::migrate(&mut connection).map_err(|error| LedgerError::Schema { path: path.clone(), error })?;
        Ok(Self { connection, path })
    }

    /// A reader of the same ledger.
    pub fn reader(&self) -> Result<LedgerReader, LedgerError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let open = |error| LedgerError::Open { path: self.path.clone(), error };
        let connection = Connection::open_with_flags(&self.path, flags).map_err(open)?;
        connection.busy_timeout(BUSY)?;
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

    /// Stores records, all or none; durable when it returns.
    pub fn commit(&mut self, records: &[Record]) -> Result<(), LedgerError> {
        let transaction = self.connection.transaction()?;
        for record in records {
            write::record(&transaction, record)?;
        }
        Ok(transaction.commit()?)
    }

    /// All that an engine carries on with.
    pub fn past(&self, now: Now) -> Result<Past, LedgerError> {
        past::past(&self.connection, now)
    }
}

fn configure(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // An agent's working set is a few pages; SQLite's default would keep 2 MB of them.
    connection.pragma_update(None, "cache_size", -256)
}

/// Makes a directory that only its owner can enter: what plugins were told and what failed is nobody else's business.
fn make_private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(test)]
mod tests;
