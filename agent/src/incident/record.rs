use super::{Cause, Fault, Incident, State, Verdict};
use crate::action::{Action, Outcome};
use crate::clock::Timestamp;

/// One change to an incident, as the ledger stores it. Everything the engine decides is written down as these, and an
/// incident can be rebuilt from them.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// A fault was seen that has no open incident.
    Opened(Box<Incident>),
    /// It was raised again, differently.
    Raised {
        /// Which incident.
        id: String,
        /// As it is now.
        fault: Fault,
    },
    /// The plugin explained it.
    Diagnosed {
        /// Which incident.
        id: String,
        /// Why.
        causes: Vec<Cause>,
    },
    /// It moved to another state.
    Moved {
        /// Which incident.
        id: String,
        /// From this state…
        from: State,
        /// …to this one.
        to: State,
        /// When.
        at: Timestamp,
        /// Why.
        reason: String,
        /// Digest of the policy and plugin that the decision rests on.
        basis: String,
    },
    /// A plan is about to be carried out: written before its first action.
    Began {
        /// Which incident.
        id: String,
        /// Which attempt.
        attempt: u32,
        /// When.
        at: Timestamp,
        /// How many attempts in a row this makes on the target.
        streak: u32,
        /// What is to be done.
        actions: Vec<Action>,
    },
    /// An action ended.
    Done {
        /// Which incident.
        id: String,
        /// Which attempt.
        attempt: u32,
        /// Which of its actions, from 0.
        step: u32,
        /// What came of it.
        outcome: Outcome,
    },
    /// An attempt was judged.
    Judged {
        /// Which incident.
        id: String,
        /// Which attempt.
        attempt: u32,
        /// When.
        at: Timestamp,
        /// Whether it worked.
        verdict: Verdict,
    },
}

impl Record {
    /// The incident it is about.
    pub fn incident(&self) -> &str {
        match self {
            Self::Opened(incident) => &incident.id,
            Self::Raised { id, .. }
            | Self::Diagnosed { id, .. }
            | Self::Moved { id, .. }
            | Self::Began { id, .. }
            | Self::Done { id, .. }
            | Self::Judged { id, .. } => id,
        }
    }
}
