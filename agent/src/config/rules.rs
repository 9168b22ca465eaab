use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Pattern;

/// How much a policy may do by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Findings show; nothing is done.
    #[default]
    Observe,
    /// Plans wait for a person.
    Approve,
    /// Plans are carried out.
    Auto,
}

impl Mode {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Approve => "approve",
            Self::Auto => "auto",
        }
    }
}

/// What the guards go by: a policy's authority and its limits.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// How much it may do by itself.
    pub mode: Mode,
    /// Which actions on which targets; what is not named is not done.
    pub grant: Vec<Pattern>,
    /// Attempts per incident.
    pub attempts: u32,
    /// The least time between two attempts on one target, whatever came of the first.
    pub cooldown: Duration,
    /// How that time grows with attempts in a row.
    pub backoff: Backoff,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            mode: Mode::Observe,
            grant: Vec::new(),
            attempts: 3,
            cooldown: Duration::ZERO,
            backoff: Backoff::default(),
        }
    }
}

/// Exponential backoff with a cap that starts over after health.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    /// The wait after the first attempt.
    pub initial: Duration,
    /// What each further attempt in a row multiplies it by.
    pub factor: f64,
    /// The longest wait.
    pub max: Duration,
    /// Health for this long makes the next attempt the first again.
    pub reset_after: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            initial: Duration::from_secs(1),
            factor: 2.0,
            max: Duration::from_secs(300),
            reset_after: Duration::from_secs(600),
        }
    }
}

impl Backoff {
    /// The wait after `streak` attempts in a row: `initial * factor ^ (streak - 1)`, at most `max`; none before the first.
    pub fn after(&self, streak: u32) -> Option<Duration> {
        let exponent = i32::try_from(streak.checked_sub(1)?).unwrap_or(i32::MAX);
        let seconds = self.initial.as_secs_f64() * self.factor.powi(exponent);
        Some(Duration::try_from_secs_f64(seconds).unwrap_or(self.max).min(self.max))
    }
}
