use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Pattern, Window};
use crate::action::Collect;

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
    /// Targets (`*` as in file names) whose faults its own may explain: while an incident of this policy names one as its
    /// consequence, nothing is done about that one.
    pub explains: Vec<String>,
    /// Whether what cannot be undone is done without asking a person.
    pub unattended: bool,
    /// Who acts first on a shared target: the higher.
    pub priority: i32,
    /// Attempts per incident.
    pub attempts: u32,
    /// The least time between two attempts on one target, whatever came of the first.
    pub cooldown: Duration,
    /// How that time grows with attempts in a row.
    pub backoff: Backoff,
    /// How many plans this policy may begin.
    pub budget: Option<Budget>,
    /// How many plans this policy may begin on one target.
    pub budget_per_target: Option<Budget>,
    /// After this long an incident that is with a person is tried anew; never, if none.
    pub retry_escalated: Option<Duration>,
    /// How long a person has to answer, and how long a yes is good for.
    pub approval_ttl: Duration,
    /// When a fault that comes and goes is no longer healed.
    pub flapping: Flapping,
    /// Whether plans are carried out while the ledger cannot be written.
    pub unrecorded: bool,
    /// What to collect about a target before it is acted on.
    pub collect: Vec<Collect>,
    /// How long that may take in all; what is not there by then is left out.
    pub collect_timeout: Duration,
}

impl Rules {
    /// Whether some grant is about this target.
    pub fn may_touch(&self, target: &str) -> bool {
        self.grant.iter().any(|pattern| pattern.is_about(target))
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            mode: Mode::Observe,
            grant: Vec::new(),
            attempts: 3,
            cooldown: Duration::ZERO,
            backoff: Backoff::default(),
            explains: Vec::new(),
            unattended: false,
            priority: 50,
            budget: None,
            budget_per_target: None,
            retry_escalated: Some(Duration::from_secs(15 * 60)),
            approval_ttl: Duration::from_secs(3600),
            flapping: Flapping::default(),
            unrecorded: false,
            collect: Vec::new(),
            collect_timeout: Duration::from_secs(2),
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

/// A token bucket: at most `count` at once, filled again at the rate of `count` in `per`. Written `"5/10m"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Tokens of a full bucket, at least 1.
    pub count: u32,
    /// How long an empty bucket takes to be full, more than zero.
    pub per: Duration,
}

/// When a fault counts as flapping: Nagios's weighted share of state changes among the last 21 observations, with a high
/// and a low threshold (Nagios Core documentation, "Detection and Handling of State Flapping"). An observation is a fault
/// that opens or clears, or `every` without either.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Flapping {
    /// Whether it is looked at.
    pub enabled: bool,
    /// Flapping begins at this share of changes, 0..1.
    pub start: f64,
    /// It ends below this one.
    pub stop: f64,
    /// How long without a change counts as one observation of none.
    pub every: Duration,
}

impl Default for Flapping {
    fn default() -> Self {
        Self { enabled: true, start: 0.5, stop: 0.25, every: Duration::from_secs(60) }
    }
}

/// What all policies of a host share.
#[derive(Debug, Clone, PartialEq)]
pub struct HostRules {
    /// The most any policy may do by itself.
    pub ceiling: Mode,
    /// How many plans may begin on this host.
    pub budget: Option<Budget>,
    /// How many plans may begin on one target, of all policies together.
    pub budget_per_target: Option<Budget>,
    /// How many plans may be under way at once, at least 1.
    pub max_plans: u32,
    /// When the storm breaker opens.
    pub breaker: Breaker,
    /// How often the host may be rebooted.
    pub reboots: Budget,
    /// When something is left alone.
    pub maintenance: Vec<Window>,
}

impl Default for HostRules {
    fn default() -> Self {
        Self {
            ceiling: Mode::Auto,
            budget: None,
            budget_per_target: None,
            max_plans: 4,
            breaker: Breaker::default(),
            reboots: Budget { count: 2, per: Duration::from_secs(6 * 3600) },
            maintenance: Vec::new(),
        }
    }
}

/// The storm breaker: more than so many incidents or actions on this host within a window, and nothing is done any more until
/// a person closes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breaker {
    /// Incidents opened.
    pub incidents: u32,
    /// Actions begun.
    pub actions: u32,
    /// The window.
    pub within: Duration,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { incidents: 100, actions: 50, within: Duration::from_secs(600) }
    }
}
