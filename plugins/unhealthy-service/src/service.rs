use std::time::Duration;

use salve_plugin_sdk::prelude::*;

/// What is known of a service, by its manager.
#[derive(Debug, Default)]
pub struct Service {
    state: String,
    since: Duration,
    stop_requested: bool,
    is_own: bool,
}

/// What that means for this plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It runs, and has done so for long enough to answer.
    Ready,
    /// It has just been started, or is on its way up or down.
    Moving,
    /// Somebody stopped it on purpose: nothing is wrong with that.
    Stopped,
    /// It is down otherwise: another plugin's business.
    Down,
    /// Nothing was said of it yet.
    Unknown,
}

impl Service {
    /// From a `service.state` event.
    pub fn from_event(event: &Event) -> Self {
        Self {
            state: event.text("service.active_state").unwrap_or_default().to_owned(),
            since: event.at(),
            stop_requested: event.boolean("service.stop_requested") == Some(true),
            is_own: event.caused_by.is_some(),
        }
    }

    /// How it stands at a time.
    pub fn standing(&self, at: Duration, warm_up: Duration) -> Standing {
        match self.state.as_str() {
            "active" if at.saturating_sub(self.since) >= warm_up => Standing::Ready,
            "active" | "reloading" | "activating" | "deactivating" => Standing::Moving,
            // A stop that is part of a plan of the agent's is no wish that it be down.
            "inactive" | "failed" if self.stop_requested && !self.is_own => Standing::Stopped,
            "inactive" | "failed" => Standing::Down,
            _ => Standing::Unknown,
        }
    }

    /// In its manager's words.
    pub fn state(&self) -> &str {
        &self.state
    }
}
