use std::borrow::Cow;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

/// The most that is read of one file. A host with 10,000 mounts has 2 MB of them; what is larger is no file of the kernel's.
const MAX_BYTES: usize = 4 << 20;

/// Why a source gives nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    /// The host has none of it.
    #[error("{0}")]
    Absent(String),
    /// It should be there and cannot be read, or makes no sense.
    #[error("{0}")]
    Degraded(String),
}

impl Fault {
    /// What an error at reading a file means.
    pub(super) fn of(path: &Path, error: &io::Error) -> Self {
        let text = format!("{}: {error}", path.display());
        match error.kind() {
            // Unsupported: the kernel has it and was told at boot to leave it off (`psi=0`).
            io::ErrorKind::NotFound | io::ErrorKind::Unsupported => Self::Absent(text),
            _ => Self::Degraded(text),
        }
    }

    /// The file says something else than it should.
    pub(super) fn garbage(path: &Path, what: impl std::fmt::Display) -> Self {
        Self::Degraded(format!("{} is not as the kernel writes it: {what}", path.display()))
    }
}

/// A file of the kernel's that is read again and again: opened once, so that a reading costs no look-up of its path. After
/// an error it is opened anew.
#[derive(Debug)]
pub(super) struct Kept {
    path: PathBuf,
    file: Option<File>,
    buffer: Vec<u8>,
}

impl Kept {
    /// Opened when it is first read.
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, file: None, buffer: Vec::new() }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// All that it says now.
    pub(super) fn read(&mut self) -> Result<&[u8], Fault> {
        match self.fill() {
            Ok(length) => Ok(self.buffer.get(..length).unwrap_or_default()),
            Err(error) => {
                self.file = None;
                Err(Fault::of(&self.path, &error))
            }
        }
    }

    /// The same as text; what is no UTF-8 in it is replaced.
    pub(super) fn text(&mut self) -> Result<Cow<'_, str>, Fault> {
        Ok(String::from_utf8_lossy(self.read()?))
    }

    fn fill(&mut self) -> io::Result<usize> {
        let file = match &self.file {
            Some(file) => file,
            // Where something else lies in the file's place (a pipe), neither opening nor reading it may block.
            None => self.file.insert(open(OpenOptions::new().read(true), &self.path)?),
        };
        if self.buffer.is_empty() {
            self.buffer.resize(4096, 0);
        }
        let mut length = 0;
        loop {
            let room = self.buffer.get_mut(length..).unwrap_or_default();
            match file.read_at(room, length as u64) {
                Ok(0) => return Ok(length),
                Ok(read) => length += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            if length > MAX_BYTES {
                self.buffer = Vec::new();
                return Err(io::Error::other(format!("larger than {} MiB", MAX_BYTES >> 20)));
            }
            if length == self.buffer.len() {
                self.buffer.resize(2 * length, 0);
            }
        }
    }
}

/// Opens a file so that nothing about it can block.
pub(super) fn open(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    options.custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_anew_each_time_and_may_come_later() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("stat");
        let mut kept = Kept::new(path.clone());
        assert!(matches!(kept.read(), Err(Fault::Absent(_))));
        std::fs::write(&path, "one").unwrap();
        assert_eq!(kept.text().unwrap(), "one");
        let long = "x".repeat(10_000);
        std::fs::write(&path, &long).unwrap();
        assert_eq!(kept.text().unwrap(), long);
        std::fs::write(&path, "two").unwrap();
        assert_eq!(kept.text().unwrap(), "two");
    }

    #[test]
    fn what_is_huge_a_directory_or_a_pipe_is_an_error_and_never_blocks() {
        let dir = tempfile::tempdir().unwrap();
        let huge = dir.path().join("huge");
        File::create(&huge).unwrap().set_len(64 << 20).unwrap();
        let mut kept = Kept::new(huge);
        assert!(matches!(kept.read(), Err(Fault::Degraded(reason)) if reason.contains("larger than 4 MiB")));
        assert!(kept.buffer.capacity() == 0, "memory is given back");
        assert!(matches!(Kept::new(dir.path().to_owned()).read(), Err(Fault::Degraded(_))));
        let pipe = dir.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
        assert!(matches!(Kept::new(pipe).read(), Err(Fault::Degraded(_))));
    }

    #[test]
    fn it_reads_the_kernel_s_own_files() {
        let mut kept = Kept::new("/proc/stat".into());
        let first = kept.text().unwrap().into_owned();
        assert!(first.starts_with("cpu "));
        assert_eq!(first.lines().count(), kept.text().unwrap().lines().count());
    }
}
