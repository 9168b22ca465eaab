//! Space kept back for the hour when the disk is full.
//!
//! A full disk is a fault to be healed, and healing it needs the ledger. So a file of allocated blocks lies beside it; when a
//! write finds no space, the file is given up and the write is tried again. Once the disk has space again, it is made anew.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::ErrorCode;
use rustix::fs::{FallocateFlags, fallocate, statvfs};

use super::LedgerError;

/// Bytes kept back unless the configuration says otherwise.
pub const RESERVE: u64 = 4 << 20;

/// The reserve's file in the state directory.
const FILE: &str = "ledger.reserve";
/// A reserve is made only where so many times its size is free: it must not be what fills the disk.
const ROOM: u64 = 4;
/// How long to wait before it is tried again to make one.
const AGAIN: Duration = Duration::from_secs(60);

/// The space kept back.
#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
    /// In bytes; none are kept back if 0.
    size: u64,
    /// Whether it is not there though it should be.
    spent: bool,
    /// When it was last given up, or tried to be made.
    tried: Option<Instant>,
}

impl Reserve {
    /// The reserve in a state directory, as it was left.
    pub(super) fn new(state: &Path, size: u64) -> Self {
        let path = state.join(FILE);
        let is_there = fs::metadata(&path).is_ok_and(|meta| meta.len() == size && meta.blocks() * 512 >= size);
        if !is_there {
            // Of another size, or not really allocated.
            drop(fs::remove_file(&path));
        }
        Self { path, size, spent: !is_there && size > 0, tried: None }
    }

    /// Whether it is not there though it should be.
    pub(super) fn is_spent(&self) -> bool {
        self.spent
    }

    /// Gives the space up if that may mend this error, and says whether it is worth trying again.
    pub(super) fn spend_on(&mut self, error: &LedgerError) -> bool {
        let is_full = match error.code() {
            Some(ErrorCode::DiskFull) => true,
            // So SQLite calls it where the index of its log cannot grow.
            Some(ErrorCode::SystemIoFailure) => free(&self.path) < self.size,
            _ => false,
        };
        if !is_full || self.spent || self.size == 0 {
            return false;
        }
        if let Err(error) = self.remove() {
            tracing::error!(%error, "the disk is full, and the reserve {} cannot be given up", self.path.display());
            return false;
        }
        tracing::error!(
            "the disk is full: the ledger lives on its reserve of {} bytes; make space on the file system of {}",
            self.size,
            self.path.display()
        );
        self.spent = true;
        self.tried = Some(Instant::now());
        true
    }

    /// Makes it again where there is space, unless that was tried a short while ago.
    pub(super) fn restore(&mut self, now: Instant) {
        if !self.spent || self.tried.is_some_and(|tried| now.saturating_duration_since(tried) < AGAIN) {
            return;
        }
        self.tried = Some(now);
        if free(&self.path) < self.size.saturating_mul(ROOM) {
            return;
        }
        match self.make() {
            Ok(()) => {
                self.spent = false;
                tracing::debug!("the ledger has a reserve of {} bytes", self.size);
            }
            Err(error) => {
                drop(fs::remove_file(&self.path));
                tracing::warn!(%error, "no reserve for a full disk: {} cannot be made", self.path.display());
            }
        }
    }

    fn make(&self) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&self.path)?;
        match fallocate(&file, FallocateFlags::empty(), 0, self.size) {
            Ok(()) => {}
            // Some file systems cannot do it without writing.
            Err(rustix::io::Errno::OPNOTSUPP) => {
                let zeros = [0; 4096];
                let mut left = self.size;
                while left > 0 {
                    let part = left.min(4096);
                    file.write_all(zeros.get(..part as usize).unwrap_or(&zeros))?;
                    left -= part;
                }
            }
            Err(error) => return Err(error.into()),
        }
        file.sync_all()
    }

    fn remove(&self) -> io::Result<()> {
        fs::remove_file(&self.path)?;
        // A journalling file system hands the blocks out again only once it has written down that they are free.
        match self.path.parent() {
            Some(parent) => File::open(parent)?.sync_all(),
            None => Ok(()),
        }
    }
}

/// Bytes that anybody may still write beside this file. Unknown counts as none, so that nothing is taken.
fn free(path: &Path) -> u64 {
    let parent = path.parent().unwrap_or(path);
    statvfs(parent).map_or(0, |fs| fs.f_bavail.saturating_mul(fs.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> LedgerError {
        LedgerError::Sql(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(13), None))
    }

    #[test]
    fn it_is_really_allocated_given_up_once_and_made_again_after_a_while() {
        let dir = tempfile::tempdir().unwrap();
        let mut reserve = Reserve::new(dir.path(), 64 << 10);
        let file = dir.path().join(FILE);
        let start = Instant::now();
        assert!(reserve.is_spent() && !reserve.spend_on(&full()), "there is nothing to give up yet");
        reserve.restore(start);
        assert!(!reserve.is_spent());
        assert!(fs::metadata(&file).unwrap().blocks() * 512 >= 64 << 10);

        let constraint = LedgerError::Sql(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(19), None));
        assert!(!reserve.spend_on(&constraint) && file.exists());
        assert!(reserve.spend_on(&full()) && reserve.is_spent() && !file.exists());
        assert!(!reserve.spend_on(&full()), "there is only one");
        let spent = Instant::now();
        reserve.restore(spent);
        assert!(!file.exists(), "not at once");
        reserve.restore(spent + AGAIN);
        assert!(file.exists() && !reserve.is_spent());
        assert!(!Reserve::new(dir.path(), 64 << 10).is_spent(), "found as it was left");
    }

    #[test]
    fn it_never_takes_what_is_not_there_and_none_is_kept_if_none_is_wanted() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(FILE);
        let mut greedy = Reserve::new(dir.path(), free(&file) / 2);
        greedy.restore(Instant::now());
        assert!(greedy.is_spent() && !file.exists());
        fs::write(&file, "left behind").unwrap();
        let mut none = Reserve::new(dir.path(), 0);
        none.restore(Instant::now());
        assert!(!none.is_spent() && !none.spend_on(&full()) && !file.exists());
    }
}
