use std::time::Duration;

use crate::config::Backoff;

/// What was tried lately on one target under one policy: what cooldown and backoff look at. Times are monotonic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recency {
    /// Attempts in a row, without `reset-after` of health in between.
    pub streak: u32,
    /// When the last one began.
    pub last_began: Option<Duration>,
    /// Since when the target has been healthy; none while it is not.
    pub healthy_since: Option<Duration>,
}

impl Recency {
    /// An attempt begins.
    pub fn began(&mut self, at: Duration, backoff: &Backoff) {
        if self.is_over(at, backoff) {
            self.streak = 0;
        }
        self.streak = self.streak.saturating_add(1);
        self.last_began = Some(at);
        self.healthy_since = None;
    }

    /// Whether the target has been healthy for so long that earlier attempts do not count any more.
    pub fn is_over(&self, at: Duration, backoff: &Backoff) -> bool {
        self.healthy_since.is_some_and(|since| at.saturating_sub(since) >= backoff.reset_after)
    }
}
