//! What outlives the agent: which process a service is.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::{fs, io};

use super::identity::{self, Identity};

/// Two files: `NAME.pid` with the process number for people (`kill -9 $(cat NAME.pid)`), and `NAME.start` with the
/// process number, its start time and the boot, so that the agent can tell whether it is still the same process.
#[derive(Debug)]
pub(super) struct Record {
    pid: PathBuf,
    start: PathBuf,
}

impl Record {
    /// The record of the service `name`, in the directory `services` of the agent's state.
    pub(super) fn new(state: &Path, name: &str) -> Self {
        let file = |suffix| state.join("services").join(format!("{name}.{suffix}"));
        Self { pid: file("pid"), start: file("start") }
    }

    /// The recorded process, if it still runs.
    pub(super) fn read(&self) -> Option<Identity> {
        self.recorded().filter(|identity| identity.is_alive())
    }

    /// Whether a process was recorded since the host was booted, alive or not.
    pub(super) fn is_of_this_boot(&self) -> bool {
        self.recorded().is_some()
    }

    fn recorded(&self) -> Option<Identity> {
        let text = fs::read_to_string(&self.start).ok()?;
        let mut words = text.split_whitespace();
        let pid = words.next()?.parse().ok()?;
        let identity = Identity { pid, started: words.next()?.parse().ok()? };
        (words.next()? == identity::boot().ok()?).then_some(identity)
    }

    /// Records `process`.
    ///
    /// # Errors
    /// When the files cannot be written.
    pub(super) fn write(&self, process: Identity) -> io::Result<()> {
        if let Some(directory) = self.pid.parent() {
            fs::create_dir_all(directory)?;
        }
        let boot = identity::boot()?;
        replace(&self.start, &format!("{} {} {boot}\n", process.pid, process.started))?;
        replace(&self.pid, &format!("{}\n", process.pid))
    }

    /// Forgets the process.
    pub(super) fn remove(&self) {
        for file in [&self.pid, &self.start] {
            if let Err(error) = fs::remove_file(file)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!("cannot remove {}: {error}", file.display());
            }
        }
    }
}

/// Whoever reads the file sees all of the old or all of the new text. Where the disk is full the old file's own block is
/// written over: a service that is healed then must not be lost.
fn replace(file: &Path, text: &str) -> io::Result<()> {
    let mut fresh = file.as_os_str().to_owned();
    fresh.push(".new");
    match fs::write(&fresh, text) {
        Err(error) if error.kind() == io::ErrorKind::StorageFull => {
            drop(fs::remove_file(&fresh));
            let mut old = fs::OpenOptions::new().write(true).open(file).map_err(|_| error)?;
            old.write_all(text.as_bytes())?;
            old.set_len(text.len() as u64)
        }
        written => written.and_then(|()| fs::rename(&fresh, file)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_same_process_is_found_again() {
        let state = tempfile::tempdir().unwrap();
        let record = Record::new(state.path(), "web");
        let me = Identity::of(std::process::id()).unwrap();
        assert_eq!(record.read(), None);
        record.write(me).unwrap();
        assert_eq!(record.read(), Some(me));
        let pid = fs::read_to_string(state.path().join("services/web.pid")).unwrap();
        assert_eq!(pid, format!("{}\n", me.pid));
        record.write(Identity { started: me.started + 1, ..me }).unwrap();
        assert_eq!(record.read(), None, "a later process of the same number");
        let text = format!("{} {} another-boot\n", me.pid, me.started);
        fs::write(state.path().join("services/web.start"), text).unwrap();
        assert_eq!(record.read(), None, "a process of another boot");
        record.remove();
        assert_eq!(fs::read_dir(state.path().join("services")).unwrap().count(), 0);
    }
}
