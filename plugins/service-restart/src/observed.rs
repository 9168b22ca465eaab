use std::time::Duration;

use salve_plugin_sdk::prelude::*;

/// What the last `service.state` event said of a service, in systemd's words.
pub struct Observed {
    since: Duration,
    active_state: String,
    sub_state: String,
    result: String,
    exit_code: Option<i64>,
    exit_signal: Option<i64>,
    stop_requested: Option<bool>,
}

/// What that means for this plugin.
#[derive(Debug, PartialEq, Eq)]
pub enum Standing {
    /// It runs.
    Up,
    /// It is down and should not be.
    Down,
    /// It is down and should be, as far as anybody can tell.
    StoppedOnPurpose,
    /// It is on its way up or down, or its manager is about to restart it: no word yet.
    Moving,
    /// It is down, and nobody has seen how that came.
    Unknown,
}

impl Observed {
    pub fn from_event(event: &Event) -> Self {
        let text = |key: &str| event.text(key).unwrap_or_default().to_owned();
        Self {
            since: event.at(),
            active_state: text("service.active_state"),
            sub_state: text("service.sub_state"),
            result: text("service.result"),
            exit_code: event.integer("process.exit.code"),
            exit_signal: event.integer("process.exit.signal"),
            stop_requested: event.boolean("service.stop_requested"),
        }
    }

    /// Since when it has been so.
    pub fn since(&self) -> Duration {
        self.since
    }

    pub fn standing(&self, ignore_clean_exit: bool) -> Standing {
        match self.active_state.as_str() {
            "active" | "reloading" => Standing::Up,
            // A stop on request can end in `failed` too: a service that does not exit cleanly on SIGTERM.
            "failed" if self.stop_requested == Some(true) => Standing::StoppedOnPurpose,
            "failed" => Standing::Down,
            // Only a death that was seen and that nobody asked for counts: a unit that was never started looks the same.
            "inactive" if self.stop_requested == Some(false) && !ignore_clean_exit => Standing::Down,
            "inactive" if self.stop_requested.is_none() => Standing::Unknown,
            "inactive" => Standing::StoppedOnPurpose,
            _ => Standing::Moving,
        }
    }

    pub fn hit_start_limit(&self) -> bool {
        self.result == "start-limit-hit"
    }

    pub fn fault(&self, kind: &str, name: &str) -> Fault {
        let mut fault = Fault::new(kind, name)
            .summary(self.summary(name))
            .evidence("service.active_state", self.active_state.as_str())
            .evidence("service.sub_state", self.sub_state.as_str())
            .evidence("service.result", self.result.as_str());
        if let Some(code) = self.exit_code {
            fault = fault.evidence("process.exit.code", code);
        }
        if let Some(signal) = self.exit_signal {
            fault = fault.evidence("process.exit.signal", signal);
        }
        fault
    }

    pub fn summary(&self, name: &str) -> String {
        format!("{name} is {}: {}", self.active_state, self.how())
    }

    /// The cause as far as systemd's `Result` tells it (systemd.exec(5), "Process Exit Codes"; systemd.service(5)).
    pub fn cause(&self) -> Cause {
        let confidence = match self.result.as_str() {
            "oom-kill" | "watchdog" | "start-limit-hit" | "timeout" => 0.9,
            "exit-code" | "signal" | "core-dump" => 0.7,
            _ => 0.5,
        };
        Cause::new(self.how(), confidence)
            .path(["service.down", self.result.as_str()])
            .evidence("service.result", self.result.as_str())
    }

    fn how(&self) -> String {
        let signal = self.exit_signal.map_or("a signal".to_owned(), |signal| format!("signal {signal}"));
        match self.result.as_str() {
            "exit-code" => match (self.exit_code, self.exit_signal) {
                (Some(code), _) => format!("it exited with status {code}"),
                // The result is then that of another process, such as a stop command that found nothing to stop.
                (None, Some(_)) => format!("{signal} ended it"),
                (None, None) => "it exited with an error".to_owned(),
            },
            "signal" => format!("{signal} ended it"),
            "core-dump" => format!("it crashed ({signal}) and dumped core"),
            "oom-kill" => "the kernel killed a process of it for want of memory".to_owned(),
            "watchdog" => "it stopped answering its watchdog".to_owned(),
            "timeout" => "it took too long to start or stop".to_owned(),
            "start-limit-hit" => "it failed so often that its manager stopped restarting it".to_owned(),
            "protocol" => "it did not follow the start protocol of its service type".to_owned(),
            "resources" => "its manager lacked resources to start it".to_owned(),
            "success" => "it ended by itself, without an error".to_owned(),
            "" => "nothing is known of its end".to_owned(),
            other => format!("its manager says `{other}`"),
        }
    }
}
