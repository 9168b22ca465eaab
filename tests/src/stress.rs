//! Load on purpose: `stress-ng` beside what a test is about.

use std::time::Duration;

use anyhow::Result;
use rustix::process::Signal;

use crate::lab::{self, Host};
use crate::process::Process;

/// Where Debian puts it.
const PROGRAM: &str = "/usr/bin/stress-ng";
/// CPU for two cores and memory that is written all the time, for longer than a scenario takes.
const LOAD: [&str; 8] = ["--cpu", "2", "--vm", "1", "--vm-bytes", "128M", "--timeout", "3m"];
/// How long its workers may take to end.
const ENDED: Duration = Duration::from_secs(5);

/// Whether a test has to be skipped for want of stress-ng. Says so on standard error.
///
/// # Panics
/// As [`lab::skip_without`] does.
#[track_caller]
pub fn skip() -> bool {
    lab::skip_without(PROGRAM, "apt-get install stress-ng")
}

/// A stress-ng on a host; ended with all its workers when this is dropped.
#[derive(Debug)]
pub struct Stress(Process);

impl Stress {
    /// Loads the machine from within `host`: should anything go wrong, it ends with the host.
    pub fn on(host: &Host) -> Result<Stress> {
        host.spawn(host.command(PROGRAM).args(LOAD).arg("--quiet")).map(Stress)
    }

    /// Whether it still loads the machine.
    pub fn lasts(&mut self) -> bool {
        self.0.ended().is_none()
    }
}

impl Drop for Stress {
    fn drop(&mut self) {
        let _ = self.0.signal(Signal::TERM); // It may have ended by itself.
        self.0.wait(ENDED);
    }
}
