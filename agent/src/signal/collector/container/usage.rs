use std::collections::BTreeMap;
use std::time::Duration;

use super::known::Known;
use crate::container::{Container, Stats};
use crate::signal::{Demand, Name, Sample, SeriesName};

/// CPUs in use, on average since the last reading: 1.5 is one and a half.
const CPU: &str = "container.cpu.usage";
/// Bytes in use, as `docker stats` counts them.
const MEMORY: &str = "container.memory.usage";
/// The most it may use, in bytes; that of the host where it has no limit.
const LIMIT: &str = "container.memory.limit";
/// How often its restart policy has started it again.
const RESTARTS: &str = "container.restarts";

/// Every metric.
pub(super) const METRICS: [&str; 4] = [CPU, MEMORY, LIMIT, RESTARTS];

/// The running containers of which somebody wants to know what they use. The number of restarts is known from the look.
pub(super) fn wanted(known: &Known, demand: &Demand) -> Vec<String> {
    let is_wanted = |container: &Container| {
        [CPU, MEMORY, LIMIT].into_iter().any(|metric| takes(demand, &series(metric, container)))
    };
    let running = known.containers().filter(|container| container.status.running);
    running.filter(|container| is_wanted(container)).map(|container| container.id.clone()).collect()
}

/// CPU time at the last reading, and when that was: a share is the difference of two.
#[derive(Debug, Default)]
pub(super) struct Usage(BTreeMap<String, (u64, Duration)>);

impl Usage {
    /// What is known of all wanted containers at `now`.
    pub(super) fn samples(
        &mut self,
        known: &Known,
        stats: &BTreeMap<String, Stats>,
        now: Duration,
        demand: &Demand,
    ) -> Vec<Sample> {
        let mut samples = Vec::new();
        let mut add = |metric, container: &Container, value: Option<f64>| {
            let series = series(metric, container);
            if let Some(value) = value.filter(|_| takes(demand, &series)) {
                samples.push(Sample { series, value });
            }
        };
        for container in known.containers() {
            add(RESTARTS, container, Some(container.status.restarts.into()));
            let Some(stats) = stats.get(&container.id) else { continue };
            add(CPU, container, stats.cpu_nanos().and_then(|nanos| self.share(&container.id, nanos, now)));
            add(MEMORY, container, stats.memory().map(|bytes| bytes as f64));
            add(LIMIT, container, stats.memory_limit().map(|bytes| bytes as f64));
        }
        self.0.retain(|id, _| stats.contains_key(id));
        samples
    }

    /// CPUs in use since the last reading; none at the first one, and when the count has started over.
    fn share(&mut self, id: &str, nanos: u64, now: Duration) -> Option<f64> {
        let (before, then) = self.0.insert(id.to_owned(), (nanos, now))?;
        let elapsed = now.checked_sub(then).filter(|elapsed| !elapsed.is_zero())?;
        Some(Duration::from_nanos(nanos.checked_sub(before)?).as_secs_f64() / elapsed.as_secs_f64())
    }
}

fn takes(demand: &Demand, series: &SeriesName) -> bool {
    demand.metrics(&series.metric).any(|selector| selector.takes_series(series))
}

fn series(metric: &'static str, container: &Container) -> SeriesName {
    let attributes = [
        ("container.id", container.id.as_str()),
        ("container.image.name", container.image.as_str()),
        ("container.name", container.name.as_str()),
    ];
    let attributes = attributes.map(|(key, value)| (Name::from(key), value.into()));
    SeriesName { metric: metric.into(), attributes: attributes.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_takes_two_readings_and_starts_over_with_the_count() {
        let mut usage = Usage::default();
        let mut share = |nanos, seconds| usage.share("a", nanos, Duration::from_secs(seconds));
        assert_eq!(share(1_000_000_000, 1), None);
        assert_eq!(share(4_000_000_000, 3), Some(1.5));
        assert_eq!(share(4_000_000_000, 3), None, "no time has passed");
        assert_eq!(share(1_000_000, 4), None, "another run");
        assert_eq!(share(1_000_000, 5), Some(0.0));
    }
}
