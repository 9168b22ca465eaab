//! Actuators: the host code that does one kind of action, and reports what really changed.

mod service;

use std::sync::Arc;
use std::time::Instant;

use super::{Action, ActionKind, Outcome};
use crate::service::Services;
use crate::signal::Router;

/// All actuators, behind one door.
#[derive(Debug)]
pub struct Actuators {
    services: Arc<Services>,
    router: Arc<Router>,
}

/// Actions to do in order for an incident; the first failure ends it.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    /// For which incident.
    pub incident: String,
    /// In which attempt.
    pub attempt: u32,
    /// What to do.
    pub actions: Vec<Action>,
}

impl Actuators {
    /// Actuators that act on these services; the router is told what their echoes are.
    pub fn new(services: Arc<Services>, router: Arc<Router>) -> Self {
        Self { services, router }
    }

    /// Does one action for an incident. An action that fails, of whatever kind, is an outcome, not an error.
    pub async fn act(&self, action: &Action, incident: &str) -> Outcome {
        let started = Instant::now();
        self.router.begin_echo(&action.target, incident);
        let result = match ActionKind::parse(&action.kind) {
            Ok(ActionKind::Service(verb)) => service::act(&self.services, verb, &action.target).await,
            Err(unknown) => Err(unknown.to_string()),
        };
        self.router.end_echo(&action.target);
        let (ok, detail) = match result {
            Ok(detail) => (true, detail),
            Err(detail) => (false, detail),
        };
        Outcome { action: action.clone(), ok, detail, took: started.elapsed() }
    }
}
