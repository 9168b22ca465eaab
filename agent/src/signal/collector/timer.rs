//! Timers of systemd: when they last fired, when they are to fire next, and that one has not.
//!
//! systemd pushes every change; what does not happen it cannot push, so the next moment at which a timer would be late is
//! waited for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use wildmatch::WildMatch;

use super::Context;
use crate::clock::Timestamp;
use crate::service::ServiceError;
use crate::service::systemd::{TimerReading, Timers};
use crate::signal::{Attribute, Demand, Event, Router, Value};

/// The event that says how a timer is.
const STATE: &str = "timer.state";
/// The event that says that a timer has not fired when it should have.
const MISSED: &str = "timer.missed";
/// What is told of it in the status.
const SOURCE: &str = "timer";
/// How late a timer may be beyond systemd's own accuracy, in seconds, unless a selector says otherwise by `grace`.
const GRACE: f64 = 60.0;
/// How often to look without having been told anything.
const RESCAN: Duration = Duration::from_secs(300);
/// Changes that come together are looked at together.
const SETTLE: Duration = Duration::from_millis(50);
/// Moments that are less apart are one: the wall clock is slewed against the monotonic one.
const STEADY: Duration = Duration::from_secs(1);
/// The wait before connecting again.
const RECONNECT: Duration = Duration::from_secs(30);

/// Tells of timers for as long as somebody wants to know; ends with the task.
pub async fn run(context: Context) {
    let mut demand = context.router.demand();
    let mut known = Known::default();
    loop {
        let wanted = Wanted::new(&demand.borrow_and_update());
        if wanted.names.is_empty() {
            context.health.forget(SOURCE);
            known.forget(&context);
            if demand.changed().await.is_err() {
                return;
            }
            continue;
        }
        match watch(&context, &mut demand, &mut known).await {
            Ok(()) => {}
            Err(error) => {
                let is_possible = std::path::Path::new("/run/systemd/system").is_dir();
                match is_possible {
                    true => context.health.degraded(SOURCE, error.to_string()),
                    false => context.health.absent(SOURCE, "this host was not booted with systemd"),
                }
                tokio::select! {
                    () = sleep(RECONNECT) => {}
                    _ = demand.changed() => {}
                }
            }
        }
    }
}

/// Watches over one connection, until nobody wants it any more.
async fn watch(
    context: &Context,
    demand: &mut tokio::sync::watch::Receiver<Arc<Demand>>,
    known: &mut Known,
) -> Result<(), ServiceError> {
    let timers = Timers::connect().await?;
    let mut wanted = Wanted::new(&demand.borrow_and_update());
    while !wanted.names.is_empty() {
        let readings = timers.read(&wanted.names).await?;
        context.health.ok(SOURCE);
        let now = context.clock.now().wall;
        let (signals, next) = known.update(readings, &wanted, now);
        signals.into_iter().for_each(|signal| signal.publish(&context.router));
        // A step of the wall clock is a change of every timer to systemd, and told.
        let wait = next.map_or(RESCAN, |next| next.since(now) + Duration::from_millis(1)).min(RESCAN);
        tokio::select! {
            () = sleep(wait) => {}
            () = timers.changed() => sleep(SETTLE).await,
            changed = demand.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
                wanted = Wanted::new(&demand.borrow_and_update());
            }
        }
    }
    Ok(())
}

/// When a timer counts as late, in the words of one selector.
#[derive(Debug, Clone)]
struct Limit {
    subject: WildMatch,
    /// What the event must say for the selector to take it.
    words: Vec<Attribute>,
    grace: f64,
    every: Option<f64>,
}

/// What somebody wants to know.
#[derive(Debug, Default)]
struct Wanted {
    /// Names and patterns of timers.
    names: BTreeSet<String>,
    limits: Vec<Limit>,
}

impl Wanted {
    fn new(demand: &Demand) -> Self {
        let names = [STATE, MISSED].iter().flat_map(|name| demand.subjects(name)).collect();
        let mut limits: Vec<Limit> = Vec::new();
        for selector in demand.events(MISSED) {
            let number = |key: &str| selector.number(key).filter(|seconds| *seconds >= 0.0);
            let word = |key: &str| selector.exactly(key).map(|value| Attribute::new(key, value.clone()));
            let limit = Limit {
                subject: WildMatch::new(&selector.subject()),
                words: ["grace", "every"].into_iter().filter_map(word).collect(),
                grace: number("grace").unwrap_or(GRACE),
                every: number("every").filter(|every| *every > 0.0),
            };
            // Those who want the same are told together.
            if !limits.iter().any(|other| other.subject == limit.subject && other.words == limit.words) {
                limits.push(limit);
            }
        }
        Self { names, limits }
    }
}

/// What the router is to be told.
#[derive(Debug, PartialEq)]
enum Signal {
    State(Event),
    /// One was missed; the key stands for that until it is over.
    Missed(String, Event),
    Over(String),
    /// There is no such timer any more.
    Forget(String),
}

impl Signal {
    fn publish(self, router: &Router) {
        match self {
            Self::State(event) => router.publish_state(event),
            // A state of a kind: whoever subscribes later is told too, and nobody is told twice.
            Self::Missed(key, event) => router.publish_state_as(key, event),
            Self::Over(key) => router.forget_state(MISSED, &key),
            Self::Forget(unit) => router.forget_state(STATE, &unit),
        }
    }
}

/// One timer, as far as it is known.
#[derive(Debug)]
struct Timer {
    first_seen: Timestamp,
    /// When it was to fire; kept when that has passed without.
    expected: Option<Timestamp>,
    /// The state that was told last.
    reading: Option<TimerReading>,
    /// What was told of as missed, by the words of the limit, and since when it was: once each.
    missed: BTreeMap<String, Timestamp>,
}

/// Every timer, by unit.
#[derive(Debug, Default)]
struct Known(BTreeMap<String, Timer>);

impl Known {
    fn forget(&mut self, context: &Context) {
        for (unit, timer) in std::mem::take(&mut self.0) {
            context.router.forget_state(STATE, &unit);
            timer.missed.into_keys().for_each(|key| context.router.forget_state(MISSED, &key));
        }
    }

    /// Takes in a look at all timers: what is to be told, and when the next one would be late.
    fn update(
        &mut self,
        readings: Vec<TimerReading>,
        wanted: &Wanted,
        now: Timestamp,
    ) -> (Vec<Signal>, Option<Timestamp>) {
        let seen: BTreeSet<&String> = readings.iter().map(|reading| &reading.unit).collect();
        let mut signals: Vec<Signal> = Vec::new();
        self.0.retain(|unit, timer| {
            let is_there = seen.contains(unit);
            if !is_there {
                signals.push(Signal::Forget(unit.clone()));
                signals.extend(std::mem::take(&mut timer.missed).into_keys().map(Signal::Over));
            }
            is_there
        });
        let mut next: Option<Timestamp> = None;
        for mut reading in readings {
            let unit = reading.unit.clone();
            let timer = self.0.entry(unit).or_insert_with(|| Timer {
                first_seen: now,
                expected: None,
                reading: None,
                missed: BTreeMap::new(),
            });
            timer.steady(&mut reading);
            timer.expect(&reading, now);
            if timer.reading.as_ref() != Some(&reading) {
                signals.push(Signal::State(event(STATE, &reading, attributes(&reading), now)));
            }
            let mut late = BTreeMap::new();
            for limit in wanted.limits.iter().filter(|limit| limit.subject.matches(&reading.unit)) {
                for (reason, base, deadline) in timer.deadlines(&reading, limit) {
                    let key = format!("{} {reason} {:?}", reading.unit, limit.words);
                    let is_told = timer.missed.get(&key) == Some(&base) || late.contains_key(&key);
                    if now <= deadline && !is_told {
                        next = Some(next.map_or(deadline, |next| next.min(deadline)));
                        continue;
                    }
                    if !is_told {
                        let mut attributes = attributes(&reading);
                        attributes.push(Attribute::new("timer.reason", reason));
                        attributes.push(Attribute::new("timer.late", Value::Number(now.since(base).as_secs_f64())));
                        attributes.extend(limit.words.iter().cloned());
                        signals.push(Signal::Missed(key.clone(), event(MISSED, &reading, attributes, now)));
                    }
                    late.insert(key, base);
                }
            }
            let over = timer.missed.keys().filter(|key| !late.contains_key(*key));
            signals.extend(over.cloned().map(Signal::Over));
            timer.missed = late;
            timer.reading = Some(reading);
        }
        (signals, next)
    }
}

impl Timer {
    /// A moment of the monotonic clock is never quite the same on the wall; one that is nearly the same is.
    fn steady(&self, reading: &mut TimerReading) {
        let before = self.reading.as_ref().and_then(|before| before.next);
        if let (Some(before), Some(next)) = (before, reading.next)
            && before.since(next).max(next.since(before)) < STEADY
        {
            reading.next = Some(before);
        }
    }

    /// Takes over when it is to fire, unless that was to be and has not been.
    fn expect(&mut self, reading: &TimerReading, now: Timestamp) {
        let has_fired = |expected: Timestamp| reading.last.is_some_and(|last| last >= expected);
        let is_due = |expected: Timestamp| expected <= now && !has_fired(expected);
        if reading.active_state != "active" {
            self.expected = None;
        } else if !self.expected.is_some_and(is_due) {
            // While the unit it starts is busy, systemd shows the moment at which it fired.
            self.expected = reading.next.filter(|next| !has_fired(*next));
        }
    }

    /// The moments after which it counts as late under a limit: why, since when, and the moment.
    fn deadlines(&self, reading: &TimerReading, limit: &Limit) -> Vec<(&'static str, Timestamp, Timestamp)> {
        let after = |base: Timestamp, seconds: f64| {
            let wait = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
            let nanos = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
            Timestamp::from_nanos(base.as_nanos().saturating_add(nanos))
        };
        let accuracy = Duration::from_micros(reading.accuracy_usec).as_secs_f64();
        let due = self.expected.map(|expected| ("not-fired", expected, after(expected, limit.grace + accuracy)));
        let base = reading.last.unwrap_or(self.first_seen);
        let seldom = limit.every.map(|every| ("too-seldom", base, after(base, every)));
        due.into_iter().chain(seldom).collect()
    }
}

fn event(name: &'static str, reading: &TimerReading, attributes: Vec<Attribute>, at: Timestamp) -> Event {
    Event { name: name.into(), subject: reading.unit.clone(), attributes, body: String::new(), at, caused_by: None }
}

/// A timer as attributes. What is not known is absent.
fn attributes(reading: &TimerReading) -> Vec<Attribute> {
    let mut attributes = vec![
        Attribute::new("timer.active_state", reading.active_state.as_str()),
        Attribute::new("timer.result", reading.result.as_str()),
        Attribute::new("timer.triggers", reading.triggers.as_str()),
    ];
    attributes.extend(reading.last.map(|last| Attribute::new("timer.last_trigger", last.to_string())));
    attributes.extend(reading.next.map(|next| Attribute::new("timer.next_elapse", next.to_string())));
    attributes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::{Mailbox, Selector, Subscription};

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_nanos(seconds * 1_000_000_000)
    }

    fn reading(last: Option<u64>, next: Option<u64>) -> TimerReading {
        TimerReading {
            unit: "backup.timer".into(),
            active_state: "active".into(),
            triggers: "backup.service".into(),
            last: last.map(at),
            next: next.map(at),
            accuracy_usec: 1_000_000,
            result: "success".into(),
        }
    }

    fn wanted(matching: &[(&str, Value)]) -> Wanted {
        let matching = matching.iter().map(|(key, value)| Attribute::new(*key, value.clone())).collect();
        Wanted::new(&Demand::new([], [&Selector::new("timer.*", matching)]))
    }

    /// What is told by a look: the reasons of what was missed, and `state`.
    fn told(known: &mut Known, reading: TimerReading, wanted: &Wanted, now: u64) -> (Vec<String>, Option<u64>) {
        let (signals, next) = known.update(vec![reading], wanted, at(now));
        let words = signals.iter().map(|signal| match signal {
            Signal::State(_) => "state".to_owned(),
            Signal::Forget(unit) => format!("forget {unit}"),
            Signal::Over(key) => format!("over {key}"),
            Signal::Missed(_, event) => {
                event.attributes.iter().find(|it| it.key == "timer.reason").unwrap().value.to_string()
            }
        });
        (words.collect(), next.map(|next| next.as_nanos() / 1_000_000_000))
    }

    #[test]
    fn a_timer_that_fires_is_never_missed() {
        let (mut known, wanted) = (Known::default(), wanted(&[]));
        assert_eq!(told(&mut known, reading(None, Some(100)), &wanted, 10), (vec!["state".into()], Some(161)));
        assert_eq!(told(&mut known, reading(None, Some(100)), &wanted, 160), (vec![], Some(161)));
        // The unit it starts runs, then it is armed again.
        assert_eq!(told(&mut known, reading(Some(160), Some(100)), &wanted, 160), (vec!["state".into()], None));
        assert_eq!(told(&mut known, reading(Some(160), Some(100)), &wanted, 900), (vec![], None));
        assert_eq!(told(&mut known, reading(Some(160), Some(1000)), &wanted, 901), (vec!["state".into()], Some(1061)));
    }

    #[test]
    fn one_that_does_not_fire_is_told_once_even_if_systemd_goes_on_to_the_next_time() {
        let (mut known, wanted) = (Known::default(), wanted(&[("grace", Value::Integer(5))]));
        told(&mut known, reading(Some(50), Some(100)), &wanted, 60);
        assert_eq!(told(&mut known, reading(Some(50), Some(100)), &wanted, 106), (vec![], Some(106)));
        let late = known.update(vec![reading(Some(50), Some(200))], &wanted, at(107)).0;
        let [Signal::State(_), Signal::Missed(_, event)] = &late[..] else { panic!("{late:?}") };
        assert!(Selector::new("timer.missed", vec![Attribute::new("grace", 5_i64)]).takes_event(event), "{event:?}");
        assert_eq!(told(&mut known, reading(Some(50), Some(200)), &wanted, 120).0, [] as [&str; 0]);
        // It fires late, and then misses once more.
        let (fired, next) = told(&mut known, reading(Some(130), Some(200)), &wanted, 130);
        assert_eq!((&fired[0][..], next), ("state", Some(206)));
        assert!(fired[1].starts_with("over backup.timer not-fired"), "{fired:?}");
        assert_eq!(told(&mut known, reading(Some(130), Some(200)), &wanted, 207).0, ["not-fired"]);
        // One that was stopped is not late.
        let stopped = TimerReading { active_state: "inactive".into(), ..reading(Some(130), None) };
        let (stopped, next) = told(&mut known, stopped, &wanted, 300);
        assert!(stopped[0] == "state" && stopped[1].starts_with("over") && next.is_none(), "{stopped:?}");
    }

    #[test]
    fn a_clock_that_is_set_back_makes_no_news() {
        let (mut known, wanted) = (Known::default(), wanted(&[("every", Value::Integer(100))]));
        told(&mut known, reading(Some(1000), None), &wanted, 1000);
        assert_eq!(told(&mut known, reading(Some(1000), None), &wanted, 1101).0, ["too-seldom"]);
        for now in [1099, 1102, 1099, 1101] {
            assert_eq!(told(&mut known, reading(Some(1000), None), &wanted, now).0, [] as [&str; 0]);
        }
    }

    #[test]
    fn each_is_told_once_on_its_own_terms_and_whoever_comes_later_too() {
        let router = Router::new();
        let listener = |name: &str, grace: Option<i64>| {
            let terms = grace.into_iter().map(|grace| Attribute::new("grace", grace)).collect();
            let events = vec![Selector::new(MISSED, terms)];
            let mailbox = Arc::new(Mailbox::default());
            router.subscribe(name.into(), Subscription { events, ..Subscription::default() }, mailbox.clone());
            mailbox
        };
        let heard = |mailbox: &Mailbox| mailbox.take(at(0)).map_or(0, |batch| batch.events.len());
        let mut known = Known::default();
        let mut look = |now: u64, last: u64, next: u64| {
            let wanted = Wanted::new(&router.demand().borrow());
            let (signals, _) = known.update(vec![reading(Some(last), Some(next))], &wanted, at(now));
            signals.into_iter().for_each(|signal| signal.publish(&router));
        };
        let (patient, strict) = (listener("patient", None), listener("strict", Some(5)));
        look(100, 50, 200);
        look(207, 50, 200);
        assert_eq!((heard(&patient), heard(&strict)), (0, 1));
        look(267, 50, 200);
        assert_eq!((heard(&patient), heard(&strict)), (1, 0));
        // Somebody comes: that is news to nobody else.
        let newcomer = listener("newcomer", Some(5));
        look(268, 50, 200);
        assert_eq!((heard(&patient), heard(&strict), heard(&newcomer)), (0, 0, 1));
        // It fires, and whoever comes then has missed nothing.
        look(278, 270, 1000);
        assert_eq!(heard(&listener("late", None)) + heard(&listener("later", Some(5))), 0);
        // Where nobody minds any more it is forgotten, and told on new terms.
        look(1100, 270, 1000);
        assert_eq!((heard(&patient), heard(&strict)), (1, 1));
        ["strict", "newcomer", "later"].into_iter().for_each(|name| router.unsubscribe(name));
        look(1101, 270, 1000);
        assert_eq!(router.states(MISSED).len(), 1);
        let stricter = listener("stricter", Some(1));
        look(1102, 270, 1000);
        assert_eq!((heard(&patient), heard(&stricter)), (0, 1));
    }

    #[test]
    fn one_that_fires_too_seldom_is_told_by_the_selectors_own_words() {
        let (mut known, wanted) = (Known::default(), wanted(&[("every", Value::Number(100.0))]));
        assert_eq!(told(&mut known, reading(None, None), &wanted, 1000), (vec!["state".into()], Some(1100)));
        assert_eq!(told(&mut known, reading(None, None), &wanted, 1101).0, ["too-seldom"]);
        assert_eq!(told(&mut known, reading(None, None), &wanted, 2000).0, [] as [&str; 0]);
        let (fired, next) = told(&mut known, reading(Some(2050), None), &wanted, 2050);
        assert!(fired[0] == "state" && fired[1].starts_with("over") && next == Some(2150), "{fired:?}");
        assert_eq!(told(&mut known, reading(Some(2050), None), &wanted, 2151).0, ["too-seldom"]);
        let gone = known.update(vec![], &wanted, at(2152)).0;
        let [Signal::Forget(unit), Signal::Over(_)] = &gone[..] else { panic!("{gone:?}") };
        assert_eq!(unit, "backup.timer");
    }

    #[test]
    fn a_moment_that_is_nearly_the_same_is_no_news() {
        let (mut known, wanted) = (Known::default(), wanted(&[]));
        told(&mut known, reading(None, Some(100)), &wanted, 10);
        let mut again = reading(None, Some(100));
        again.next = Some(Timestamp::from_nanos(99_999_999_000));
        assert_eq!(told(&mut known, again, &wanted, 20), (vec![], Some(161)));
    }

    #[test]
    fn absurd_wishes_are_no_trouble() {
        for value in [Value::Number(f64::NAN), Value::Number(f64::INFINITY), Value::Number(-1.0), Value::Boolean(true)]
        {
            let (mut known, wanted) = (Known::default(), wanted(&[("grace", value.clone()), ("every", value)]));
            told(&mut known, reading(None, Some(100)), &wanted, 10);
        }
    }
}
