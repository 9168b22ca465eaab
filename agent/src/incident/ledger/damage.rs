//! A ledger that is no ledger any more: how that is noticed, and what becomes of the file.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::LedgerError;
use crate::clock::Timestamp;

/// A ledger up to this size is looked through at every start: it takes about a tenth of a second.
const SMALL: u64 = 64 << 20;
/// One up to this size is looked through when the last agent did not close it. Beyond, a look at every page would keep a
/// crashed agent from its work for seconds; there, damage is noticed by what is read at the start.
const LARGE: u64 = 256 << 20;

/// The files beside a ledger that belong to it.
const COMPANIONS: [&str; 2] = ["-wal", "-shm"];

/// Whether the last agent did not close the ledger: SQLite removes the log of writes when it does.
pub(super) fn was_cut_short(path: &Path) -> bool {
    size(&beside(path, "-wal")) > 0
}

/// Looks through the ledger, if that is worth its time.
pub(super) fn check(connection: &Connection, path: &Path, cut_short: bool) -> Result<(), LedgerError> {
    let size = size(path);
    if size > LARGE || (size > SMALL && !cut_short) {
        return Ok(());
    }
    let what: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if what == "ok" { Ok(()) } else { Err(LedgerError::Damaged { path: path.to_owned(), what }) }
}

/// Moves the ledger and what belongs to it out of the way, to `ledger.damaged-20260102T030405Z.sqlite`.
pub(super) fn set_aside(path: &Path, now: Timestamp) -> io::Result<PathBuf> {
    let time: String = now.to_string().split('.').next().unwrap_or_default().replace(['-', ':'], "");
    let name = |count: u32| match count {
        1 => path.with_file_name(format!("ledger.damaged-{time}Z.sqlite")),
        _ => path.with_file_name(format!("ledger.damaged-{time}Z-{count}.sqlite")),
    };
    // Nothing that was set aside before is written over.
    let to = (1..).map(name).find(|to| !to.exists()).ok_or(io::ErrorKind::AlreadyExists)?;
    // The companions first: a new ledger must never meet the log of the old one.
    for companion in COMPANIONS {
        match fs::rename(beside(path, companion), beside(&to, companion)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    fs::rename(path, &to)?;
    Ok(to)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |meta| meta.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_belongs_to_a_ledger_goes_with_it_and_nothing_is_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.sqlite");
        let now = Timestamp::from_nanos(1_700_000_000_123_000_000);
        for round in ["first", "second"] {
            fs::write(&path, round).unwrap();
            fs::write(beside(&path, "-wal"), round).unwrap();
            set_aside(&path, now).unwrap();
        }
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!(read("ledger.damaged-20231114T221320Z.sqlite"), "first");
        assert_eq!(read("ledger.damaged-20231114T221320Z.sqlite-wal"), "first");
        assert_eq!(read("ledger.damaged-20231114T221320Z-2.sqlite"), "second");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 4);
    }
}
