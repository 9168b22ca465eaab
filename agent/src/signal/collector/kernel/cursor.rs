//! How far the kernel's log was read, over restarts of the agent.

use std::fs;
use std::path::{Path, PathBuf};

/// A file that holds the boot and the last sequence that was read.
#[derive(Debug)]
pub(super) struct Cursor {
    path: PathBuf,
    boot: String,
    saved: Option<u64>,
}

impl Cursor {
    /// That of this boot. Sequences begin anew with each.
    pub(super) fn open(path: &Path, boot: &str) -> Self {
        let text = fs::read_to_string(path).unwrap_or_default();
        let saved =
            text.trim_end().split_once(' ').filter(|(of, _)| *of == boot).and_then(|(_, last)| last.parse().ok());
        Self { path: path.to_owned(), boot: boot.to_owned(), saved }
    }

    /// The last sequence that was read in this boot.
    pub(super) const fn last(&self) -> Option<u64> {
        self.saved
    }

    /// Keeps it. Without it the agent reads from the end after its next start, which is no harm worth stopping for.
    pub(super) fn save(&mut self, sequence: u64) {
        self.saved = Some(sequence);
        let new = self.path.with_extension("new");
        let kept = fs::write(&new, format!("{} {sequence}\n", self.boot)).and_then(|()| fs::rename(&new, &self.path));
        if let Err(error) = kept {
            tracing::debug!(path = %self.path.display(), "where the kernel's log was read to is not kept: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_of_one_boot() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("kmsg");
        Cursor::open(&path, "a").save(7);
        assert_eq!(Cursor::open(&path, "a").last(), Some(7));
        assert_eq!(Cursor::open(&path, "b").last(), None);
        for garbage in ["", "a", "a x", "a -1", "\0"] {
            fs::write(&path, garbage).unwrap();
            assert_eq!(Cursor::open(&path, "a").last(), None);
        }
        Cursor::open(Path::new("/proc/nowhere"), "a").save(7);
    }
}
