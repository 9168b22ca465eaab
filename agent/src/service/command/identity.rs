//! Telling processes apart, also from later ones of the same number.

use std::path::Path;
use std::time::{Duration, SystemTime};
use std::{fs, io};

use rustix::time::{ClockId, clock_gettime};

/// Clock ticks a second in what the kernel tells user space (`USER_HZ`), on every architecture since 2.6 but Alpha.
const TICKS_PER_SECOND: u64 = 100;
/// How much younger than the file that names it a process may seem, because clocks and file times are coarse.
const CLOCK_SLACK: Duration = Duration::from_secs(1);

/// One process, and no later one of the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) pid: u32,
    /// When it started, in clock ticks since boot.
    pub(super) started: u64,
}

impl Identity {
    /// The live process `pid`; `None` if there is none, or only one that has ended and waits for its parent.
    pub(super) fn of(pid: u32) -> Option<Self> {
        match stat(pid)? {
            ('Z' | 'X', _) => None,
            (_, started) => Some(Self { pid, started }),
        }
    }

    /// The process `pid`, even if it has already ended and waits for its parent.
    pub(super) fn of_child(pid: u32) -> Option<Self> {
        stat(pid).map(|(_, started)| Self { pid, started })
    }

    pub(super) fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// The live process that a pidfile names. A process that started after the file was written is not the one that it
    /// means, but a later one of the same number.
    pub(super) fn in_pidfile(pidfile: &Path) -> Option<Self> {
        let text = fs::read_to_string(pidfile).ok()?;
        let identity = Self::of(text.split_whitespace().next()?.parse().ok()?)?;
        let written = fs::metadata(pidfile).and_then(|file| file.modified()).ok()?;
        (identity.start_time()? <= written + CLOCK_SLACK).then_some(identity)
    }

    fn start_time(self) -> Option<SystemTime> {
        let now = clock_gettime(ClockId::Boottime);
        let uptime = Duration::new(now.tv_sec.try_into().ok()?, now.tv_nsec.try_into().ok()?);
        let started = Duration::from_millis(self.started * 1000 / TICKS_PER_SECOND);
        SystemTime::now().checked_sub(uptime.saturating_sub(started))
    }
}

/// State and start time of a process.
fn stat(pid: u32) -> Option<(char, u64)> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Fields 3 and 22 of `/proc/PID/stat`. The second is the command's name in parentheses, which may itself hold spaces
/// and parentheses.
fn parse_stat(text: &str) -> Option<(char, u64)> {
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

/// The number of this boot: start times of processes mean nothing across boots.
pub(super) fn boot() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_parentheses_do_not_shift_the_fields() {
        let text = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 5 6";
        assert_eq!(parse_stat(text), Some(('S', 4711)));
        assert_eq!(parse_stat("7 (a"), None);
    }

    #[test]
    fn a_pidfile_older_than_its_process_is_stale() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), format!("{}\n", std::process::id())).unwrap();
        assert_eq!(Identity::in_pidfile(file.path()), Identity::of(std::process::id()));
        let before = Identity::of(std::process::id()).unwrap().start_time().unwrap() - Duration::from_secs(60);
        fs::File::options().write(true).open(file.path()).unwrap().set_modified(before).unwrap();
        assert_eq!(Identity::in_pidfile(file.path()), None);
        fs::write(file.path(), "nonsense").unwrap();
        assert_eq!(Identity::in_pidfile(file.path()), None);
    }
}
