use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// Who says so where it is not a person: too much was of this policy.
pub const BREAKER: &str = "breaker";

/// A person's word that nothing is to be done for now; detection goes on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hold {
    /// Its number in the ledger.
    pub id: i64,
    /// For this policy only.
    pub policy: Option<String>,
    /// For these targets only: a name, or a pattern with `*`.
    pub target: Option<String>,
    /// Since when.
    pub since: Timestamp,
    /// Until when; until somebody ends it, if none.
    pub until: Option<Timestamp>,
    /// Why.
    pub reason: String,
    /// Who said so.
    pub actor: String,
}

/// The storm breaker is open: nothing is done until a person closes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trip {
    /// Since when.
    pub at: Timestamp,
    /// What opened it.
    pub reason: String,
}
