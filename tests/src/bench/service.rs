//! The service that everybody looks after (`server.c`), from outside.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};
use rustix::net::sockopt::socket_peercred;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use salve_tests::wait;

/// How long a service must have been up before it is killed. runit waits a second before it restarts a service that did
/// not live for one, so all contenders are given more.
const UP: Duration = Duration::from_millis(1200);

/// How long a start may take, or a recovery.
const DEADLINE: Duration = Duration::from_secs(60);

/// The rest between two attempts to connect: short against everything that is measured, and long enough to leave a
/// machine of two cores to the contender.
const LOOK: Duration = Duration::from_micros(50);

/// One running instance of it, told by its socket.
pub(super) struct Service {
    socket: PathBuf,
    up_since: Instant,
}

/// A recovery.
pub(super) struct Recovery {
    /// When the process was killed.
    pub(super) killed: SystemTime,
    /// How long after that another one answered.
    pub(super) took: Duration,
}

impl Service {
    /// Waits until it answers on `socket`.
    pub(super) fn found(socket: &Path) -> Result<Self> {
        wait::attempt(DEADLINE, || ask(socket).ok())
            .with_context(|| format!("nobody answered on {} for {DEADLINE:?}", socket.display()))?;
        Ok(Self { socket: socket.to_owned(), up_since: Instant::now() })
    }

    /// Kills its process, after a rest of `quiet` and once it has been up for long enough, and waits for the next one to
    /// answer.
    pub(super) fn kill(&mut self, quiet: Duration) -> Result<Recovery> {
        let rest = quiet.max(UP.saturating_sub(self.up_since.elapsed()));
        wait::attempt(rest, || None::<()>);
        let old = ask(&self.socket).with_context(|| format!("{} does not answer", self.socket.display()))?;
        let process = pidfd_open(old, PidfdFlags::empty())?;
        let (killed, start) = (SystemTime::now(), Instant::now());
        pidfd_send_signal(&process, Signal::KILL)?;
        loop {
            if ask(&self.socket).is_ok_and(|new| new != old) {
                break;
            }
            let waited = start.elapsed();
            (waited < DEADLINE)
                .then_some(())
                .with_context(|| format!("{} did not come back for {DEADLINE:?}", self.socket.display()))?;
            thread::park_timeout(LOOK);
        }
        self.up_since = Instant::now();
        let took = self.up_since - start;
        Ok(Recovery { killed, took })
    }
}

/// Sends a signal to the process that answers on `socket`.
pub(super) fn signal(socket: &Path, signal: Signal) -> Result<()> {
    let process = pidfd_open(ask(socket)?, PidfdFlags::empty())?;
    Ok(pidfd_send_signal(&process, signal)?)
}

/// Which process answers, as this machine numbers it: what it says of itself is its number in its own namespace.
fn ask(socket: &Path) -> io::Result<Pid> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.read_exact(&mut [0])?;
    Ok(socket_peercred(&stream)?.pid)
}
