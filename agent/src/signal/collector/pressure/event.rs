use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{MissedTickBehavior, sleep};

use super::meter::Meter;
use super::metric::read;
use super::trigger::Trigger;
use super::unit::{LOOK, Units};
use super::{KIND, Place, RESOURCES, SERVICE, STALLED};
use crate::signal::collector::kept::{Fault, Kept};
use crate::signal::collector::{Context, Health};
use crate::signal::{Attribute, Demand, Event, Selector};

/// The attribute by which a selector says how long tasks must have stood still, in seconds.
const STALL: &str = "stall";
/// The attribute by which it says within what time, in seconds.
const WINDOW: &str = "window";
/// The window of a selector that does not say: the kernel takes it from everybody.
const DEFAULT_WINDOW: f64 = 2.0;
/// The longest window. The kernel takes 10 s; longer ones are read at the interval.
const MAX_WINDOW: f64 = 3600.0;
/// Most thresholds that are watched: each costs an open file, and the kernel a little work.
const MAX_WATCHES: usize = 256;
/// When a file that is not there is tried again.
const RETRY: Duration = Duration::from_secs(10);
/// Where it is told what cannot be watched at all.
const SOURCE: &str = "pressure/triggers";

/// Watches every threshold that a selector names.
pub(super) async fn run(context: &Context) {
    let mut demand = context.router.demand();
    let mut units = Units::default();
    let mut tasks = JoinSet::new();
    let mut watches: BTreeMap<Threshold, AbortHandle> = BTreeMap::new();
    loop {
        let wanted = demand.borrow_and_update().clone();
        let (thresholds, trouble) = thresholds(&wanted, &mut units, context).await;
        match trouble {
            None => context.health.forget(SOURCE),
            Some(Fault::Absent(reason)) => context.health.absent(SOURCE, reason),
            Some(Fault::Degraded(reason)) => context.health.degraded(SOURCE, reason),
        }
        watches.retain(|threshold, watch| {
            let stays = thresholds.contains(threshold);
            if !stays {
                watch.abort();
            }
            stays
        });
        for threshold in thresholds {
            let start = || tasks.spawn(watch(threshold.clone(), context.clone()));
            watches.entry(threshold.clone()).or_insert_with(start);
        }
        let by_unit = wanted.events(STALLED).any(|selector| selector.pattern(SERVICE).is_some());
        tokio::select! {
            changed = demand.changed() => if changed.is_err() { return },
            () = sleep(LOOK), if by_unit => {}
            // Those that were ended.
            Some(_) = tasks.join_next() => {}
        }
    }
}

/// A number of seconds above zero, exactly as the selector says it: its event must say the same.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Seconds(u64);

impl Seconds {
    fn new(seconds: f64) -> Option<Self> {
        (seconds > 0.0 && seconds <= MAX_WINDOW).then(|| Self(seconds.to_bits()))
    }

    fn get(self) -> f64 {
        f64::from_bits(self.0)
    }

    fn duration(self) -> Duration {
        Duration::from_secs_f64(self.get())
    }
}

/// What is watched.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Threshold {
    place: Place,
    resource: &'static str,
    kind: &'static str,
    stall: Seconds,
    window: Seconds,
}

/// As its source is called: `pressure/memory some 0.15s/2s`.
impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, resource, kind, stall, window } = self;
        write!(f, "{place}/{resource} {kind} {}s/{}s", stall.get(), window.get())
    }
}

/// All thresholds that somebody wants told, and why some of them cannot be.
async fn thresholds(demand: &Demand, units: &mut Units, context: &Context) -> (BTreeSet<Threshold>, Option<Fault>) {
    let selectors: Vec<_> = demand.events(STALLED).filter(|selector| selector.number(STALL).is_some()).collect();
    let patterns = selectors.iter().filter_map(|selector| selector.pattern(SERVICE)).collect();
    let found: Vec<Place> = units.look(&context.root, patterns).await;
    let mut trouble =
        units.missing().into_iter().next().map(|(unit, reason)| Fault::Absent(format!("{unit}: {reason}")));
    let mut all = BTreeSet::new();
    for selector in selectors {
        let Some((stall, window)) = limits(selector) else {
            trouble = Some(Fault::Degraded(format!(
                "a plugin asks for `{STALLED}` with a `{STALL}` that is not above 0 and at most its `{WINDOW}`, which is \
                 {DEFAULT_WINDOW} s unless it says so, or with a `{WINDOW}` of more than {MAX_WINDOW} s"
            )));
            continue;
        };
        let places: Vec<Place> = match selector.pattern(SERVICE) {
            None => vec![Place::Host],
            Some(_) => found
                .iter()
                .filter(|place| selector.allows(SERVICE, place.unit().unwrap_or_default()))
                .cloned()
                .collect(),
        };
        for place in places {
            for resource in RESOURCES.into_iter().filter(|resource| selector.allows("subject", resource)) {
                all.extend(kinds(selector).map(|kind| Threshold {
                    place: place.clone(),
                    resource,
                    kind,
                    stall,
                    window,
                }));
            }
        }
    }
    if all.len() > MAX_WATCHES {
        trouble =
            Some(Fault::Degraded(format!("{} thresholds are asked for and {MAX_WATCHES} are watched", all.len())));
        all = all.into_iter().take(MAX_WATCHES).collect();
    }
    (all, trouble)
}

/// The stall and the window a selector asks for; `None` where they make no sense.
fn limits(selector: &Selector) -> Option<(Seconds, Seconds)> {
    let stall = Seconds::new(selector.number(STALL)?)?;
    let window = Seconds::new(selector.number(WINDOW).unwrap_or(DEFAULT_WINDOW))?;
    (stall <= window).then_some((stall, window))
}

/// Of whom it asks: of some tasks, unless it says otherwise.
fn kinds(selector: &Selector) -> impl Iterator<Item = &'static str> {
    let says = selector.pattern(KIND).is_some();
    ["some", "full"].into_iter().filter(move |kind| if says { selector.allows(KIND, kind) } else { *kind == "some" })
}

/// Tells each time the threshold is reached, until the task is ended.
async fn watch(threshold: Threshold, context: Context) {
    let Threshold { place, resource, kind, stall, window } = &threshold;
    let path = place.file(&context.root, resource);
    let source = Source { name: threshold.to_string(), health: &context.health };
    let mut file = Kept::new(path.clone());
    loop {
        let fault = match Trigger::set(&path, kind, stall.duration(), window.duration()) {
            Ok(trigger) => {
                source.health.ok(&source.name);
                while trigger.fired().await.is_ok() {
                    let now = read(&mut file).unwrap_or_default();
                    let ratio =
                        now.iter().find(|(have, _)| have == kind).and_then(|(_, line)| line.ratios.first().copied());
                    context.router.publish(threshold.event(ratio, &context));
                }
                Fault::Absent(format!("{} is gone", path.display()))
            }
            Err(error) => match Fault::of(&path, &error) {
                Fault::Absent(reason) => Fault::Absent(reason),
                Fault::Degraded(reason) => poll(&threshold, &mut file, &source, &reason, &context).await,
            },
        };
        match fault {
            Fault::Absent(reason) => source.health.absent(&source.name, reason),
            Fault::Degraded(reason) => source.health.degraded(&source.name, reason),
        }
        sleep(RETRY).await;
    }
}

/// Does the kernel's work where it refuses: at the interval, until the file cannot be read.
async fn poll(threshold: &Threshold, file: &mut Kept, source: &Source<'_>, refusal: &str, context: &Context) -> Fault {
    let mut meter = Meter::new(threshold.stall.duration(), threshold.window.duration());
    let mut ticks = tokio::time::interval(context.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut told = false;
    loop {
        ticks.tick().await;
        let lines = match read(file) {
            Ok(lines) => lines,
            Err(fault) => return fault,
        };
        let Some((_, line)) = lines.into_iter().find(|(kind, _)| *kind == threshold.kind) else {
            return Fault::Absent(format!("{} has no line `{}`", file.path().display(), threshold.kind));
        };
        if !told {
            let every = humantime::format_duration(context.interval);
            let reason = format!("the kernel takes no trigger, so it is read every {every} ({refusal})");
            source.health.degraded(&source.name, reason);
            told = true;
        }
        if meter.put(context.clock.now().mono, Duration::from_micros(line.total)) {
            context.router.publish(threshold.event(line.ratios.first().copied(), context));
        }
    }
}

impl Threshold {
    /// That it is reached. Its attributes hold the selector's own, so that it is the selector's event.
    fn event(&self, ratio: Option<f64>, context: &Context) -> Event {
        let Self { place, resource, kind, stall, window } = self;
        let mut attributes = vec![
            Attribute::new(KIND, *kind),
            Attribute::new("system.pressure.stall", stall.get()),
            Attribute::new("system.pressure.window_length", window.get()),
            Attribute::new(STALL, stall.get()),
            Attribute::new(WINDOW, window.get()),
        ];
        attributes.extend(ratio.map(|ratio| Attribute::new("system.pressure.stalled_ratio", ratio)));
        attributes.extend(place.unit().map(|unit| Attribute::new(SERVICE, unit)));
        let who = if *kind == "full" { "all tasks" } else { "some tasks" };
        let of = place.unit().map(|unit| format!(" of {unit}")).unwrap_or_default();
        let body = format!("{resource}: {who}{of} stood still for {} s within {} s", stall.get(), window.get());
        let at = context.clock.now().wall;
        Event { name: STALLED.into(), subject: (*resource).to_owned(), attributes, body, at, caused_by: None }
    }
}

/// A source in the status, for as long as it is watched.
struct Source<'a> {
    name: String,
    health: &'a Health,
}

impl Drop for Source<'_> {
    fn drop(&mut self) {
        self.health.forget(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(attributes: &[(&str, f64)]) -> Selector {
        Selector::new(STALLED, attributes.iter().map(|(key, value)| Attribute::new(*key, *value)).collect())
    }

    #[test]
    fn a_selector_says_stall_and_window() {
        let of = |selector: &Selector| limits(selector).map(|(stall, window)| (stall.get(), window.get()));
        assert_eq!(of(&asks(&[("stall", 0.15)])), Some((0.15, 2.0)));
        assert_eq!(of(&asks(&[("stall", 0.15), ("window", 1.0)])), Some((0.15, 1.0)));
        for nonsense in
            [&[("stall", 3.0)][..], &[("stall", 0.0)], &[("stall", f64::NAN)], &[("stall", 1.0), ("window", 1e9)], &[]]
        {
            assert_eq!(of(&asks(nonsense)), None, "{nonsense:?}");
        }
    }

    #[test]
    fn some_tasks_are_meant_unless_it_says_all() {
        let with = |kind: &str| kinds(&Selector::new(STALLED, vec![Attribute::new(KIND, kind)])).collect::<Vec<_>>();
        assert_eq!(kinds(&asks(&[])).collect::<Vec<_>>(), ["some"]);
        assert_eq!((with("full"), with("*")), (vec!["full"], vec!["some", "full"]));
    }
}
