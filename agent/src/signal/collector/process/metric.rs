//! The metrics of a process.

use super::identity::Identity;
use super::{NAME, OWNER, PID, START, UNIT};
use crate::signal::{Demand, Name, Selector, SeriesName};

/// A metric of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Metric {
    /// Of one core, 0 and up: a process on two cores is at 2.
    Cpu,
    /// Resident bytes.
    Memory,
    /// Bytes by the proportional share; dear, since the kernel walks the page tables.
    Proportional,
    /// Open files.
    Files,
    /// How many files it may have open.
    FileLimit,
    /// Threads.
    Threads,
    /// Seconds since it started.
    Uptime,
}

impl Metric {
    /// Every one, with its name.
    pub(super) const ALL: [(Self, &'static str); 7] = [
        (Self::Cpu, "process.cpu.utilization"),
        (Self::Memory, "process.memory.usage"),
        (Self::Proportional, "process.memory.pss"),
        (Self::Files, "process.unix.file_descriptor.count"),
        (Self::FileLimit, "process.unix.file_descriptor.limit"),
        (Self::Threads, "process.thread.count"),
        (Self::Uptime, "process.uptime"),
    ];
}

/// Who wants which metric of which processes.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    metrics: Vec<(Metric, &'static str, Vec<Selector>)>,
}

impl Wanted {
    pub(super) fn of(demand: &Demand) -> Self {
        let metrics = Metric::ALL.into_iter().filter_map(|(metric, name)| {
            let selectors: Vec<_> = demand.metrics(name).cloned().collect();
            (!selectors.is_empty()).then_some((metric, name, selectors))
        });
        Self { metrics: metrics.collect() }
    }

    pub(super) fn selectors(&self) -> impl Iterator<Item = &Selector> {
        self.metrics.iter().flat_map(|(_, _, selectors)| selectors)
    }

    /// The series of this process that somebody wants.
    pub(super) fn series(&self, identity: &Identity) -> Vec<(Metric, SeriesName)> {
        let mut attributes = vec![(Name::from(NAME), identity.name.clone())];
        attributes.extend(identity.owner.iter().map(|owner| (Name::from(OWNER), owner.clone())));
        attributes.push((PID.into(), identity.pid.to_string().into()));
        attributes.push((START.into(), identity.started.to_string().into()));
        attributes.extend(identity.unit.iter().map(|unit| (Name::from(UNIT), unit.clone())));
        let series = self.metrics.iter().filter_map(|(metric, name, selectors)| {
            let series = SeriesName { metric: (*name).into(), attributes: attributes.clone() };
            selectors.iter().any(|selector| selector.takes_series(&series)).then_some((*metric, series))
        });
        series.collect()
    }
}
