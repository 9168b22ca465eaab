//! What goes into the engine and what comes out of it.

use std::sync::Arc;
use std::time::Duration;

use super::{Cause, Finding, Incident, Quarantine, Record, Recovery, Verdict};
use crate::action::actuator::Order;
use crate::action::{Evidence, Outcome};
use crate::clock::Timestamp;
use crate::config::Rules;

/// What happens to the engine.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// An instance is up, for the first time or again, under these rules.
    Arrived {
        /// Its policy.
        policy: Arc<str>,
        /// Its plugin.
        plugin: Arc<str>,
        /// What the operator wrote.
        rules: Arc<Rules>,
        /// Digest of policy and plugin.
        basis: Arc<str>,
        /// Digest of the plugin alone.
        digest: Arc<str>,
    },
    /// An instance was unloaded.
    Gone {
        /// Its policy.
        policy: Arc<str>,
    },
    /// `detect` found something.
    Found {
        /// Under this policy.
        policy: Arc<str>,
        /// What, each with the time at which the host saw what it was found in.
        findings: Vec<(Finding, Timestamp)>,
    },
    /// An instance answered a question.
    Answered {
        /// About this incident.
        incident: String,
        /// The question's turn.
        turn: u64,
        /// Its answer, or why there is none.
        reply: Result<Reply, String>,
    },
    /// What was to be collected before an attempt's first action is there.
    Collected {
        /// For this incident.
        incident: String,
        /// In this attempt.
        attempt: u32,
        /// What.
        evidence: Vec<Evidence>,
    },
    /// An action ended.
    Done {
        /// For this incident.
        incident: String,
        /// In this attempt.
        attempt: u32,
        /// What came of it.
        outcome: Outcome,
    },
    /// An order is finished: everything was done, or an action failed.
    Performed {
        /// For this incident.
        incident: String,
        /// In this attempt.
        attempt: u32,
    },
    /// A plugin fails again and again, for this reason; none once it runs again.
    Ailing {
        /// Under this policy.
        policy: Arc<str>,
        /// Why.
        trouble: Option<String>,
    },
    /// A plugin failed too often, now or before the agent started: it is not called any more.
    Quarantined {
        /// Its name.
        plugin: Arc<str>,
        /// What the operator wrote.
        rules: Arc<Rules>,
        /// Which, where and why.
        quarantine: Quarantine,
    },
    /// A person has a word to say.
    Told {
        /// Comes back with the answer.
        token: u64,
        /// Who.
        actor: String,
        /// What.
        word: Word,
    },
}

/// What a person may say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// Do nothing for now: at all, for a policy, or on targets.
    Pause {
        /// For this policy only.
        policy: Option<String>,
        /// On these targets only, a name or a pattern.
        target: Option<String>,
        /// For this long; until it is taken back, if none.
        lasting: Option<Duration>,
        /// Why.
        reason: String,
    },
    /// Take back the holds that were put so.
    Resume {
        /// For this policy.
        policy: Option<String>,
        /// On these targets.
        target: Option<String>,
        /// Every hold, whatever it is for.
        all: bool,
    },
    /// Close the storm breaker.
    CloseBreaker,
    /// Yes to the plan that waits.
    Approve {
        /// Of this incident.
        incident: String,
        /// Why.
        reason: String,
    },
    /// No to it.
    Deny {
        /// Of this incident.
        incident: String,
        /// Why.
        reason: String,
    },
    /// What is quarantined may run again.
    Release {
        /// The plugin, or the policy.
        name: String,
        /// Why.
        reason: String,
    },
    /// The incident is over.
    Resolve {
        /// Which.
        incident: String,
        /// Why.
        reason: String,
    },
}

/// What is asked of a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// Why?
    Diagnose,
    /// What now?
    Recover,
    /// Did it work? Not answered while the plugin is undecided.
    Verify,
}

/// A question to an instance.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// What is asked.
    pub topic: Topic,
    /// About which incident, as it is now.
    pub incident: Incident,
    /// Which question of this incident it is: answers to earlier ones are too late.
    pub turn: u64,
}

/// A plugin's answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// To diagnose.
    Causes(Vec<Cause>),
    /// To recover.
    Recovery(Recovery),
    /// To verify.
    Verdict(Verdict),
}

/// What is to be done once the records are in the ledger.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Ask the instance of this policy.
    Ask(Arc<str>, Box<Question>),
    /// Carry out a plan.
    Perform(Order),
    /// The plugin of this policy is not quarantined any more.
    Release(Arc<str>),
    /// The plan on these targets is over: what happens to them happens by itself again.
    Settled(Vec<String>),
    /// The answer to a person's word.
    Reply {
        /// The word's.
        token: u64,
        /// What came of it, or why nothing did.
        answer: Result<String, String>,
    },
}

/// What the engine decided: first all records into the ledger, then the effects.
#[derive(Debug, Default, PartialEq)]
pub struct Step {
    /// In order.
    pub records: Vec<Record>,
    /// In order.
    pub effects: Vec<Effect>,
}

impl Step {
    /// Whether it must be in the ledger at once: something is done to the host, or a person is told something. Questions to
    /// plugins change nothing; what a crash takes of them is found again.
    pub fn is_urgent(&self) -> bool {
        self.effects.iter().any(|effect| !matches!(effect, Effect::Ask(..)))
            || self.records.iter().any(|record| matches!(record, Record::Notice(_)))
    }
}
