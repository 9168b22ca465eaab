use serde::Serialize;

use crate::incident::Notice;
use crate::incident::ledger::StoredNotice;

/// A notice as channels see it: with a name that is its own on every host, for receivers that must not take it twice.
#[derive(Debug, Serialize)]
pub struct Envelope<'a> {
    /// Its name, the same however often it is sent.
    pub id: String,
    /// The host it comes from.
    pub host: &'a str,
    /// What it says.
    #[serde(flatten)]
    pub notice: &'a Notice,
}

impl<'a> Envelope<'a> {
    /// Of a notice in this host's ledger. Its time is part of the name, because the numbers begin anew with a new ledger.
    pub(super) fn new(stored: &'a StoredNotice, host: &'a str) -> Self {
        let StoredNotice { id, notice } = stored;
        Self { id: format!("{host}-{:x}-{id}", notice.at.as_nanos()), host, notice }
    }
}
