//! Actuators: the host code that does one kind of action, and reports what really changed.

mod service;

use std::sync::Arc;
use std::time::Instant;

use super::{Action, ActionKind, Outcome};
use crate::config::Rules;
use crate::service::Services;

/// All actuators, behind one door.
#[derive(Debug)]
pub struct Actuators {
    services: Arc<Services>,
}

/// Actions to do in order for an incident; the first failure ends it.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    /// For which incident.
    pub incident: String,
    /// In which attempt.
    pub attempt: u32,
    /// The fault's target: what evidence is collected about.
    pub target: String,
    /// Everything the actions touch.
    pub targets: Vec<String>,
    /// What the operator wrote for the policy.
    pub rules: Arc<Rules>,
    /// What to do.
    pub actions: Vec<Action>,
}

impl Actuators {
    /// Actuators that act on these services.
    pub fn new(services: Arc<Services>) -> Self {
        Self { services }
    }

    /// Does one action. An action that fails, of whatever kind, is an outcome, not an error.
    pub async fn act(&self, action: &Action) -> Outcome {
        let started = Instant::now();
        let result = match ActionKind::parse(&action.kind) {
            Ok(ActionKind::Service(verb)) => service::act(&self.services, verb, &action.target).await,
            Err(unknown) => Err(unknown.to_string()),
        };
        let (ok, detail) = match result {
            Ok(detail) => (true, detail),
            Err(detail) => (false, detail),
        };
        Outcome { action: action.clone(), ok, detail, took: started.elapsed() }
    }
}
