use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use tokio::time::MissedTickBehavior;

use super::parse::{Line, WINDOWS, parse};
use super::unit::Units;
use super::{KIND, Place, RATIO, RESOURCES, SERVICE};
use crate::signal::collector::Context;
use crate::signal::collector::kept::{Fault, Kept};
use crate::signal::{Demand, Name, Sample, SeriesName};

/// What the source of the samples is called.
const SOURCE: &str = "pressure";

/// Reads the pressure each `interval`, where somebody wants it.
pub(super) async fn run(context: &Context) {
    let mut demand = context.router.demand();
    let mut readers = Readers::default();
    let mut ticks = tokio::time::interval(context.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        let wanted = demand.borrow_and_update().clone();
        if !wanted.wants_metrics(&[RATIO]) {
            readers.retire(context);
            if demand.changed().await.is_err() {
                return;
            }
            ticks.reset_immediately();
            continue;
        }
        ticks.tick().await;
        readers.read(&wanted, context).await;
    }
}

/// The pressure files that are read, kept open.
#[derive(Default)]
struct Readers {
    units: Units,
    files: BTreeMap<PathBuf, Kept>,
    /// The sources of which something was said at the last reading.
    told: BTreeSet<String>,
}

impl Readers {
    async fn read(&mut self, demand: &Demand, context: &Context) {
        let patterns: BTreeSet<String> =
            demand.metrics(RATIO).filter_map(|selector| selector.pattern(SERVICE)).collect();
        let mut conditions: BTreeMap<String, Option<Fault>> = BTreeMap::new();
        let mut places = Vec::new();
        if demand.metrics(RATIO).any(|selector| selector.pattern(SERVICE).is_none()) {
            places.push(Place::Host);
        }
        places.extend(self.units.look(&context.root, patterns).await);
        for (unit, reason) in self.units.missing() {
            conditions.insert(format!("{SOURCE}/{unit}"), Some(Fault::Absent(reason)));
        }

        let mut samples = Vec::new();
        let mut files = BTreeMap::new();
        for place in places {
            let mut fault = None;
            for resource in RESOURCES.into_iter().filter(|resource| is_wanted(demand, &place, resource)) {
                let path = place.file(&context.root, resource);
                let mut file = self.files.remove(&path).unwrap_or_else(|| Kept::new(path.clone()));
                match read(&mut file) {
                    Ok(lines) => samples.extend(lines.iter().flat_map(|line| samples_of(&place, resource, line))),
                    Err(error) => fault = Some(error),
                }
                files.insert(path, file);
            }
            conditions.insert(place.to_string(), fault);
        }
        self.files = files;
        self.tell(conditions, context);
        context.router.publish_samples(SOURCE, context.clock.now().wall, &samples);
    }

    /// How each source does; one that nobody asks for any more is forgotten.
    fn tell(&mut self, conditions: BTreeMap<String, Option<Fault>>, context: &Context) {
        for source in self.told.iter().filter(|source| !conditions.contains_key(*source)) {
            context.health.forget(source);
        }
        self.told = conditions.keys().cloned().collect();
        for (source, fault) in conditions {
            match fault {
                None => context.health.ok(&source),
                Some(Fault::Absent(reason)) => context.health.absent(&source, reason),
                Some(Fault::Degraded(reason)) => context.health.degraded(&source, reason),
            }
        }
    }

    /// Nobody wants anything: nothing is kept.
    fn retire(&mut self, context: &Context) {
        if !self.told.is_empty() {
            self.tell(BTreeMap::new(), context);
            context.router.publish_samples(SOURCE, context.clock.now().wall, &[]);
        }
        *self = Self::default();
    }
}

/// Whether some selector may take a series of this resource there.
fn is_wanted(demand: &Demand, place: &Place, resource: &str) -> bool {
    demand.metrics(RATIO).any(|selector| {
        let of_place = match place.unit() {
            None => selector.pattern(SERVICE).is_none(),
            Some(unit) => selector.pattern(SERVICE).is_some() && selector.allows(SERVICE, unit),
        };
        of_place && selector.allows("system.pressure.resource", resource)
    })
}

/// What the file says now.
pub(super) fn read(file: &mut Kept) -> Result<Vec<(&'static str, Line)>, Fault> {
    let lines = parse(&file.text()?);
    lines.ok_or_else(|| Fault::garbage(file.path(), "no lines `some avg10=… avg60=… avg300=… total=…`"))
}

fn samples_of(place: &Place, resource: &'static str, (kind, line): &(&'static str, Line)) -> Vec<Sample> {
    let of_window = |(window, ratio): (&'static str, f64)| {
        let mut attributes: Vec<(Name, _)> = vec![
            (KIND.into(), (*kind).into()),
            ("system.pressure.resource".into(), resource.into()),
            ("system.pressure.window".into(), window.into()),
        ];
        attributes.extend(place.unit().map(|unit| (SERVICE.into(), unit.into())));
        Sample { series: SeriesName { metric: RATIO.into(), attributes }, value: ratio }
    };
    WINDOWS.into_iter().zip(line.ratios).map(of_window).collect()
}
