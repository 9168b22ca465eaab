//! The state machine of an incident: pure, and the only place that says which moves exist.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where an incident stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// The fault was seen.
    Detected,
    /// It is as explained as it will be; what to do is being asked, or about to be.
    Diagnosed,
    /// Actions are under way.
    Recovering,
    /// Actions are done; whether they worked is being looked at.
    Verifying,
    /// The fault is gone: through a verdict of healthy or an observed clearing.
    Resolved,
    /// A guard or the plugin said later.
    Deferred,
    /// A person has to say yes first.
    AwaitingApproval,
    /// A person is needed.
    Escalated,
    /// Nothing is to be done: observe mode, maintenance, or the cause is another open incident.
    Suppressed,
    /// Its plugin or policy was taken away: nobody looks at it any more, a person closes it.
    Orphaned,
}

/// A move that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an incident does not go from {from} to {to}")]
pub struct Forbidden {
    /// From here…
    pub from: State,
    /// …to there.
    pub to: State,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 10] = [
        Self::Detected,
        Self::Diagnosed,
        Self::Recovering,
        Self::Verifying,
        Self::Resolved,
        Self::Deferred,
        Self::AwaitingApproval,
        Self::Escalated,
        Self::Suppressed,
        Self::Orphaned,
    ];

    /// The states this one may move to.
    pub const fn next(self) -> &'static [Self] {
        use State::{
            AwaitingApproval, Deferred, Detected, Diagnosed, Escalated, Orphaned, Recovering, Resolved, Suppressed,
            Verifying,
        };
        match self {
            Detected => &[Diagnosed, Resolved, Orphaned],
            // The only state from which actions begin, so that every attempt passes the guards.
            Diagnosed => &[Recovering, Deferred, AwaitingApproval, Escalated, Suppressed, Resolved, Orphaned],
            // What was begun is looked at before anything else happens, also after a crash.
            Recovering => &[Verifying],
            Verifying => &[Resolved, Diagnosed],
            // Nobody answered, or somebody said no.
            AwaitingApproval => &[Diagnosed, Escalated, Resolved, Orphaned],
            Deferred | Escalated | Suppressed => &[Diagnosed, Resolved, Orphaned],
            // Its plugin came back.
            Orphaned => &[Diagnosed, Resolved],
            Resolved => &[],
        }
    }

    /// Moves, if there is such a move.
    pub fn to(self, to: Self) -> Result<Self, Forbidden> {
        if self.next().contains(&to) { Ok(to) } else { Err(Forbidden { from: self, to }) }
    }

    /// Whether it waits for somebody or something, with nothing of its own under way.
    pub const fn is_parked(self) -> bool {
        matches!(self, Self::Deferred | Self::AwaitingApproval | Self::Escalated | Self::Suppressed | Self::Orphaned)
    }

    /// Whether a person may close it: while a plan is under way, what that does is still open.
    pub const fn to_resolved_by_person(self) -> bool {
        !matches!(self, Self::Recovering | Self::Verifying | Self::Resolved)
    }

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Detected => "detected",
            Self::Diagnosed => "diagnosed",
            Self::Recovering => "recovering",
            Self::Verifying => "verifying",
            Self::Resolved => "resolved",
            Self::Deferred => "deferred",
            Self::AwaitingApproval => "awaiting-approval",
            Self::Escalated => "escalated",
            Self::Suppressed => "suppressed",
            Self::Orphaned => "orphaned",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for State {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|state| state.as_str() == word).ok_or_else(|| format!("no incident state `{word}`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_open_state_can_reach_resolved_and_resolved_is_the_end() {
        for start in State::ALL {
            let mut reached = vec![start];
            let mut at = 0;
            while let Some(state) = reached.get(at).copied() {
                reached.extend(state.next().iter().filter(|next| !reached.contains(next)).copied().collect::<Vec<_>>());
                at += 1;
            }
            assert!(reached.contains(&State::Resolved), "{start}");
        }
        assert!(State::Resolved.next().is_empty());
    }

    #[test]
    fn actions_begin_in_one_state_only_and_are_always_looked_at() {
        let before: Vec<_> = State::ALL.into_iter().filter(|s| s.next().contains(&State::Recovering)).collect();
        assert_eq!(before, [State::Diagnosed]);
        assert_eq!(State::Recovering.next(), [State::Verifying]);
    }

    #[test]
    fn words_are_read_back() {
        for state in State::ALL {
            assert_eq!(state.as_str().parse(), Ok(state));
        }
    }
}
