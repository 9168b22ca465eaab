use std::time::Duration;

use salve_plugin_sdk::prelude::*;

/// What the last `service.state` said of a timer's job.
pub struct Job {
    since: Duration,
    active_state: String,
    result: String,
}

impl Job {
    pub fn from_event(event: &Event) -> Self {
        let text = |key: &str| event.text(key).unwrap_or_default().to_owned();
        Self { since: event.at(), active_state: text("service.active_state"), result: text("service.result") }
    }

    pub fn since(&self) -> Duration {
        self.since
    }

    /// Whether it runs, also one that is done with starting only when it ends (`Type=oneshot`).
    pub fn is_under_way(&self) -> bool {
        matches!(self.active_state.as_str(), "activating" | "active" | "reloading" | "deactivating")
    }

    /// What that says of an attempt to start it.
    pub fn verdict(&self, name: &str) -> Verdict {
        match (self.active_state.as_str(), self.result.as_str()) {
            ("active" | "reloading", _) | ("inactive", "success" | "") => Verdict::Healthy,
            ("failed", result) | ("inactive", result) => Verdict::Unhealthy(format!("{name} failed: {result}")),
            _ => Verdict::Undecided,
        }
    }
}
