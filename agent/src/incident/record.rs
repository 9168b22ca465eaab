use super::{Cause, Fault, Hold, Incident, Notice, Pending, Quarantine, Resolution, State, Trip, Verdict};
use crate::action::{Action, Evidence, Outcome};
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
        /// Who moved it, if a person did.
        actor: Option<String>,
        /// The open incident that it is a consequence of, while it is suppressed for that.
        cause: Option<String>,
        /// How it ended, if this is its end.
        resolution: Option<Resolution>,
    },
    /// A plan is about to be carried out: written before its first action.
    Began {
        /// Which incident.
        id: String,
        /// Which attempt.
        attempt: u32,
        /// When.
        at: Timestamp,
        /// In which round.
        round: u32,
        /// How many attempts in a row this makes on the target.
        streak: u32,
        /// Content digest of the plugin that planned it.
        digest: String,
        /// What it acts on: its targets and what they stand on.
        targets: Vec<String>,
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
    /// A plan is to wait for a person, was agreed to, or does not count any more.
    Pending {
        /// Which incident.
        id: String,
        /// The plan.
        pending: Option<Pending>,
    },
    /// It began to flap, or ended to.
    Flapping {
        /// Which incident.
        id: String,
        /// Whether it does.
        flapping: bool,
    },
    /// A new round of attempts begins, after a person had it.
    Round {
        /// Which incident.
        id: String,
        /// Which round.
        round: u32,
    },
    /// What was collected before an attempt's first action.
    Collected {
        /// Which incident.
        id: String,
        /// Which attempt.
        attempt: u32,
        /// In the order of the policy.
        evidence: Vec<Evidence>,
    },
    /// A person said that nothing is to be done for now.
    Held(Hold),
    /// A hold was ended, by a person or its time.
    Released {
        /// Which hold.
        hold: i64,
        /// When.
        at: Timestamp,
        /// Who ended it; its time, if none.
        actor: Option<String>,
    },
    /// The storm breaker opened.
    Tripped(Trip),
    /// A person closed it.
    Closed {
        /// When.
        at: Timestamp,
        /// Who.
        actor: String,
    },
    /// A plugin failed too often under a policy.
    Quarantined(Quarantine),
    /// It is given another chance.
    Freed {
        /// Under this policy.
        policy: String,
        /// When.
        at: Timestamp,
        /// Why.
        reason: String,
        /// Who, if a person did.
        actor: Option<String>,
    },
    /// A person should hear of something.
    Notice(Box<Notice>),
}

impl Record {
    /// The incident it is about, if it is about one.
    pub fn incident(&self) -> Option<&str> {
        Some(match self {
            Self::Opened(incident) => &incident.id,
            Self::Raised { id, .. }
            | Self::Diagnosed { id, .. }
            | Self::Moved { id, .. }
            | Self::Began { id, .. }
            | Self::Done { id, .. }
            | Self::Judged { id, .. }
            | Self::Pending { id, .. }
            | Self::Flapping { id, .. }
            | Self::Round { id, .. }
            | Self::Collected { id, .. } => id,
            Self::Notice(notice) => &notice.incident.as_ref()?.id,
            Self::Held(_)
            | Self::Released { .. }
            | Self::Tripped(_)
            | Self::Closed { .. }
            | Self::Quarantined(_)
            | Self::Freed { .. } => return None,
        })
    }
}
