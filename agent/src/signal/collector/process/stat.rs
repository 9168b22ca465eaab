//! What `/proc/PID/…` says, taken apart.

/// What `/proc/PID/stat` says, in part (proc_pid_stat(5)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::signal::collector) struct Stat {
    /// The command's name, at most 15 bytes of it.
    pub(in crate::signal::collector) command: String,
    /// `R`, `S`, `D`, `Z`, …
    pub(in crate::signal::collector) state: char,
    /// The parent's number.
    pub(in crate::signal::collector) parent: u32,
    /// Time on a CPU, in clock ticks, of user and kernel together.
    pub(in crate::signal::collector) cpu: u64,
    /// Threads.
    pub(in crate::signal::collector) threads: u64,
    /// When it started, in clock ticks since boot: with the number it tells a process apart from all others.
    pub(in crate::signal::collector) started: u64,
    /// Resident memory, in pages.
    pub(in crate::signal::collector) resident: u64,
}

impl Stat {
    /// Fields 2, 3, 4, 14, 15, 20, 22 and 24. The second is the command's name in parentheses, which may itself hold spaces
    /// and parentheses.
    pub(in crate::signal::collector) fn parse(text: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(text);
        let (before, rest) = text.rsplit_once(')')?;
        let (_, command) = before.split_once('(')?;
        let mut fields = rest.split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        let parent = fields.next()?.parse().ok()?;
        let mut number = |skipped| fields.nth(skipped)?.parse::<u64>().ok();
        let (user, system) = (number(9)?, number(0)?);
        let (threads, started) = (number(4)?, number(1)?);
        let resident = number(1)?;
        let cpu = user.saturating_add(system);
        Some(Self { command: command.to_owned(), state, parent, cpu, threads, started, resident })
    }

    /// Whether only its parent still knows of it. A process whose first thread alone has ended still runs.
    pub(in crate::signal::collector) fn has_ended(&self) -> bool {
        matches!(self.state, 'Z' | 'X') && self.threads <= 1
    }
}

/// The effective user in `/proc/PID/status`. (The owner of the directory is root where a process gave up its privileges.)
pub(super) fn user(status: &str) -> Option<u32> {
    field(status, "Uid:")?.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// How often the first thread was taken off the CPU, in `/proc/PID/status`: while the number stands still, it sleeps one
/// and the same sleep.
pub(super) fn switches(status: &str) -> Option<u64> {
    let count = |name| field(status, name)?.trim().parse::<u64>().ok();
    Some(count("voluntary_ctxt_switches:")?.wrapping_add(count("nonvoluntary_ctxt_switches:")?))
}

/// The proportional share of memory in `/proc/PID/smaps_rollup`, in bytes.
pub(super) fn proportional(smaps: &str) -> Option<u64> {
    let kilobytes: u64 = field(smaps, "Pss:")?.split_ascii_whitespace().next()?.parse().ok()?;
    kilobytes.checked_mul(1024)
}

/// The soft limit of open files in `/proc/PID/limits`; none where it is unlimited.
pub(super) fn open_files(limits: &str) -> Option<u64> {
    field(limits, "Max open files")?.split_ascii_whitespace().next()?.parse().ok()
}

/// The bytes that a process had read from storage and written to it, in `/proc/PID/io` (proc_pid_io(5)): what came from the
/// page cache does not count.
pub(super) fn storage(io: &str) -> Option<(u64, u64)> {
    let bytes = |label| field(io, label)?.trim().parse().ok();
    Some((bytes("read_bytes:")?, bytes("write_bytes:")?))
}

/// The time since boot in `/proc/uptime`, in seconds.
pub(super) fn uptime(text: &str) -> Option<f64> {
    text.split_ascii_whitespace().next()?.parse().ok().filter(|seconds: &f64| seconds.is_finite())
}

/// What follows the label on its line.
fn field<'a>(text: &'a str, label: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(label))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STAT: &[u8] =
        b"4711 (tmux: server (1)) S 1 4711 4711 0 -1 4194624 2034 9 2 0 151 49 7 8 20 0 3 0 8021 25853952 1462 \
        18446744073709551615 1 1 0 0 0 0 0 3674112 134433283 0 0 0 17 1 0 0 0 0 0\n";

    #[test]
    fn a_name_may_hold_anything() {
        let stat = Stat::parse(STAT).unwrap();
        let (command, state) = ("tmux: server (1)".to_owned(), 'S');
        assert_eq!(stat, Stat { command, state, parent: 1, cpu: 200, threads: 3, started: 8021, resident: 1462 });
        assert!(Stat::parse(b"7 (\xff\xfe) R 1 1 1 0 -1 0 0 0 0 0 1 1 0 0 20 0 1 0 5 0 0").unwrap().command.len() > 1);
    }

    #[test]
    fn a_process_whose_first_thread_ended_has_not_ended() {
        let zombie = |threads| {
            let text = format!("7 (x) Z 1 7 7 0 -1 0 1 2 3 4 5 6 7 8 20 0 {threads} 0 9 1 1");
            Stat::parse(text.as_bytes()).unwrap().has_ended()
        };
        assert_eq!((zombie(1), zombie(2)), (true, false));
    }

    #[test]
    fn labelled_lines_are_found() {
        let status = "Name:\tnginx\nUid:\t0\t33\t33\t33\nThreads:\t1\nvoluntary_ctxt_switches:\t150\nnonvoluntary_ctxt_switches:\t5\n";
        assert_eq!((user(status), switches(status)), (Some(33), Some(155)));
        assert_eq!(
            proportional("55d0-7ffc ---p 00000000 00:00 0    [rollup]\nRss:  1884 kB\nPss:   236 kB\n"),
            Some(241_664)
        );
        let limits = "Limit            Soft Limit  Hard Limit  Units\nMax open files            1024                 4096                 files     \n";
        assert_eq!(open_files(limits), Some(1024));
        assert_eq!(open_files("Max open files            unlimited            unlimited            files"), None);
        assert_eq!(uptime("24493.14 88.10\n"), Some(24493.14));
        assert_eq!(uptime("nan 1"), None);
    }

    proptest! {
        #[test]
        fn garbage_is_none(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            drop((Stat::parse(&bytes), user(&text), switches(&text), proportional(&text), open_files(&text), uptime(&text)));
        }

        #[test]
        fn a_stat_cut_anywhere_is_none_or_whole(length in 0..STAT.len()) {
            // Cut within the last field that is read, the number is a shorter one: reads of procfs are not cut.
            if let Some(stat) = Stat::parse(&STAT[..length]) {
                prop_assert_eq!(stat.started, 8021);
            }
        }
    }
}
