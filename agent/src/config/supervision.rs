//! `[agent.supervision]`: how often a plugin may fail.

use std::time::Duration;

use super::error::Flaw;
use super::{Backoff, Budget, guard, raw};

/// What becomes of a plugin that fails.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Supervision {
    /// So many strikes within so long, and it is quarantined.
    pub strikes: Budget,
    /// How long it waits before it runs again.
    pub backoff: Backoff,
}

impl Default for Supervision {
    fn default() -> Self {
        Self { strikes: Budget { count: 5, per: Duration::from_secs(600) }, backoff: Backoff::default() }
    }
}

pub(super) fn read(raw: raw::Supervision) -> Result<Supervision, Flaw> {
    let default = Supervision::default();
    let strikes = raw.strikes.unwrap_or(default.strikes);
    Ok(Supervision { strikes, backoff: guard::backoff(raw.backoff)? })
}
