//! Memory and swap: how much there is, and how much of it is used.

use super::{Reader, Source, ratio, sample};
use crate::signal::Sample;
use crate::signal::collector::kept::{Fault, Kept};

pub(super) const SOURCE: Source = Source {
    name: "memory",
    metrics: &[
        "system.memory.usage",
        "system.memory.utilization",
        "system.memory.limit",
        "system.memory.linux.available",
        "system.paging.usage",
        "system.paging.utilization",
    ],
    open: |root| Box::new(Memory(Kept::new(root.join("proc/meminfo")))),
};

struct Memory(Kept);

impl Reader for Memory {
    fn read(&mut self) -> Result<Vec<Sample>, Fault> {
        let parsed = Meminfo::parse(&self.0.text()?);
        let info = parsed.ok_or_else(|| Fault::garbage(self.0.path(), "no MemTotal and MemFree in kB"))?;
        Ok(info.samples())
    }
}

/// What `/proc/meminfo` says (proc_meminfo(5)), in bytes.
#[derive(Debug, Default, PartialEq)]
struct Meminfo {
    total: f64,
    free: f64,
    /// What programs could still get without swapping, as the kernel estimates it.
    available: f64,
    buffers: f64,
    /// Of files, and of the kernel where it can be given back: as `free` counts it.
    cached: f64,
    swap_total: f64,
    swap_free: f64,
}

impl Meminfo {
    fn parse(text: &str) -> Option<Self> {
        let bytes =
            |line: &str| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib as f64 * 1024.0);
        let (mut info, mut total, mut free, mut available) = (Self::default(), None, None, None);
        for (key, rest) in text.lines().filter_map(|line| line.split_once(':')) {
            match key {
                "MemTotal" => total = bytes(rest),
                "MemFree" => free = bytes(rest),
                "MemAvailable" => available = bytes(rest),
                "Buffers" => info.buffers = bytes(rest)?,
                "Cached" | "SReclaimable" => info.cached += bytes(rest)?,
                "SwapTotal" => info.swap_total = bytes(rest)?,
                "SwapFree" => info.swap_free = bytes(rest)?,
                _ => {}
            }
        }
        (info.total, info.free) = (total?, free?);
        // Kernels before 3.14 do not estimate it, nor do some containers.
        let estimate = available.unwrap_or(info.free + info.buffers + info.cached);
        info.available = estimate.min(info.total);
        Some(info)
    }

    fn samples(&self) -> Vec<Sample> {
        // Used is what is not available: that is what runs out. It overlaps with what is cached and cannot be given back.
        let used = self.total - self.available;
        let states = [("used", used), ("free", self.free), ("buffers", self.buffers), ("cached", self.cached)];
        let mut samples = vec![
            sample("system.memory.limit", &[], self.total),
            sample("system.memory.linux.available", &[], self.available),
        ];
        for (state, bytes) in states {
            let of = [("system.memory.state", state)];
            samples.push(sample("system.memory.usage", &of, bytes));
            samples.push(sample("system.memory.utilization", &of, ratio(bytes, self.total)));
        }
        let swap_used = (self.swap_total - self.swap_free).max(0.0);
        samples.push(sample("system.paging.usage", &[("system.paging.state", "used")], swap_used));
        samples.push(sample("system.paging.usage", &[("system.paging.state", "free")], self.swap_free));
        // A host without swap has no share of it in use.
        if self.swap_total > 0.0 {
            let share = ratio(swap_used, self.swap_total);
            samples.push(sample("system.paging.utilization", &[("system.paging.state", "used")], share));
        }
        samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: &str = "MemTotal:       1000 kB\nMemFree:         300 kB\nMemAvailable:    600 kB\nBuffers:          50 kB\n\
                           Cached:          200 kB\nSwapCached:        0 kB\nSReclaimable:     25 kB\nSwapTotal:       400 kB\n\
                           SwapFree:        100 kB\nHugePages_Total:       0\n";

    fn value(samples: &[Sample], metric: &str, state: &str) -> f64 {
        let of = |sample: &&Sample| sample.series.attributes.first().is_some_and(|(_, value)| **value == *state);
        samples.iter().filter(|sample| sample.series.metric == *metric).find(of).unwrap().value
    }

    #[test]
    fn used_is_what_is_not_available() {
        let samples = Meminfo::parse(MEMINFO).unwrap().samples();
        assert_eq!(value(&samples, "system.memory.utilization", "used"), 0.4);
        assert_eq!(value(&samples, "system.memory.usage", "cached"), 225.0 * 1024.0);
        assert_eq!(value(&samples, "system.paging.utilization", "used"), 0.75);
    }

    #[test]
    fn a_host_without_swap_or_an_estimate_has_less_to_say() {
        let info = Meminfo::parse("MemTotal: 100 kB\nMemFree: 30 kB\nBuffers: 10 kB\nCached: 20 kB\n").unwrap();
        assert_eq!(info.available, 60.0 * 1024.0);
        assert!(info.samples().iter().all(|sample| sample.series.metric != "system.paging.utilization"));
    }

    #[test]
    fn garbage_is_none() {
        for text in [
            "",
            "MemTotal: 5 kB",
            "MemTotal: x kB\nMemFree: 1 kB",
            "MemTotal: 5\nMemFree: 5",
            "MemTotal: -1 kB\nMemFree: 1 kB",
        ] {
            assert_eq!(Meminfo::parse(text), None, "{text:?}");
        }
    }
}
