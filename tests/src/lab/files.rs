//! Files of a host, from outside.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use anyhow::{Context, Result};
use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat2};
use rustix::io::Errno;

use super::Host;

impl Host {
    /// Writes a file inside, and makes the directories above it that are missing.
    pub fn write(&self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) -> Result<()> {
        let path = path.as_ref();
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC;
        let mut file = self.open(path, flags);
        if file.as_ref().is_err_and(|error| *error == Errno::NOENT) {
            let parent = path.parent().context("no path of a file")?.display().to_string();
            self.run(&["mkdir", "-p", &parent])?;
            file = self.open(path, flags);
        }
        let mut file = file.with_context(|| format!("cannot write {} in the host", path.display()))?;
        Ok(file.write_all(content.as_ref())?)
    }

    /// Reads a file inside.
    pub fn read(&self, path: impl AsRef<Path>) -> Result<String> {
        let path = path.as_ref();
        let file = self.open(path, OFlags::RDONLY);
        let mut content = String::new();
        file.with_context(|| format!("cannot read {} in the host", path.display()))?.read_to_string(&mut content)?;
        Ok(content)
    }

    /// Whether there is a file, or anything else, under that path inside.
    pub fn sees(&self, path: impl AsRef<Path>) -> bool {
        self.open(path.as_ref(), OFlags::PATH).is_ok()
    }

    /// Opens through the root of the host's PID 1, so through the host's own mounts. Links are the host's too: left
    /// to an ordinary open, an absolute one would lead to a file of this machine.
    fn open(&self, path: &Path, flags: OFlags) -> rustix::io::Result<File> {
        let root = open(format!("/proc/{}/root", self.pid()), OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let mode = if flags.contains(OFlags::CREATE) { Mode::from_raw_mode(0o644) } else { Mode::empty() };
        openat2(root, path, flags | OFlags::CLOEXEC, mode, ResolveFlags::IN_ROOT).map(File::from)
    }
}
