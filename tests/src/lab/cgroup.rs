//! The cgroup that holds a host.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::wait;

/// Where the version 2 hierarchy is mounted: on machines that keep the old one too, a level below.
pub(super) fn root() -> PathBuf {
    let hybrid = Path::new("/sys/fs/cgroup/unified");
    if hybrid.is_dir() { hybrid.to_owned() } else { PathBuf::from("/sys/fs/cgroup") }
}

/// A cgroup with all below it. Dropping it kills what is left inside and removes it.
#[derive(Debug)]
pub(super) struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    /// Makes the cgroup of the room called `room`.
    pub(super) fn create(room: &str) -> io::Result<Cgroup> {
        let cgroup = Cgroup::left_by(room);
        fs::create_dir_all(&cgroup.path)?;
        Ok(cgroup)
    }

    /// The cgroup that a room of this name had, if it is still there.
    pub(super) fn left_by(room: &str) -> Cgroup {
        Cgroup { path: root().join(format!("salve-lab-{room}")) }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        if self.path.is_dir() {
            let _ = fs::write(self.path.join("cgroup.kill"), "1"); // Linux before 5.14 has no such file.
            wait::attempt(Duration::from_secs(5), || remove(&self.path).ok());
        }
    }
}

/// Removes the directories, innermost first. The files in them are the kernel's.
fn remove(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove(&entry.path())?;
        }
    }
    fs::remove_dir(directory)
}
