use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::history::Places;
use super::{Demand, Event, History, Mailbox, Name, Reading, Sample, Series, SeriesName, Subscription};
use crate::clock::Timestamp;

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
}

impl Table {
    fn deliver(&self, event: &Event) {
        for subscriber in self.subscribers.values().filter(|subscriber| subscriber.wants_event(event)) {
            subscriber.mailbox.deliver_event(event.clone());
        }
    }
}

impl Subscriber {
    fn wants_event(&self, event: &Event) -> bool {
        self.subscription.events.iter().any(|selector| selector.takes_event(event))
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
        let subscriber = Subscriber { subscription, mailbox, numbers: HashMap::new(), next: 0 };
        for state in table.states.values().filter(|state| subscriber.wants_event(state)) {
            subscriber.mailbox.deliver_event(state.clone());
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
        let table = self.table();
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
