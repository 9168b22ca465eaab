//! Paging: how often memory had to be fetched from disk or put there, since boot.

use std::path::Path;

use super::{Reader, Source, sample};
use crate::signal::Sample;
use crate::signal::collector::kept::{Fault, Kept};

pub(super) const SOURCE: Source = Source {
    name: "paging",
    metrics: &["system.paging.faults", "system.paging.operations"],
    open: |root| Box::new(Paging::new(root)),
};

/// Its numbers are counts of pages, from `/proc/vmstat`.
struct Paging(Kept);

impl Paging {
    fn new(root: &Path) -> Self {
        Self(Kept::new(root.join("proc/vmstat")))
    }
}

impl Reader for Paging {
    fn read(&mut self) -> Result<Vec<Sample>, Fault> {
        let parsed = parse(&self.0.text()?);
        parsed.ok_or_else(|| Fault::garbage(self.0.path(), "no numbers pgfault and pgmajfault"))
    }
}

/// The lines that count, of some two hundred.
const KEYS: [&str; 4] = ["pgfault", "pgmajfault", "pswpin", "pswpout"];

fn parse(text: &str) -> Option<Vec<Sample>> {
    let mut counts = [None; KEYS.len()];
    for (key, count) in text.lines().filter(|line| line.starts_with('p')).filter_map(|line| line.split_once(' ')) {
        if let Some((_, slot)) = KEYS.iter().zip(&mut counts).find(|(wanted, _)| **wanted == key) {
            *slot = count.trim().parse::<u64>().ok();
        }
    }
    let [all, major, swapped_in, swapped_out] = counts;
    let faults = |kind, count: u64| sample("system.paging.faults", &[("system.paging.fault.type", kind)], count as f64);
    let mut samples = vec![faults("major", major?), faults("minor", all?.saturating_sub(major?))];
    // A kernel without swap does not count it.
    for (direction, count) in [("in", swapped_in), ("out", swapped_out)] {
        let of = [("system.paging.direction", direction)];
        samples.extend(count.map(|count| sample("system.paging.operations", &of, count as f64)));
    }
    Some(samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minor_faults_are_those_that_are_not_major() {
        let samples = parse("nr_free_pages 4\npgfault 100\npgmajfault 30\npswpin 5\npswpout 6\n").unwrap();
        assert_eq!(samples.iter().map(|sample| sample.value).collect::<Vec<_>>(), [30.0, 70.0, 5.0, 6.0]);
        assert_eq!(parse("pgfault 1\npgmajfault 1\n").unwrap().len(), 2);
        assert_eq!(parse("pgfault many\npgmajfault 1\n"), None);
    }
}
