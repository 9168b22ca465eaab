use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use rustix::fs::fstatfs;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::signal::collector::kept::open;

/// The kernel's numbers of the file systems on which pressure files lie: those of proc and of cgroup v2 (magic.h).
const PSEUDO: [i64; 2] = [0x9fa0, 0x6367_7270];

/// A trigger that the kernel has taken: the open file is the trigger.
#[derive(Debug)]
pub(super) struct Trigger(AsyncFd<File>);

impl Trigger {
    /// Asks the kernel to tell when tasks stood still for `stall` within `window`. It is set for as long as this lives.
    pub(super) fn set(path: &Path, kind: &str, stall: Duration, window: Duration) -> io::Result<Self> {
        let mut file = open(OpenOptions::new().read(true).write(true), path)?;
        // What looks like a pressure file and is none would be written over.
        // Its type differs between machines.
        let magic = fstatfs(&file)?.f_type;
        if !PSEUDO.contains(&(magic as i64)) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file of the kernel's"));
        }
        // The kernel takes the last byte for the end.
        file.write_all(format!("{kind} {} {}\0", stall.as_micros(), window.as_micros()).as_bytes())?;
        // Its replacement is unsafe to call, for types whose descriptor may change under it. A `File` is not one of these.
        #[expect(deprecated)]
        AsyncFd::with_interest(file, Interest::PRIORITY | Interest::ERROR).map(Self)
    }

    /// Waits until it goes off. An error: what it watched is gone.
    pub(super) async fn fired(&self) -> io::Result<()> {
        let mut guard = self.0.ready(Interest::PRIORITY | Interest::ERROR).await?;
        let ready = guard.ready();
        guard.clear_ready();
        if ready.is_error() { Err(io::Error::from(io::ErrorKind::NotFound)) } else { Ok(()) }
    }
}
