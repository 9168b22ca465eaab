//! What goes into the engine and what comes out of it.

use std::sync::Arc;

use super::{Cause, Finding, Incident, Record, Recovery, Verdict};
use crate::action::Outcome;
use crate::action::actuator::Order;
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
        /// What.
        findings: Vec<Finding>,
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
}

/// What the engine decided: first all records into the ledger, then the effects.
#[derive(Debug, Default, PartialEq)]
pub struct Step {
    /// In order.
    pub records: Vec<Record>,
    /// In order.
    pub effects: Vec<Effect>,
}
