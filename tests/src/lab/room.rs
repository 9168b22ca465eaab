//! What a host occupies on this machine: a directory that outlasts its power cuts.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};

use super::cgroup::Cgroup;

const BASE: &str = "/run/salve-lab";

/// `/run/salve-lab/PID-NUMBER-NAME`, locked for as long as it is in use. The lock ends with the process that owns it,
/// however that ends: an unlocked room was left by a crash.
#[derive(Debug)]
pub(super) struct Room {
    name: String,
    path: PathBuf,
    _lock: File,
}

impl Room {
    /// Takes a new room for a host called `host`, and clears those that crashed runs have left.
    pub(super) fn take(host: &str) -> Result<Room> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        fs::create_dir_all(BASE)?;
        let corridor = File::open(BASE)?;
        corridor.lock()?; // Nobody clears a room between its making and its locking.
        clear_abandoned().context("cannot clear what a crashed run left")?;
        let name = format!("{}-{}-{host}", process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let path = Path::new(BASE).join(&name);
        fs::create_dir(&path)?;
        let lock = File::open(&path)?;
        lock.lock()?;
        fs::create_dir(path.join("shared"))?;
        fs::create_dir(path.join("disk"))?;
        Ok(Room { name, path, _lock: lock })
    }

    /// Unique on this machine.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The directory that the host sees too.
    pub(super) fn shared(&self) -> PathBuf {
        self.path.join("shared")
    }

    /// What the host says while it boots.
    pub(super) fn log(&self) -> PathBuf {
        self.path.join("log")
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path); // If it fails, the next run clears it.
    }
}

fn clear_abandoned() -> io::Result<()> {
    for entry in fs::read_dir(BASE)? {
        let entry = entry?;
        let Ok(room) = File::open(entry.path()) else { continue }; // Its owner was faster.
        if room.try_lock().is_ok() {
            drop(Cgroup::left_by(&entry.file_name().to_string_lossy()));
            match fs::remove_dir_all(entry.path()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}
