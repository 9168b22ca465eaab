//! Disks: what was read from them and written to them since boot. Whole disks only: what a partition does is done by its
//! disk.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::{Reader, Source, sample};
use crate::signal::Sample;
use crate::signal::collector::kept::{Fault, Kept};

pub(super) const SOURCE: Source = Source {
    name: "disk",
    metrics: &["system.disk.io", "system.disk.operations", "system.disk.operation_time", "system.disk.io_time"],
    open: |root| Box::new(Disks::new(root)),
};

/// The kernel counts sectors of this size, whatever the disk's own are.
const SECTOR: f64 = 512.0;

struct Disks {
    stats: Kept,
    /// Where each whole disk has an entry.
    blocks: PathBuf,
    /// What was found out of each name: whether it is a disk to report.
    known: HashMap<String, bool>,
}

impl Disks {
    fn new(root: &Path) -> Self {
        Self { stats: Kept::new(root.join("proc/diskstats")), blocks: root.join("sys/block"), known: HashMap::new() }
    }
}

impl Reader for Disks {
    fn read(&mut self) -> Result<Vec<Sample>, Fault> {
        let Self { stats, blocks, known } = self;
        let parsed = {
            let text = stats.text()?;
            parse(&text)
        };
        let disks = parsed.map_err(|line| Fault::garbage(stats.path(), format!("the line {line:?}")))?;
        known.retain(|name, _| disks.iter().any(|disk| disk.name == *name));
        let mut whole = |disk: &&Disk| match known.get(&disk.name) {
            Some(whole) => *whole,
            None => {
                let whole = is_whole(blocks, &disk.name);
                known.insert(disk.name.clone(), whole);
                whole
            }
        };
        Ok(disks.iter().filter(|disk| whole(disk)).flat_map(Disk::samples).collect())
    }
}

/// Whether it is a disk and neither a part of one, nor memory, nor a file in disguise. Where `/sys` cannot tell, all are.
fn is_whole(blocks: &Path, name: &str) -> bool {
    let in_disguise = ["loop", "ram", "zram"].iter().any(|kind| name.starts_with(kind));
    // A `/` in a name (`cciss/c0d0`) is a `!` there.
    !in_disguise && (blocks.join(name.replace('/', "!")).exists() || !blocks.exists())
}

#[derive(Debug, PartialEq)]
struct Disk {
    name: String,
    read: Done,
    written: Done,
    /// Time during which it had something to do, in milliseconds.
    busy: u64,
}

/// What was done in one direction.
#[derive(Debug, PartialEq)]
struct Done {
    operations: u64,
    sectors: u64,
    /// Time they took together, in milliseconds.
    time: u64,
}

/// Of `/proc/diskstats` (the kernel's Documentation/admin-guide/iostats.rst). An error is the line that is not so.
fn parse(text: &str) -> Result<Vec<Disk>, String> {
    text.lines().map(|line| disk(line).ok_or_else(|| line.chars().take(80).collect())).collect()
}

fn disk(line: &str) -> Option<Disk> {
    let mut words = line.split_ascii_whitespace().skip(2);
    let name = words.next()?.to_owned();
    let numbers: Vec<u64> = words.map_while(|word| word.parse().ok()).take(10).collect();
    let [reads, _, sectors_read, read_time, writes, _, sectors_written, write_time, _, busy] = numbers[..] else {
        return None;
    };
    let done = |operations, sectors, time| Done { operations, sectors, time };
    let (read, written) = (done(reads, sectors_read, read_time), done(writes, sectors_written, write_time));
    Some(Disk { name, read, written, busy })
}

impl Disk {
    fn samples(&self) -> Vec<Sample> {
        let device = ("system.device", &*self.name);
        let mut samples = vec![sample("system.disk.io_time", &[device], self.busy as f64 / 1000.0)];
        for (direction, done) in [("read", &self.read), ("write", &self.written)] {
            let of = [device, ("disk.io.direction", direction)];
            samples.push(sample("system.disk.io", &of, done.sectors as f64 * SECTOR));
            samples.push(sample("system.disk.operations", &of, done.operations as f64));
            samples.push(sample("system.disk.operation_time", &of, done.time as f64 / 1000.0));
        }
        samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATS: &str = "   7       0 loop0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n \
        254       0 vda 2743711 58946 99309306 11874776 240488 268220 133858280 701792 0 342112 12621603 129287 58 1 2 3 4\n \
        254       1 vda1 10 0 80 5 1 0 8 2 0 7 7\n";

    #[test]
    fn bytes_operations_and_time() {
        let disks = parse(STATS).unwrap();
        let samples = disks[1].samples();
        assert_eq!(samples[0].value, 342.112);
        assert_eq!(samples[1].value, 99_309_306.0 * 512.0);
        assert_eq!(samples[5].value, 240_488.0);
        assert_eq!(samples.len(), 7);
    }

    #[test]
    fn parts_of_disks_and_files_in_disguise_are_left_out() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("proc")).unwrap();
        std::fs::write(root.path().join("proc/diskstats"), STATS).unwrap();
        let devices = |disks: &mut Disks| {
            let samples = disks.read().unwrap();
            let of = samples.iter().filter(|sample| sample.series.metric == "system.disk.io_time");
            of.map(|sample| sample.series.attributes[0].1.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(devices(&mut Disks::new(root.path())), ["vda", "vda1"], "nothing tells that one is a part");
        for disk in ["vda", "loop0"] {
            std::fs::create_dir_all(root.path().join("sys/block").join(disk)).unwrap();
        }
        assert_eq!(devices(&mut Disks::new(root.path())), ["vda"]);
    }

    #[test]
    fn a_line_that_is_something_else_is_told() {
        for line in ["vda", "254 0 vda 1 2 3", "254 0 vda 1 2 x 4 5 6 7 8 9 10 11"] {
            assert_eq!(parse(line), Err(line.to_owned()));
        }
    }
}
