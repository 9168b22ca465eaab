//! Process groups: a service is more than its main process.

use std::time::Duration;

use rustix::process::{self, Pid, Signal};
use tokio::time::{Instant, sleep, timeout};

/// How long a group may take to vanish after SIGKILL. Only a process stuck in the kernel takes longer.
pub(super) const KILL_TIMEOUT: Duration = Duration::from_secs(5);

/// A process group that belongs to a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Group(Pid);

impl Group {
    /// The group that the process `pid` leads. A process that leads none shares its group with others, which are none
    /// of the service's business.
    pub(super) fn led_by(pid: u32) -> Option<Self> {
        let pid = Pid::from_raw(pid.try_into().ok()?)?;
        (process::getpgid(Some(pid)) == Ok(pid)).then_some(Self(pid))
    }

    /// Sends every process of the group a signal. There may be none left, which is fine.
    pub(super) fn signal(self, signal: Signal) {
        if let Err(error) = process::kill_process_group(self.0, signal)
            && error != rustix::io::Errno::SRCH
        {
            tracing::warn!("cannot signal the process group {}: {error}", self.0.as_raw_nonzero());
        }
    }

    fn is_empty(self) -> bool {
        process::test_kill_process_group(self.0) == Err(rustix::io::Errno::SRCH)
    }

    /// Ends what is left of the group after its leader: SIGTERM, then SIGKILL after `grace`. A port or a lock that a
    /// left-over process holds would make the next start fail.
    pub(super) async fn end(self, grace: Duration) {
        if self.is_empty() {
            return;
        }
        self.signal(Signal::TERM);
        if timeout(grace, self.emptied()).await.is_err() {
            self.signal(Signal::KILL);
            if timeout(KILL_TIMEOUT, self.emptied()).await.is_err() {
                tracing::warn!("processes of the group {} do not end", self.0.as_raw_nonzero());
            }
        }
    }

    /// Nothing tells when a group is empty, so it is asked, less and less often.
    async fn emptied(self) {
        let began = Instant::now();
        while !self.is_empty() {
            sleep(pause(began.elapsed())).await;
        }
    }
}

/// How long to wait before asking again for something that has not come for `waited`: a quarter of that, between 1 and
/// 50 ms.
pub(super) fn pause(waited: Duration) -> Duration {
    (waited / 4).clamp(Duration::from_millis(1), Duration::from_millis(50))
}
