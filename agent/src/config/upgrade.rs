//! `[agent.upgrade]`: how a new version of a plugin takes over from one that runs.

use std::time::Duration;

use super::raw;

/// How long a new version is tried beside the one that runs, and what it may not do meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upgrade {
    /// How long at most; zero for no trial.
    pub shadow: Duration,
    /// After so many calls of `detect` it has been tried enough.
    pub batches: u32,
    /// So many faults it may see, or deny, in contradiction to the version that runs.
    pub differences: usize,
}

impl Default for Upgrade {
    fn default() -> Self {
        Self { shadow: Duration::from_secs(3), batches: 1000, differences: 10 }
    }
}

pub(super) fn read(raw: &raw::Upgrade) -> Upgrade {
    let default = Upgrade::default();
    Upgrade {
        shadow: raw.shadow.unwrap_or(default.shadow),
        batches: raw.batches.unwrap_or(default.batches),
        differences: raw.differences.unwrap_or(default.differences),
    }
}
