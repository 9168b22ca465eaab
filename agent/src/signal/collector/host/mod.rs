//! Metrics of the host, by the OpenTelemetry system semantic conventions, at an interval.
//!
//! They are read raw from the kernel's files, which are kept open: everything together costs a fraction of a millisecond.
//! Only what somebody subscribed to is read, and while nobody wants anything the collector sleeps. A file for each source.

mod clock;
mod cpu;
mod descriptor;
mod disk;
mod filesystem;
mod load;
mod memory;
mod network;
mod paging;

use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, timeout};

use super::Context;
use super::kept::Fault;
use crate::signal::{Demand, Name, Sample, SeriesName};
use filesystem::Filesystems;

/// How long the other sources wait for the file systems, so that an instance is woken once and not twice.
const TOGETHER: Duration = Duration::from_millis(50);

/// Reads one source. What it has to remember from one reading to the next is its own.
trait Reader: Send {
    /// All samples of the source at this moment.
    fn read(&mut self) -> Result<Vec<Sample>, Fault>;
}

/// One source: the metrics it yields, so that it is read only when one of them is wanted.
struct Source {
    name: &'static str,
    metrics: &'static [&'static str],
    /// A reader of the host with this root directory.
    open: fn(&Path) -> Box<dyn Reader>,
}

/// Every source that cannot block, with its metrics in the units the conventions give (bytes, ratios 0..1, seconds).
const SOURCES: [Source; 8] = [
    cpu::SOURCE,
    memory::SOURCE,
    paging::SOURCE,
    load::SOURCE,
    disk::SOURCE,
    network::SOURCE,
    descriptor::SOURCE,
    clock::SOURCE,
];

/// Reads the host each `interval` and publishes what somebody wants; ends with the task.
pub async fn run(context: Context) {
    let mut demand = context.router.demand();
    let mut slots = SOURCES.map(Slot::new);
    let mut filesystems = None;
    let mut ticks = tokio::time::interval(context.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        let wanted = demand.borrow_and_update().clone();
        let any = slots.iter_mut().fold(false, |any, slot| slot.ask(&wanted, &context) | any)
            | ask_filesystems(&mut filesystems, &wanted, &context);
        if !any {
            if demand.changed().await.is_err() {
                return;
            }
            ticks.reset_immediately();
            continue;
        }
        ticks.tick().await;
        read(&mut slots, filesystems.as_mut(), &wanted, &context).await;
    }
}

/// What one reading of a source told: samples, and why there are none or not all.
struct Told {
    source: &'static str,
    samples: Vec<Sample>,
    fault: Option<Fault>,
}

/// One reading of everything that is wanted. It is published only when all is read, so that an instance is woken once and
/// not once for each source; but file systems that keep one waiting do not hold up the rest.
async fn read(slots: &mut [Slot], filesystems: Option<&mut Filesystems>, wanted: &Demand, context: &Context) {
    let mut told: Vec<Told> = slots.iter_mut().filter_map(Slot::read).collect();
    let Some(filesystems) = filesystems else { return publish(told, context) };
    let mut survey = pin!(async {
        let (samples, fault) = filesystems.read(wanted).await;
        Told { source: filesystem::NAME, samples, fault }
    });
    match timeout(TOGETHER, survey.as_mut()).await {
        Ok(early) => {
            told.push(early);
            publish(told, context);
        }
        Err(_) => {
            publish(told, context);
            publish(vec![survey.await], context);
        }
    }
}

/// Hands on what was read. A source that cannot be read has no series any more, and the others go on.
fn publish(told: Vec<Told>, context: &Context) {
    let Context { router, health, clock, .. } = context;
    for Told { source, samples, fault } in told {
        match fault {
            None => health.ok(source),
            Some(Fault::Absent(reason)) => health.absent(source, reason),
            Some(Fault::Degraded(reason)) => health.degraded(source, reason),
        }
        router.publish_samples(source, clock.now().wall, &samples);
    }
}

/// A source and, while it is wanted, its reader.
struct Slot {
    source: Source,
    reader: Option<Box<dyn Reader>>,
}

impl Slot {
    fn new(source: Source) -> Self {
        Self { source, reader: None }
    }

    /// Whether it is wanted; its reader is made when it begins to be and dropped, with all it keeps, when it ends.
    fn ask(&mut self, demand: &Demand, context: &Context) -> bool {
        let wanted = demand.wants_metrics(self.source.metrics);
        if wanted && self.reader.is_none() {
            self.reader = Some((self.source.open)(&context.root));
        }
        if !wanted && self.reader.take().is_some() {
            retire(self.source.name, context);
        }
        wanted
    }

    /// What it tells now, if it is wanted.
    fn read(&mut self) -> Option<Told> {
        let read = self.reader.as_mut()?.read();
        let (samples, fault) = match read {
            Ok(samples) => (samples, None),
            Err(fault) => (Vec::new(), Some(fault)),
        };
        Some(Told { source: self.source.name, samples, fault })
    }
}

/// The same for the file systems, which have a reader of their own.
fn ask_filesystems(filesystems: &mut Option<Filesystems>, demand: &Demand, context: &Context) -> bool {
    let wanted = demand.wants_metrics(&filesystem::METRICS);
    if wanted && filesystems.is_none() {
        *filesystems = Some(Filesystems::new(&context.root));
    }
    if !wanted && filesystems.take().is_some() {
        retire(filesystem::NAME, context);
    }
    wanted
}

/// Nobody asks for the source any more: its series are gone, and how it does is of no interest.
fn retire(source: &'static str, context: &Context) {
    context.router.publish_samples(source, context.clock.now().wall, &[]);
    context.health.forget(source);
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
mod tests;
