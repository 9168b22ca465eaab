use std::time::Duration;

use crate::plan::millis;
use crate::{Action, Attribute, Value};

impl Action {
    /// An action by kind and target; the typed constructors below are what plugins use.
    pub fn new(kind: impl Into<String>, target: impl Into<String>) -> Self {
        Self { kind: kind.into(), target: target.into(), parameters: Vec::new() }
    }

    /// With this parameter; one of the same name is replaced.
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.parameters.retain(|parameter| parameter.key != key);
        self.parameters.push(Attribute::new(key, value));
        self
    }
}

/// Services.
impl Action {
    /// Starts a service that is not running.
    pub fn start_service(name: impl Into<String>) -> Self {
        Self::new("service.start", name)
    }

    /// Stops a service.
    pub fn stop_service(name: impl Into<String>) -> Self {
        Self::new("service.stop", name)
    }

    /// Stops a service if it runs, then starts it.
    pub fn restart_service(name: impl Into<String>) -> Self {
        Self::new("service.restart", name)
    }

    /// Has a service read its configuration again.
    pub fn reload_service(name: impl Into<String>) -> Self {
        Self::new("service.reload", name)
    }

    /// Makes the manager forget a failure and the starts it counted towards `start-limit-hit`.
    pub fn reset_failed_service(name: impl Into<String>) -> Self {
        Self::new("service.reset-failed", name)
    }
}

/// Processes. A process is named by its id and the time it started, in clock ticks since the boot (field 22 of
/// `/proc/PID/stat`): another one that has got the same id meanwhile is left alone.
impl Action {
    /// Sends a signal (`TERM`, `KILL`, `HUP`, …) to a process.
    pub fn signal_process(pid: u32, start_time: u64, signal: &str) -> Self {
        Self::process("process.signal", pid, start_time).with("signal", signal)
    }

    /// Has `process.signal` send `KILL` to a process that is still there after `grace`. In whole milliseconds.
    pub fn grace(self, grace: Duration) -> Self {
        self.with("grace_ms", integer(millis(grace)))
    }

    /// Gives a process another niceness: -20, the most favoured, to 19.
    pub fn renice_process(pid: u32, start_time: u64, nice: i64) -> Self {
        Self::process("process.renice", pid, start_time).with("nice", nice)
    }

    fn process(kind: &str, pid: u32, start_time: u64) -> Self {
        Self::new(kind, pid.to_string()).with("process.start_time", integer(start_time))
    }
}

/// Files.
impl Action {
    /// Deletes the file of this absolute path, or the files that a glob matches: those that pass each of
    /// [`older_than`](Self::older_than), [`larger_than`](Self::larger_than) and [`keep_newest`](Self::keep_newest) that is
    /// given.
    pub fn delete_files(glob: impl Into<String>) -> Self {
        Self::new("file.delete", glob)
    }

    /// Cuts the file of this absolute path, or the files that a glob matches, to nothing, or to what
    /// [`keep_bytes`](Self::keep_bytes) says.
    pub fn truncate_files(glob: impl Into<String>) -> Self {
        Self::new("file.truncate", glob)
    }

    /// Has `file.delete` and `journal.vacuum` take only what was last written longer ago than this. In whole milliseconds.
    pub fn older_than(self, age: Duration) -> Self {
        self.with("older_than_ms", integer(millis(age)))
    }

    /// Has `file.delete` and `file.truncate` take only files of more than so many bytes.
    pub fn larger_than(self, bytes: u64) -> Self {
        self.with("larger_than", integer(bytes))
    }

    /// Has `file.delete` leave so many of the newest files.
    pub fn keep_newest(self, count: u32) -> Self {
        self.with("keep_newest", i64::from(count))
    }

    /// Has `file.truncate` keep so many bytes at the end of each file.
    pub fn keep_bytes(self, bytes: u64) -> Self {
        self.with("keep_bytes", integer(bytes))
    }

    /// Deletes archived records of the journal: those beyond [`max_bytes`](Self::max_bytes), those
    /// [`older_than`](Self::older_than) a time, or both. One of the two is needed.
    pub fn vacuum_journal() -> Self {
        Self::new("journal.vacuum", "journal")
    }

    /// Has `journal.vacuum` leave at most so many bytes.
    pub fn max_bytes(self, bytes: u64) -> Self {
        self.with("max_bytes", integer(bytes))
    }
}

/// HTTP.
impl Action {
    /// Sends a request to a URL: a `POST` without a body that is answered with a status of 2xx, unless
    /// [`method`](Self::method), [`body`](Self::body) and [`expect`](Self::expect) say otherwise.
    pub fn http_request(url: impl Into<String>) -> Self {
        Self::new("http.request", url)
    }

    /// Has `http.request` use another method than `POST`.
    pub fn method(self, method: &str) -> Self {
        self.with("method", method)
    }

    /// Has `http.request` send a body of this type (`application/json`).
    pub fn body(self, content_type: &str, body: impl Into<String>) -> Self {
        self.with("content_type", content_type).with("body", body.into())
    }

    /// Has `http.request` take only an answer of this status (`204`) or class (`3xx`) for a success.
    pub fn expect(self, status: &str) -> Self {
        self.with("expect", status)
    }
}

/// The rest.
impl Action {
    /// Runs the `[commands.NAME]` of the agent's configuration; [`with`](Self::with) gives its placeholders their values.
    pub fn run_command(name: impl Into<String>) -> Self {
        Self::new("command.run", name)
    }

    /// Boots the host again.
    pub fn reboot_host() -> Self {
        Self::new("host.reboot", "host")
    }

    /// Sends a message over the channel `[notify.NAME]` of the agent's configuration; `*` means all of them.
    pub fn notify(channel: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new("notify", channel).with("message", message.into())
    }
}

/// The contract's integers are signed; what does not fit is the greatest that does.
fn integer(number: u64) -> Value {
    Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_have_the_names_and_units_that_actuators_read() {
        let shown = |action: Action| {
            let parameters = action.parameters.iter().map(|p| format!(" {}={}", p.key, p.value)).collect::<String>();
            format!("{} {}{parameters}", action.kind, action.target)
        };
        let signal = Action::signal_process(42, 1234, "TERM").grace(Duration::from_secs(5));
        assert_eq!(shown(signal), "process.signal 42 process.start_time=1234 signal=TERM grace_ms=5000");
        let renice = Action::renice_process(42, u64::MAX, -5);
        assert_eq!(shown(renice), "process.renice 42 process.start_time=9223372036854775807 nice=-5");
        let delete =
            Action::delete_files("/var/log/*.1").older_than(Duration::from_secs(60)).larger_than(7).keep_newest(2);
        assert_eq!(shown(delete), "file.delete /var/log/*.1 older_than_ms=60000 larger_than=7 keep_newest=2");
        let truncate = Action::truncate_files("/var/log/app.log").keep_bytes(4096);
        assert_eq!(shown(truncate), "file.truncate /var/log/app.log keep_bytes=4096");
        let vacuum = Action::vacuum_journal().max_bytes(1).older_than(Duration::from_millis(2));
        assert_eq!(shown(vacuum), "journal.vacuum journal max_bytes=1 older_than_ms=2");
        let request = Action::http_request("http://[::1]/x").method("PUT").body("text/plain", "hi").expect("204");
        assert_eq!(shown(request), "http.request http://[::1]/x method=PUT content_type=text/plain body=hi expect=204");
        assert_eq!(shown(Action::run_command("heap").with("pid", "1").with("pid", 2_i64)), "command.run heap pid=2");
        assert_eq!(shown(Action::reboot_host()), "host.reboot host");
        assert_eq!(shown(Action::notify("*", "help")), "notify * message=help");
    }
}
