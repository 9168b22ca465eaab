use std::time::Duration;

use salve_plugin_sdk::detect::Limit;
use salve_plugin_sdk::prelude::*;

use crate::candidate::Candidate;

/// What the operator writes under `[config]`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Config {
    /// When memory is short.
    pub memory: Shortage,
    /// When I/O is short; not looked at by default, since nobody tells who causes it.
    pub io: Option<Shortage>,
    /// Whose standing still counts: that of `full`, all tasks at once, or of `some`.
    pub kind: Kind,
    /// Memory is short only while more than this share of it is in use…
    pub memory_above: f64,
    /// …or more than this share of swap.
    pub swap_above: f64,
    /// Whom to act on, and how. Of those that are preferred, or of the others if none of them runs, it is the worst.
    pub candidates: Vec<Candidate>,
    /// Whom never to act on, whatever `candidates` say: units, executables, containers.
    pub avoid: Vec<String>,
    /// On how many to act, one after the other, before a person is asked.
    pub most: usize,
    /// How long after an action pressure is looked at.
    pub settle: HumanDuration,
    /// How long it may take to fall.
    pub deadline: HumanDuration,
}

/// What is short.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Shortage {
    /// Above this share of time in which tasks stand still for want of it (0..1, the kernel's average of 10 s)…
    pub above: f64,
    /// …for so long.
    pub r#for: HumanDuration,
    /// No longer at or below this share.
    pub clear: f64,
}

/// Whose standing still counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// All tasks at once: nothing gets done meanwhile.
    Full,
    /// At least one task.
    Some,
}

impl Kind {
    /// As the kernel says it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Some => "some",
        }
    }
}

impl Default for Shortage {
    fn default() -> Self {
        Self { above: 0.4, r#for: HumanDuration::from_secs(20), clear: 0.1 }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            memory: Shortage::default(),
            io: None,
            kind: Kind::Full,
            memory_above: 0.9,
            swap_above: 0.8,
            candidates: vec![],
            avoid: vec![],
            most: 2,
            settle: HumanDuration::from_secs(15),
            deadline: HumanDuration::from_secs(60),
        }
    }
}

impl Shortage {
    /// For how long it must be back.
    const CLEAR_FOR: Duration = Duration::from_secs(10);

    /// As a limit of the average.
    pub fn limit(&self) -> Limit {
        Limit::above(self.above).clear(self.clear).hold(*self.r#for).clear_hold(Self::CLEAR_FOR)
    }

    fn check(&self) -> Result<(), String> {
        let share = |share: f64| share > 0.0 && share < 1.0;
        if share(self.above) && share(self.clear) && self.clear <= self.above {
            return Ok(());
        }
        Err("`above` and `clear` are shares of time, more than 0 and less than 1, and `clear` is not above `above`"
            .into())
    }
}

impl Config {
    /// What cannot be meant.
    pub fn check(&self) -> Result<(), String> {
        self.memory.check().map_err(|error| format!("memory: {error}"))?;
        self.io.as_ref().map_or(Ok(()), Shortage::check).map_err(|error| format!("io: {error}"))?;
        self.candidates.iter().try_for_each(Candidate::check)
    }
}
