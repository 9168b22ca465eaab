use std::path::PathBuf;

use rusqlite::ErrorCode;

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
    /// The file cannot be opened.
    #[error(
        "the ledger {path} cannot be opened: {error}; see that it is a file the agent may read and write, or move it aside to start with an empty one"
    )]
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        error: rusqlite::Error,
    },
    /// The file is damaged, as SQLite's own check finds.
    #[error("the ledger {path} is damaged: {what}")]
    Damaged {
        /// Which.
        path: PathBuf,
        /// The first thing that is wrong with it.
        what: String,
    },
    /// A damaged file cannot be set aside.
    #[error("the ledger {path} is damaged and cannot be set aside: {error}; move it out of the state directory")]
    Stuck {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
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
    /// It is read where nothing can be migrated, and was written by another version.
    #[error(
        "the ledger {path} has schema {found} and this salve reads {known}; use the salve that wrote it, or, if it is \
         the older, let this one's agent run once"
    )]
    Version {
        /// Which.
        path: PathBuf,
        /// Its schema.
        found: usize,
        /// The newest one known here.
        known: usize,
    },
    /// A statement failed.
    #[error("the ledger: {0}")]
    Sql(#[from] rusqlite::Error),
    /// A row does not mean anything.
    #[error("the ledger holds what cannot be read: {0}")]
    Row(String),
}

impl LedgerError {
    /// Whether the same record will never be accepted: it breaks a constraint, has a wrong type, or is too big. What is not
    /// lasting (a ledger that is busy, a full disk, a failing one) may be accepted another time.
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::Row(_) | Self::Sql(rusqlite::Error::ToSqlConversionFailure(_)) => true,
            _ => matches!(
                self.code(),
                Some(
                    ErrorCode::ConstraintViolation
                        | ErrorCode::TypeMismatch
                        | ErrorCode::TooBig
                        | ErrorCode::ParameterOutOfRange
                )
            ),
        }
    }

    /// Whether the file is no ledger any more. One that may not be read, or is in use, is not damaged.
    pub(super) fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. })
            || matches!(self.code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
    }

    /// What SQLite calls it.
    pub(super) fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Open { error, .. } | Self::Sql(error) => error.sqlite_error_code(),
            Self::Schema { error: rusqlite_migration::Error::RusqliteError { err, .. }, .. } => err.sqlite_error_code(),
            _ => None,
        }
    }
}
