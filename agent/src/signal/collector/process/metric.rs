//! The metrics of a process.

use super::identity::Identity;
use super::{NAME, OWNER, PID, START, UNIT, restarts};
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
    /// Bytes that were read from storage for it since it started…
    Read,
    /// …and written.
    Written,
}

impl Metric {
    /// Every one, with its name.
    pub(super) const ALL: [(Self, &'static str); 9] = [
        (Self::Cpu, "process.cpu.utilization"),
        (Self::Memory, "process.memory.usage"),
        (Self::Proportional, "process.memory.pss"),
        (Self::Files, "process.unix.file_descriptor.count"),
        (Self::FileLimit, "process.unix.file_descriptor.limit"),
        (Self::Threads, "process.thread.count"),
        (Self::Uptime, "process.uptime"),
        (Self::Read, "process.disk.io"),
        (Self::Written, "process.disk.io"),
    ];

    /// Which of two series of one name it is: what an attribute says of it.
    const fn attribute(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Read => Some(("disk.io.direction", "read")),
            Self::Written => Some(("disk.io.direction", "write")),
            _ => None,
        }
    }
}

/// Who wants which metric of which processes.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    metrics: Vec<(Metric, &'static str, Vec<Selector>)>,
    /// Who wants to know how often processes were replaced: that is no metric of one of them.
    restarts: Vec<Selector>,
}

impl Wanted {
    pub(super) fn of(demand: &Demand) -> Self {
        let metrics = Metric::ALL.into_iter().filter_map(|(metric, name)| {
            let selectors: Vec<_> = demand.metrics(name).cloned().collect();
            (!selectors.is_empty()).then_some((metric, name, selectors))
        });
        let restarts = demand.metrics(restarts::METRIC).cloned().collect();
        Self { metrics: metrics.collect(), restarts }
    }

    pub(super) fn selectors(&self) -> impl Iterator<Item = &Selector> {
        self.metrics.iter().flat_map(|(_, _, selectors)| selectors).chain(&self.restarts)
    }

    pub(super) fn restarts(&self) -> &[Selector] {
        &self.restarts
    }

    /// The series of this process that somebody wants.
    pub(super) fn series(&self, identity: &Identity) -> Vec<(Metric, SeriesName)> {
        let mut attributes = vec![(Name::from(NAME), identity.name.clone())];
        attributes.extend(identity.owner.iter().map(|owner| (Name::from(OWNER), owner.clone())));
        attributes.push((PID.into(), identity.pid.to_string().into()));
        attributes.push((START.into(), identity.started.to_string().into()));
        attributes.extend(identity.unit.iter().map(|unit| (Name::from(UNIT), unit.clone())));
        let series = self.metrics.iter().filter_map(|(metric, name, selectors)| {
            let own = metric.attribute().map(|(key, value)| (Name::from(key), value.into()));
            let attributes = own.into_iter().chain(attributes.iter().cloned()).collect();
            let series = SeriesName { metric: (*name).into(), attributes };
            selectors.iter().any(|selector| selector.takes_series(&series)).then_some((*metric, series))
        });
        series.collect()
    }
}
