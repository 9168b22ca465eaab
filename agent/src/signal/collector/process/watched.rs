//! One watched process.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::Duration;

use super::identity::Identity;
use super::metric::Metric;
use super::stat::{self, Stat};
use super::stuck::{Kind, Turn, Watch};
use crate::signal::{Sample, SeriesName};

/// What all readings of one moment share.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// On the monotonic count.
    pub(super) now: Duration,
    /// Seconds since boot, where somebody asks for an uptime.
    pub(super) uptime: Option<f64>,
    /// Clock ticks in a second.
    pub(super) ticks: f64,
    /// Bytes in a page of memory.
    pub(super) page: f64,
    /// Whether the size of a directory is that of a procfs.
    pub(super) sized: bool,
}

/// How a process was found.
#[derive(Debug)]
pub(super) enum Look {
    /// It runs: its state, its parent.
    There(Stat),
    /// It ended, or its number is another's now.
    Gone,
    /// It executes another program.
    Changed(Stat),
}

/// A process that is read at each interval.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) identity: Identity,
    pub(super) series: Vec<(Metric, SeriesName)>,
    /// Whether somebody wants to hear that it is stuck.
    pub(super) stateful: bool,
    pub(super) stuck: Watch,
    pub(super) parent: u32,
    /// Whether it is one of those of which it is counted how often they are replaced; `None` until its parent is known.
    pub(super) counted: Option<bool>,
    command: String,
    directory: PathBuf,
    /// Kept open: what it says is said of this process and of no later one. None where descriptors are short.
    stat: Option<File>,
    /// Ticks on a CPU at the last reading, and when that was.
    cpu: Option<(u64, Duration)>,
}

impl Watched {
    pub(super) fn new(identity: Identity, stat: &Stat, directory: PathBuf) -> Self {
        Self {
            identity,
            series: Vec::new(),
            stateful: false,
            stuck: Watch::default(),
            parent: stat.parent,
            counted: None,
            command: stat.command.clone(),
            directory,
            stat: None,
            cpu: None,
        }
    }

    /// How much of the room for series it takes.
    pub(super) fn weight(&self) -> usize {
        self.series.len().max(1)
    }

    pub(super) const fn holds_file(&self) -> bool {
        self.stat.is_some()
    }

    /// Looks at it; the file is kept open if there is room for one more.
    pub(super) fn look(&mut self, keep: bool, buffer: &mut [u8]) -> Look {
        match self.read(keep, buffer) {
            Some(stat) if stat.started != self.identity.started => Look::Gone,
            Some(stat) if stat.command != self.command => Look::Changed(stat),
            Some(stat) => {
                self.parent = stat.parent;
                Look::There(stat)
            }
            None => Look::Gone,
        }
    }

    fn read(&mut self, keep: bool, buffer: &mut [u8]) -> Option<Stat> {
        let opened;
        let file = match &self.stat {
            Some(file) => file,
            None => {
                opened = File::open(self.directory.join("stat")).ok()?;
                if keep { self.stat.insert(opened) } else { &opened }
            }
        };
        let length = file.read_at(buffer, 0).ok()?;
        Stat::parse(buffer.get(..length)?)
    }

    /// Adds a sample of each wanted series; says why one could not be read.
    pub(super) fn sample(&mut self, stat: &Stat, moment: &Moment, samples: &mut Vec<Sample>) -> Result<(), io::Error> {
        let before = self.cpu.replace((stat.cpu, moment.now));
        let mut failed = Ok(());
        let mut storage: Option<Option<(u64, u64)>> = None;
        for (metric, series) in &self.series {
            let value = match metric {
                Metric::Cpu => Ok(before.and_then(|before| utilization(before, (stat.cpu, moment.now), moment.ticks))),
                Metric::Memory => Ok(Some(stat.resident as f64 * moment.page)),
                // The kernel walks the memory's map: where a process is stuck with it, so would be whoever looks.
                Metric::Proportional if stat.state == 'D' => Ok(None),
                Metric::Proportional => {
                    self.text("smaps_rollup").map(|text| stat::proportional(&text).map(|it| it as f64))
                }
                Metric::Files => self.files(moment.sized).map(|count| Some(count as f64)),
                Metric::FileLimit => self.text("limits").map(|text| stat::open_files(&text).map(|it| it as f64)),
                Metric::Threads => Ok(Some(stat.threads as f64)),
                // Both are in one file.
                Metric::Read | Metric::Written => {
                    let read = match storage {
                        Some(known) => Ok(known),
                        None => self.text("io").map(|text| *storage.insert(stat::storage(&text))),
                    };
                    let of = |(read, written)| if *metric == Metric::Read { read } else { written };
                    read.map(|bytes| bytes.map(|bytes| of(bytes) as f64))
                }
                Metric::Uptime => Ok(moment.uptime.map(|now| (now - stat.started as f64 / moment.ticks).max(0.0))),
            };
            match value {
                Ok(Some(value)) => samples.push(Sample { series: series.clone(), value }),
                Ok(None) => {}
                // It ended since it was looked at; the next look says so.
                Err(error) if error.kind() == io::ErrorKind::NotFound || is_gone(&error) => {}
                Err(error) => failed = Err(error),
            }
        }
        failed
    }

    /// Whether it is stuck, if somebody wants to hear of it.
    pub(super) fn stuck(&mut self, stat: &Stat, now: Duration) -> Option<Turn> {
        if !self.stateful {
            return self.stuck.end(now);
        }
        let kind = match stat.state {
            'D' => Some(Kind::DiskSleep),
            _ if stat.has_ended() => Some(Kind::Zombie),
            _ => None,
        };
        let mark = match kind {
            // Two looks at the same sleep, or at two of many short ones?
            Some(Kind::DiskSleep) => {
                self.text("status").ok().and_then(|text| stat::switches(&text)).unwrap_or(stat.cpu)
            }
            _ => 0,
        };
        self.stuck.look(kind, mark, now)
    }

    fn text(&self, file: &str) -> Result<String, io::Error> {
        fs::read_to_string(self.directory.join(file))
    }

    /// Since Linux 6.2 the directory's size is the number of its entries; before, it is 0 and they are counted.
    fn files(&self, sized: bool) -> Result<u64, io::Error> {
        let directory = self.directory.join("fd");
        match fs::metadata(&directory)?.len() {
            length if sized && length > 0 => Ok(length),
            _ => Ok(fs::read_dir(directory)?.count() as u64),
        }
    }
}

/// Ticks on a CPU in the time between two readings; none where no time went by.
fn utilization(before: (u64, Duration), after: (u64, Duration), ticks: f64) -> Option<f64> {
    let seconds = after.1.checked_sub(before.1)?.as_secs_f64();
    // Nearer readings than a tick say nothing.
    (seconds * ticks >= 1.0).then(|| after.0.saturating_sub(before.0) as f64 / ticks / seconds)
}

/// `ESRCH`, which a file of an ended process gives.
fn is_gone(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utilisation_is_of_one_core() {
        let at = Duration::from_millis;
        assert_eq!(utilization((100, at(1000)), (300, at(2000)), 100.0), Some(2.0));
        assert_eq!(utilization((100, at(1000)), (150, at(3000)), 100.0), Some(0.25));
        assert_eq!(utilization((100, at(1000)), (150, at(1000)), 100.0), None);
        assert_eq!(utilization((100, at(2000)), (150, at(1000)), 100.0), None);
        assert_eq!(utilization((100, at(1000)), (50, at(2000)), 100.0), Some(0.0));
    }
}
