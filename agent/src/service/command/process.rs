//! One running process: when it ends, and how.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use rustix::process::{self, Pid, PidfdFlags, Signal, WaitId, WaitIdOptions};
use tokio::io::unix::AsyncFd;
use tokio::process::Child;

use super::group::Group;
use super::identity::Identity;

/// How a process ended, as far as it can be known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Exit {
    /// The exit status, if it ended by itself.
    pub(super) code: Option<i32>,
    /// The number of the signal that ended it, if one did.
    pub(super) signal: Option<i32>,
    /// Whether the kernel wrote a core dump.
    pub(super) dumped: bool,
}

impl Exit {
    /// systemd's word for it, or `unknown`: only the parent of a process is told how it ended.
    pub(super) fn result(self) -> &'static str {
        match (self.code, self.signal) {
            (Some(0), _) => "success",
            (Some(_), _) => "exit-code",
            (None, Some(_)) if self.dumped => "core-dump",
            (None, Some(_)) => "signal",
            (None, None) => "unknown",
        }
    }
}

impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Self {
        Self { code: status.code(), signal: status.signal(), dumped: status.core_dumped() }
    }
}

/// A process that runs, watched without polling.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) pid: u32,
    /// The group that ends with it.
    pub(super) group: Option<Group>,
    handle: Handle,
}

#[derive(Debug)]
enum Handle {
    /// Started by this agent.
    Child(Child),
    /// Started by somebody else, or by the agent before it was restarted.
    Other(AsyncFd<OwnedFd>),
}

impl Process {
    /// A child that leads a group of its own.
    pub(super) fn child(child: Child) -> Option<Self> {
        let pid = child.id()?;
        Some(Self { pid, group: Group::led_by(pid), handle: Handle::Child(child) })
    }

    /// A process that is not a child; `None` if it has ended.
    ///
    /// # Errors
    /// When the process cannot be watched.
    pub(super) fn adopt(identity: Identity) -> io::Result<Option<Self>> {
        let Some(pid) = identity.pid.try_into().ok().and_then(Pid::from_raw) else {
            return Ok(None);
        };
        let pidfd = match process::pidfd_open(pid, PidfdFlags::NONBLOCK) {
            Err(rustix::io::Errno::SRCH) => return Ok(None),
            pidfd => pidfd?,
        };
        // The pidfd holds whatever process had the number when it was opened; it must be this one.
        if !identity.is_alive() {
            return Ok(None);
        }
        // Its replacement `register` is unsafe to call, for types whose descriptor may change under it. An `OwnedFd`
        // is not one of these.
        #[expect(deprecated)]
        let pidfd = AsyncFd::new(pidfd)?;
        Ok(Some(Self { pid: identity.pid, group: Group::led_by(identity.pid), handle: Handle::Other(pidfd) }))
    }

    /// Waits until the process has ended. May be dropped and called again.
    pub(super) async fn exited(&mut self) -> Exit {
        match &mut self.handle {
            Handle::Child(child) => child.wait().await.map(Exit::from).unwrap_or_default(),
            Handle::Other(pidfd) => {
                if let Err(error) = pidfd.readable().await {
                    tracing::warn!("cannot watch process {}: {error}", self.pid);
                }
                // An orphan becomes a child of the agent where that is PID 1, and then is to be reaped.
                let reaped = process::waitid(
                    WaitId::PidFd(pidfd.get_ref().as_fd()),
                    WaitIdOptions::EXITED | WaitIdOptions::NOHANG,
                );
                let Ok(Some(status)) = reaped else {
                    return Exit::default();
                };
                let (code, signal) = (status.exit_status(), status.terminating_signal());
                Exit { code, signal, dumped: status.dumped() }
            }
        }
    }

    /// Sends a signal to the process, and to its group if it leads one. It may have ended, which is fine.
    pub(super) fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            return group.signal(signal);
        }
        let sent = match &self.handle {
            Handle::Other(pidfd) => process::pidfd_send_signal(pidfd.get_ref(), signal),
            // Until it is reaped nobody else can have its number, and then there is none.
            Handle::Child(child) => match child.id().and_then(|pid| Pid::from_raw(pid.try_into().ok()?)) {
                Some(pid) => process::kill_process(pid, signal),
                None => Ok(()),
            },
        };
        if let Err(error) = sent
            && error != rustix::io::Errno::SRCH
        {
            tracing::warn!("cannot signal process {}: {error}", self.pid);
        }
    }
}
