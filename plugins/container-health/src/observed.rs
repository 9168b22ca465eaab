use std::time::Duration;

use salve_plugin_sdk::prelude::*;

/// What the last `container.state` said of a container, in Docker's words.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    pub since: Duration,
    pub exit_code: Option<i64>,
    pub oom_killed: bool,
    /// How often its own restart policy has restarted it.
    pub restarts: Option<u64>,
    /// That policy, if it has one that ever restarts: `always`, `on-failure:3`.
    restart_policy: String,
    status: String,
    health: String,
    stop_requested: Option<bool>,
    /// Whether an action of an incident brought this about.
    pub is_echo: bool,
}

/// What that means for this plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It runs, and its health check, if there is one, agrees.
    Up,
    /// It runs, and its health check has not said anything yet.
    Starting,
    /// It runs, and its health check fails.
    Unhealthy,
    /// It ended with an error that nobody asked for.
    Down,
    /// It is down and should be, as far as anybody can tell, or it was never started.
    Left,
    /// It is on its way up or down.
    Moving,
    /// There is no word of it that makes sense.
    Unknown,
}

impl Observed {
    pub fn from_event(event: &Event) -> Self {
        let text = |key: &str| event.text(key).unwrap_or_default().to_ascii_lowercase();
        Self {
            since: event.at(),
            exit_code: event.integer("container.exit_code"),
            oom_killed: event.boolean("container.oom_killed").unwrap_or_default(),
            restarts: event.integer("container.restarts").and_then(|restarts| u64::try_from(restarts).ok()),
            restart_policy: text("container.restart_policy"),
            status: text("container.status"),
            health: text("container.health"),
            stop_requested: event.boolean("container.stop_requested"),
            is_echo: event.caused_by.is_some(),
        }
    }

    pub fn standing(&self) -> Standing {
        match (self.status.as_str(), self.health.as_str()) {
            ("running", "unhealthy") => Standing::Unhealthy,
            ("running", "starting") => Standing::Starting,
            ("running", _) => Standing::Up,
            ("exited" | "stopped", _) if !self.was_stopped() => Standing::Down,
            // What the engine could not remove: a restart may still bring it back.
            ("dead", _) => Standing::Down,
            ("restarting" | "stopping" | "removing", _) => Standing::Moving,
            // Somebody wants it so.
            ("exited" | "stopped" | "created" | "configured" | "paused" | "removed", _) => Standing::Left,
            _ => Standing::Unknown,
        }
    }

    /// Whether its health check says so, if it has one.
    pub fn is_healthy(&self) -> bool {
        self.health == "healthy"
    }

    /// Whether its own restart policy is about to start it again, now that it ended with an error: until it has given up.
    pub fn comes_back(&self) -> bool {
        let (name, retries) = match self.restart_policy.split_once(':') {
            Some((name, retries)) => (name, retries.parse().ok()),
            None => (self.restart_policy.as_str(), None),
        };
        let gave_up = retries.is_some_and(|most: u64| self.restarts.unwrap_or(most) >= most);
        matches!(name, "always" | "unless-stopped" | "on-failure") && !gave_up
    }

    /// Whether there is no such container any more.
    pub fn is_removed(&self) -> bool {
        self.status == "removed"
    }

    /// Whether somebody stopped it. Where the engine does not tell, 0 and the codes of SIGTERM and SIGINT say so.
    fn was_stopped(&self) -> bool {
        if self.oom_killed {
            return false;
        }
        match (self.stop_requested, self.exit_code) {
            (Some(true), _) => true,
            (_, code) if code.unwrap_or(0) == 0 => true,
            (asked, code) => asked.is_none() && matches!(code, Some(130 | 143)),
        }
    }

    /// How it ended, by its exit code: Docker's own (docker-run(1), "Exit Status"), 128 and the signal's number, or the
    /// program's.
    pub fn end(&self) -> (String, &'static str, f64) {
        match self.exit_code {
            _ if self.oom_killed => ("the kernel killed it for want of memory".into(), "out of memory", 0.95),
            Some(125) => ("the container engine could not run it".into(), "engine", 0.9),
            Some(126) => ("its command cannot be executed".into(), "command", 0.9),
            Some(127) => ("its command does not exist in the image".into(), "command", 0.9),
            Some(134) => ("it gave up by itself (SIGABRT)".into(), "crash", 0.8),
            Some(137) => ("it was killed (SIGKILL), by a person or for want of memory".into(), "killed", 0.6),
            Some(139) => ("it crashed (SIGSEGV)".into(), "crash", 0.9),
            Some(code @ 129..=192) => (format!("signal {} ended it", code - 128), "signal", 0.7),
            Some(code) => (format!("it exited with status {code}"), "exit code", 0.6),
            None => ("nothing is known of its end".into(), "unknown", 0.2),
        }
    }
}
