use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::watch;

use super::history::Places;
use super::{Demand, Event, History, Mailbox, Name, Reading, Sample, Series, SeriesName, Subscription};
use crate::clock::Timestamp;

/// CPU time that the regular expressions of one instance may take for one event. They take no time that depends on the text more
/// than linearly, but one of 256 KiB takes two seconds for a line of 64 KiB that is made for it.
const PATIENCE: Duration = Duration::from_millis(500);

fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Hands each signal to the instances that want it, and tells collectors what anybody wants at all.
///
/// Delivery is a push into a mailbox on the collector's own task: between a process's exit and the instance's wake-up
/// there is no other queue.
#[derive(Debug, Default)]
pub struct Router {
    table: Mutex<Table>,
    /// Patterns of the services whose state somebody wants.
    services: watch::Sender<Arc<BTreeSet<String>>>,
    /// Everything that somebody wants.
    demand: watch::Sender<Arc<Demand>>,
    /// What somebody was told of metrics.
    history: Arc<History>,
}

#[derive(Debug, Default)]
struct Table {
    subscribers: BTreeMap<Arc<str>, Subscriber>,
    sources: BTreeMap<Name, Source>,
    /// The last event of each name and subject that describes a state: a new subscriber is told at once how things are.
    states: BTreeMap<(Name, String), Event>,
    /// What an action is being done to, and for which incident.
    echoes: HashMap<String, String>,
}

/// A source of samples, as of its last publication.
#[derive(Debug, Default)]
struct Source {
    series: BTreeSet<SeriesName>,
    places: Places,
}

#[derive(Debug)]
struct Subscriber {
    subscription: Subscription,
    mailbox: Arc<Mailbox>,
    /// Per series whether it is wanted, and then its number.
    numbers: HashMap<SeriesName, Option<u32>>,
    next: u32,
    /// How long its regular expressions may take for one event; none once they took longer.
    patience: Option<Duration>,
}

impl Table {
    fn deliver(&mut self, event: &Event) {
        for (instance, subscriber) in &mut self.subscribers {
            if subscriber.wants_event(instance, event) {
                subscriber.mailbox.deliver_event(event.clone());
            }
        }
    }
}

impl Subscriber {
    /// Whether it wants this event. All others wait meanwhile: expressions that take too long are not applied again.
    fn wants_event(&mut self, instance: &str, event: &Event) -> bool {
        let events = &self.subscription.events;
        if events.iter().filter(|it| it.body().is_none()).any(|selector| selector.takes_event(event)) {
            return true;
        }
        let Some(patience) = self.patience else { return false };
        let mut started = None;
        for selector in events.iter().filter(|it| it.body().is_some() && it.takes_name(&event.name)) {
            let started = *started.get_or_insert_with(thread_cpu);
            if selector.takes_event(event) {
                return true;
            }
            let took = thread_cpu().saturating_sub(started);
            if took > patience {
                tracing::error!(
                    policy = instance,
                    "its regular expressions took {} ms for one {}: they are not applied any more until the policy or its \
                     plugin changes",
                    took.as_millis(),
                    event.name
                );
                self.patience = None;
                break;
            }
        }
        false
    }

    /// Takes what it wants, and marks that as wanted.
    fn take_samples(&mut self, samples: &[Sample], gone: &[SeriesName], wanted: &mut [bool]) {
        let mut new_series = Vec::new();
        let mut readings = Vec::new();
        for (sample, marked) in samples.iter().zip(wanted) {
            let number = match self.numbers.get(&sample.series) {
                Some(known) => *known,
                None => {
                    let wanted = self.subscription.metrics.iter().any(|s| s.takes_series(&sample.series));
                    let number = wanted.then_some(self.next);
                    if let Some(number) = number {
                        self.next += 1;
                        new_series.push(Series { number, name: sample.series.clone() });
                    }
                    self.numbers.insert(sample.series.clone(), number);
                    number
                }
            };
            if let Some(series) = number {
                readings.push(Reading { series, value: sample.value });
                *marked = true;
            }
        }
        let gone = gone.iter().filter_map(|name| self.numbers.remove(name).flatten()).collect();
        self.mailbox.deliver(new_series, gone, readings);
    }
}

impl Router {
    /// A router without subscribers.
    pub fn new() -> Self {
        Self::default()
    }

    /// A router that keeps what it delivers there.
    pub fn with_history(history: Arc<History>) -> Self {
        Self { history, ..Self::default() }
    }

    /// Delivers to `instance` what it wants from now on, beginning with the present states. A subscription of the same
    /// name is replaced.
    pub fn subscribe(&self, instance: Arc<str>, subscription: Subscription, mailbox: Arc<Mailbox>) {
        let mut table = self.table();
        let patience = Some(PATIENCE);
        let mut subscriber = Subscriber { subscription, mailbox, numbers: HashMap::new(), next: 0, patience };
        for state in table.states.values() {
            if subscriber.wants_event(&instance, state) {
                subscriber.mailbox.deliver_event(state.clone());
            }
        }
        table.subscribers.insert(instance, subscriber);
        self.announce(&table);
    }

    /// Ends a subscription.
    pub fn unsubscribe(&self, instance: &str) {
        let mut table = self.table();
        table.subscribers.remove(instance);
        self.announce(&table);
    }

    /// All samples that `source` has at this moment; a series of the source that is missing now is gone. What somebody takes
    /// is kept in the history.
    pub fn publish_samples(&self, source: impl Into<Name>, at: Timestamp, samples: &[Sample]) {
        let table = &mut *self.table();
        let seen: BTreeSet<SeriesName> = samples.iter().map(|sample| sample.series.clone()).collect();
        let source = table.sources.entry(source.into()).or_default();
        let gone: Vec<SeriesName> = source.series.difference(&seen).cloned().collect();
        source.series = seen;
        let mut wanted = vec![false; samples.len()];
        for subscriber in table.subscribers.values_mut() {
            subscriber.take_samples(samples, &gone, &mut wanted);
        }
        self.history.record(at, samples, &wanted, &mut source.places);
    }

    /// An event: whoever wants it now is told, nobody later.
    pub fn publish(&self, mut event: Event) {
        let mut table = self.table();
        if event.caused_by.is_none() {
            event.caused_by = table.echoes.get(&event.subject).cloned();
        }
        table.deliver(&event);
    }

    /// What `subject` was told to be by the last event of this name is no longer so: it is gone.
    pub fn forget_state(&self, name: impl Into<Name>, subject: &str) {
        self.table().states.remove(&(name.into(), subject.to_owned()));
    }

    /// The last event of each subject that tells a state of this name.
    #[cfg(test)]
    pub(crate) fn states(&self, name: &str) -> Vec<Event> {
        self.table().states.values().filter(|event| event.name == *name).cloned().collect()
    }

    /// An event that says how something is now; whoever subscribes later is told too.
    pub fn publish_state(&self, event: Event) {
        let key = event.subject.clone();
        self.publish_state_as(key, event);
    }

    /// The same, of a subject of which several such events hold at once: `key` tells them apart, and is what
    /// [`forget_state`](Self::forget_state) takes in the place of the subject.
    pub fn publish_state_as(&self, key: String, mut event: Event) {
        let mut table = self.table();
        event.caused_by = table.echoes.get(&event.subject).cloned();
        table.deliver(&event);
        table.states.insert((event.name.clone(), key), event);
    }

    /// Marks events about `subject` as caused by an action for `incident`, until [`end_echo`](Self::end_echo).
    pub fn begin_echo(&self, subject: &str, incident: &str) {
        self.table().echoes.insert(subject.to_owned(), incident.to_owned());
    }

    /// Events about `subject` happen by themselves again.
    pub fn end_echo(&self, subject: &str) {
        self.table().echoes.remove(subject);
    }

    /// What all instances together want, as it changes.
    pub fn demand(&self) -> watch::Receiver<Arc<Demand>> {
        self.demand.subscribe()
    }

    /// Patterns of the services whose state somebody wants, as they change.
    pub fn wanted_services(&self) -> watch::Receiver<Arc<BTreeSet<String>>> {
        self.services.subscribe()
    }

    fn announce(&self, table: &Table) {
        let subscriptions = || table.subscribers.values().map(|subscriber| &subscriber.subscription);
        let demand = Demand::new(subscriptions().flat_map(|it| &it.metrics), subscriptions().flat_map(|it| &it.events));
        let wanted = demand.subjects(super::collector::service::STATE);
        self.demand.send_replace(Arc::new(demand));
        self.services.send_if_modified(|current| {
            let changed = **current != wanted;
            if changed {
                *current = Arc::new(wanted);
            }
            changed
        });
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::Selector;

    #[test]
    fn expressions_that_take_too_long_are_not_applied_again() {
        let body = |text: &str| Selector::new("log", vec![]).with_body(regex::Regex::new(text).unwrap());
        let event = |name: &'static str, body: &str| Event {
            name: name.into(),
            subject: "app".into(),
            attributes: vec![],
            body: body.into(),
            at: Timestamp::default(),
            caused_by: None,
        };
        let events = vec![body("panic"), body("oom"), Selector::new("service.*", vec![])];
        let subscription = Subscription { events, ..Subscription::default() };
        let with = |patience| Subscriber {
            subscription: subscription.clone(),
            mailbox: Arc::default(),
            numbers: HashMap::new(),
            next: 0,
            patience: Some(patience),
        };
        let mut patient = with(Duration::MAX);
        assert!(!patient.wants_event("p", &event("log", "fine")));
        assert!(patient.wants_event("p", &event("log", "oom")));
        let mut hasty = with(Duration::ZERO);
        assert!(!hasty.wants_event("p", &event("log", "oom")), "the first expression took too long already");
        assert!(!hasty.wants_event("p", &event("log", "panic")));
        assert!(hasty.wants_event("p", &event("service.state", "")), "the rest is as before");
    }

    #[test]
    fn the_history_keeps_what_somebody_takes() {
        let history = Arc::new(History::default());
        let router = Router::with_history(history.clone());
        let sample = |metric: &'static str, value| Sample {
            series: SeriesName { metric: metric.into(), attributes: vec![] },
            value,
        };
        let publish = |second: u64| {
            let at = Timestamp::from_nanos(second * 1_000_000_000);
            router.publish_samples("host", at, &[sample("cpu", 1.0), sample("memory", second as f64)]);
        };
        let metrics =
            |metric: &str| Subscription { metrics: vec![Selector::new(metric, vec![])], ..Default::default() };
        publish(1);
        router.subscribe("a".into(), metrics("mem*"), Arc::default());
        router.subscribe("b".into(), metrics("memory"), Arc::default());
        publish(2);
        publish(3);
        router.unsubscribe("a");
        router.unsubscribe("b");
        publish(4);
        let now = Timestamp::from_nanos(4_000_000_000);
        let found = history.query("*", &[], std::time::Duration::from_secs(60), now);
        let [(name, samples)] = &found[..] else { panic!("{found:?}") };
        assert_eq!(name.metric, "memory");
        assert_eq!(samples.iter().map(|(_, value)| *value).collect::<Vec<_>>(), [2.0, 3.0]);
    }
}
