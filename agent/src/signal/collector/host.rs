//! Metrics of the host, by the OpenTelemetry system semantic conventions, at an interval.
//!
//! Only what somebody subscribed to is read: of all sources the network is by far the dearest, and few ask for it.

use sysinfo::{CpuRefreshKind, DiskRefreshKind, Disks, Error, MemoryRefreshKind, Networks, RefreshKind, System};
use tokio::time::MissedTickBehavior;

use super::Context;
use crate::signal::{Name, Sample, SeriesName};

/// One source: the metrics it yields, so that it is read only when one of them is wanted.
struct Source {
    name: &'static str,
    metrics: &'static [&'static str],
    read: fn(&mut Readers) -> Result<Vec<Sample>, Error>,
}

/// Every source, with its metrics in the units the conventions give (bytes, ratios 0..1, seconds).
const SOURCES: [Source; 5] = [
    Source { name: "cpu", metrics: &["system.cpu.utilization", "system.cpu.logical.count"], read: Readers::cpu },
    Source {
        name: "memory",
        metrics: &[
            "system.memory.usage",
            "system.memory.utilization",
            "system.memory.limit",
            "system.paging.usage",
            "system.paging.utilization",
        ],
        read: Readers::memory,
    },
    Source {
        name: "load",
        metrics: &["system.cpu.load_average.1m", "system.cpu.load_average.5m", "system.cpu.load_average.15m"],
        read: Readers::load,
    },
    Source {
        name: "filesystem",
        metrics: &["system.filesystem.usage", "system.filesystem.utilization", "system.filesystem.limit"],
        read: Readers::filesystems,
    },
    Source {
        name: "network",
        metrics: &["system.network.io", "system.network.packet.count", "system.network.errors"],
        read: Readers::networks,
    },
];

/// Reads the host each `interval` and publishes what somebody wants; ends with the task.
pub async fn run(context: Context) {
    let Context { router, clock, health, .. } = &context;
    let mut readers = Readers::default();
    let demand = router.demand();
    let mut ticks = tokio::time::interval(context.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        let demand = demand.borrow().clone();
        let wanted = SOURCES.iter().filter(|source| demand.wants_metrics(source.metrics));
        let read: Vec<_> = wanted.map(|source| (source.name, (source.read)(&mut readers))).collect();
        // Published only when all is read, so that an instance is woken once and not once for each source.
        for (source, samples) in read {
            match samples {
                Ok(samples) => {
                    health.ok(source);
                    router.publish_samples(source, clock.now().wall, &samples);
                }
                // What cannot be read is absent, and the other sources go on.
                Err(error) => health.degraded(source, error.to_string()),
            }
        }
    }
}

/// sysinfo's readers, each made when it is first needed: they keep what they read the last time.
#[derive(Default)]
struct Readers {
    system: Option<System>,
    disks: Option<Disks>,
    networks: Option<Networks>,
}

/// What is in the slot, made first if there is nothing.
fn reader<T>(slot: &mut Option<T>, make: impl FnOnce() -> Result<T, Error>) -> Result<&mut T, Error> {
    match slot {
        Some(reader) => Ok(reader),
        None => Ok(slot.insert(make()?)),
    }
}

impl Readers {
    fn system(&mut self) -> Result<&mut System, Error> {
        reader(&mut self.system, || System::new_with_specifics(RefreshKind::nothing()))
    }

    /// Utilisation is the share of time since the last reading, so the first one has nothing to say.
    fn cpu(&mut self) -> Result<Vec<Sample>, Error> {
        let system = self.system()?;
        let first = system.cpus().is_empty();
        system.refresh_cpu_specifics(CpuRefreshKind::nothing().with_usage());
        let count = sample("system.cpu.logical.count", &[], system.cpus().len() as f64);
        if first {
            return Ok(vec![count]);
        }
        let busy = f64::from(system.global_cpu_usage()) / 100.0;
        Ok(vec![count, sample("system.cpu.utilization", &[], busy.clamp(0.0, 1.0))])
    }

    fn memory(&mut self) -> Result<Vec<Sample>, Error> {
        let system = self.system()?;
        system.refresh_memory_specifics(MemoryRefreshKind::everything());
        let (total, available) = (system.total_memory() as f64, system.available_memory() as f64);
        let (swap, swap_used) = (system.total_swap() as f64, system.used_swap() as f64);
        let used = total - available;
        let mut samples = vec![
            sample("system.memory.limit", &[], total),
            sample("system.memory.usage", &[("system.memory.state", "used")], used),
            sample("system.memory.usage", &[("system.memory.state", "free")], system.free_memory() as f64),
            sample("system.memory.utilization", &[("system.memory.state", "used")], ratio(used, total)),
            sample("system.paging.usage", &[("system.paging.state", "used")], swap_used),
            sample("system.paging.usage", &[("system.paging.state", "free")], swap - swap_used),
        ];
        // A host without swap has no share of it in use.
        if swap > 0.0 {
            let share = ratio(swap_used, swap);
            samples.push(sample("system.paging.utilization", &[("system.paging.state", "used")], share));
        }
        Ok(samples)
    }

    fn load(&mut self) -> Result<Vec<Sample>, Error> {
        let load = System::load_average()?;
        Ok(vec![
            sample("system.cpu.load_average.1m", &[], load.one),
            sample("system.cpu.load_average.5m", &[], load.five),
            sample("system.cpu.load_average.15m", &[], load.fifteen),
        ])
    }

    fn filesystems(&mut self) -> Result<Vec<Sample>, Error> {
        let kind = DiskRefreshKind::nothing().with_storage();
        let disks = reader(&mut self.disks, Disks::new)?;
        disks.refresh_specifics(true, kind);
        let mut samples = Vec::new();
        for disk in &*disks {
            let (total, free) = (disk.total_space() as f64, disk.available_space() as f64);
            let mount = disk.mount_point().to_string_lossy();
            let device = disk.name().to_string_lossy();
            let of = [("system.device", &*device), ("system.filesystem.mountpoint", &*mount)];
            let [device, mount] = of;
            let state = |state| [device, ("system.filesystem.state", state), mount];
            samples.push(sample("system.filesystem.limit", &of, total));
            samples.push(sample("system.filesystem.usage", &state("used"), total - free));
            samples.push(sample("system.filesystem.usage", &state("free"), free));
            samples.push(sample("system.filesystem.utilization", &state("used"), ratio(total - free, total)));
        }
        Ok(samples)
    }

    fn networks(&mut self) -> Result<Vec<Sample>, Error> {
        let networks = reader(&mut self.networks, Networks::new)?;
        networks.refresh(true);
        let mut samples = Vec::new();
        for (interface, data) in &*networks {
            let interface = interface.to_string_lossy();
            let direction = |direction| [("network.interface.name", &*interface), ("network.io.direction", direction)];
            let (receive, transmit) = (direction("receive"), direction("transmit"));
            samples.push(sample("system.network.io", &receive, data.total_received() as f64));
            samples.push(sample("system.network.io", &transmit, data.total_transmitted() as f64));
            samples.push(sample("system.network.packet.count", &receive, data.total_packets_received() as f64));
            samples.push(sample("system.network.packet.count", &transmit, data.total_packets_transmitted() as f64));
            samples.push(sample("system.network.errors", &receive, data.total_errors_on_received() as f64));
            samples.push(sample("system.network.errors", &transmit, data.total_errors_on_transmitted() as f64));
        }
        Ok(samples)
    }
}

fn sample(metric: &'static str, attributes: &[(&'static str, &str)], value: f64) -> Sample {
    let attributes = attributes.iter().map(|(key, value)| (Name::from(*key), (*value).into())).collect();
    Sample { series: SeriesName { metric: metric.into(), attributes }, value }
}

/// Part of a whole, 0 where there is no whole.
fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_yields_only_the_metrics_it_declares() {
        let mut readers = Readers::default();
        for source in SOURCES {
            for sample in (source.read)(&mut readers).unwrap() {
                assert!(source.metrics.contains(&&*sample.series.metric), "{}: {}", source.name, sample.series.metric);
                assert!(sample.value.is_finite() && sample.value >= 0.0, "{sample:?}");
            }
        }
    }

    #[test]
    fn utilisation_is_a_ratio() {
        let mut readers = Readers::default();
        let used =
            readers.memory().unwrap().into_iter().find(|s| s.series.metric == "system.memory.utilization").unwrap();
        assert!((0.0..=1.0).contains(&used.value), "{used:?}");
    }
}
