use std::collections::BTreeMap;
use std::time::Duration;

use super::{Condition, EventCondition, FaultTree, MetricCondition, Observed, ServiceCondition, Truth, Wanted};
use crate::glob::matches;
use crate::{Attribute, Attributes, Batch, Event, Sample, Selector, Subscription, Value};

/// How many series or services one condition keeps track of; beyond that the one heard of longest ago is forgotten.
const MAX_SUBJECTS: usize = 256;

/// Keeps track of what makes a tree's basic events true, batch by batch, in bounded memory.
///
/// A basic event stays unknown until there is something to tell it by: a first value of the metric, a first state of the
/// service, word of the open incidents. That an event did *not* happen within a time is known only after watching for as
/// long without a dropped signal.
#[derive(Debug, Clone)]
pub struct Observer {
    watches: Vec<Watch>,
    at: Duration,
    /// Since when no signal is known to have been missed.
    watching_since: Option<Duration>,
}

/// A basic event's condition, and what was seen of it.
#[derive(Debug, Clone)]
struct Watch {
    event: String,
    condition: Condition,
    /// Of an event: when the last one was. Of an incident: whether one is open.
    last: Option<Seen>,
    /// Of a metric or a service: by series or name.
    subjects: BTreeMap<String, Seen>,
}

#[derive(Debug, Clone)]
struct Seen {
    at: Duration,
    truth: Truth,
    grounds: String,
}

impl Observer {
    /// For a tree's events.
    pub fn new(tree: &FaultTree) -> Self {
        let watch = |(event, basic): (&str, &super::BasicEvent)| {
            let condition = basic.when.clone()?;
            Some(Watch { event: event.to_owned(), condition, last: None, subjects: BTreeMap::new() })
        };
        Self { watches: tree.events().filter_map(watch).collect(), at: Duration::ZERO, watching_since: None }
    }

    /// A subscription with all that the conditions are about, except incidents.
    pub fn subscribe(&self, mut subscription: Subscription) -> Subscription {
        for watch in &self.watches {
            match &watch.condition {
                Condition::Incident(_) => {}
                Condition::Metric(metric) => {
                    let matching = wanted(&metric.attributes);
                    subscription.metrics.push(Selector { name: metric.name.clone(), matching, body: None });
                }
                Condition::Event(event) => {
                    let subject = Attribute::new("subject", event.subject.as_str());
                    let matching = wanted(&event.attributes).into_iter().chain([subject]).collect();
                    subscription.events.push(Selector { name: event.name.clone(), matching, body: None });
                }
                Condition::Service(service) => subscription = subscription.service(&service.name),
            }
        }
        subscription
    }

    /// Takes in a batch.
    pub fn batch(&mut self, batch: &Batch<'_>) {
        self.at = self.at.max(batch.at());
        if batch.dropped() > 0 || self.watching_since.is_none() {
            self.watching_since = Some(self.at);
        }
        self.watches.iter_mut().for_each(|watch| watch.take(batch, self.at));
    }

    /// Takes down which incidents are open now, by kind and target of their faults: all of them.
    pub fn incidents<'a>(&mut self, open: impl IntoIterator<Item = (&'a str, &'a str)> + Clone) {
        for watch in &mut self.watches {
            let Condition::Incident(condition) = &watch.condition else { continue };
            let fits =
                |(kind, target): &(&str, &str)| matches(&condition.kind, kind) && matches(&condition.target, target);
            let found = open.clone().into_iter().find(fits);
            let grounds = found.map(|(kind, target)| format!("{kind} at {target} is open"));
            let grounds = grounds.unwrap_or_else(|| "no such incident is open".into());
            watch.last = Some(Seen { at: self.at, truth: found.is_some().into(), grounds });
        }
    }

    /// What is known at the time of the last batch.
    pub fn observed(&self) -> Observed {
        let mut observed = Observed::new();
        for watch in &self.watches {
            let (truth, grounds) = match &watch.condition {
                Condition::Incident(_) => watch.last.as_ref().map(Seen::tell).unwrap_or_default(),
                Condition::Metric(metric) => self.of_subjects(watch, *metric.fresh),
                Condition::Service(_) => self.of_subjects(watch, Duration::MAX),
                Condition::Event(event) => self.of_event(watch, *event.within),
            };
            observed.set(&watch.event, truth, grounds);
        }
        observed
    }

    /// True if that is so of one subject, as long as its word counts.
    fn of_subjects(&self, watch: &Watch, fresh: Duration) -> (Truth, String) {
        let counts = |seen: &&Seen| self.at.saturating_sub(seen.at) <= fresh;
        watch.subjects.values().filter(counts).max_by_key(|seen| seen.truth).map(Seen::tell).unwrap_or_default()
    }

    fn of_event(&self, watch: &Watch, within: Duration) -> (Truth, String) {
        match &watch.last {
            Some(seen) if self.at.saturating_sub(seen.at) <= within => seen.tell(),
            _ => match self.watching_since {
                Some(since) if self.at.saturating_sub(since) >= within => {
                    (Truth::False, format!("not seen for {}", humantime::format_duration(within)))
                }
                _ => (Truth::Unknown, String::new()),
            },
        }
    }
}

impl Watch {
    fn take(&mut self, batch: &Batch<'_>, at: Duration) {
        match &self.condition {
            Condition::Incident(_) => {}
            Condition::Metric(condition) => {
                let fits = |sample: &Sample<'_>| condition.is_about(sample.metric, sample.attributes());
                for sample in batch.samples().filter(fits) {
                    let name = series(sample.metric, sample.attributes());
                    let grounds = format!("{name} is {}", sample.value);
                    keep(&mut self.subjects, name, Seen { at, truth: condition.truth(sample.value), grounds });
                }
            }
            Condition::Event(condition) => {
                for event in batch.events().iter().filter(|event| condition.fits(event)) {
                    if self.last.as_ref().is_none_or(|last| last.at <= event.at()) {
                        let grounds = format!("{} at {}", event.name, event.subject);
                        self.last = Some(Seen { at: event.at(), truth: Truth::True, grounds });
                    }
                }
            }
            Condition::Service(condition) => {
                for event in batch.events_named("service.state") {
                    let Some(state) = condition.state(event) else { continue };
                    let truth = condition.state.iter().any(|wanted| matches(wanted, state)).into();
                    let grounds = format!("{} is {state}", event.subject);
                    keep(&mut self.subjects, event.subject.clone(), Seen { at, truth, grounds });
                }
            }
        }
    }
}

impl Seen {
    fn tell(&self) -> (Truth, String) {
        (self.truth, self.grounds.clone())
    }
}

impl MetricCondition {
    fn is_about(&self, metric: &str, attributes: &[Attribute]) -> bool {
        matches(&self.name, metric) && have(attributes, &self.attributes)
    }

    fn truth(&self, value: f64) -> Truth {
        if value.is_nan() {
            return Truth::Unknown;
        }
        let above = self.above.is_some_and(|above| value > above);
        let below = self.below.is_some_and(|below| value < below);
        (above || below).into()
    }
}

impl EventCondition {
    fn fits(&self, event: &Event) -> bool {
        matches(&self.name, &event.name)
            && matches(&self.subject, &event.subject)
            && have(&event.attributes, &self.attributes)
    }
}

impl ServiceCondition {
    /// The state that an event tells of such a service.
    fn state<'a>(&self, event: &'a Event) -> Option<&'a str> {
        event.text("service.active_state").filter(|_| matches(&self.name, &event.subject))
    }
}

/// Whether these attributes are there, as the host's selectors see it.
fn have(attributes: &[Attribute], wanted: &BTreeMap<String, Wanted>) -> bool {
    wanted.iter().all(|(key, wanted)| match (wanted, Attributes::get(attributes, key)) {
        (Wanted::Text(pattern), Some(Value::Text(text))) => matches(pattern, text),
        (Wanted::Boolean(wanted), Some(Value::Boolean(boolean))) => wanted == boolean,
        (Wanted::Integer(wanted), Some(Value::Integer(integer))) => wanted == integer,
        (Wanted::Number(wanted), Some(Value::Number(number))) => wanted == number,
        _ => false,
    })
}

fn wanted(attributes: &BTreeMap<String, Wanted>) -> Vec<Attribute> {
    attributes.iter().map(|(key, wanted)| Attribute::new(key, wanted.clone())).collect()
}

impl From<Wanted> for Value {
    fn from(wanted: Wanted) -> Self {
        match wanted {
            Wanted::Boolean(boolean) => boolean.into(),
            Wanted::Integer(integer) => integer.into(),
            Wanted::Number(number) => number.into(),
            Wanted::Text(text) => text.into(),
        }
    }
}

/// How a series is named for people: `system.cpu.utilization cpu.mode=user`.
fn series(metric: &str, attributes: &[Attribute]) -> String {
    attributes.iter().fold(metric.to_owned(), |name, attribute| format!("{name} {}={}", attribute.key, attribute.value))
}

fn keep(subjects: &mut BTreeMap<String, Seen>, subject: String, seen: Seen) {
    subjects.insert(subject, seen);
    if subjects.len() > MAX_SUBJECTS
        && let Some(oldest) = subjects.iter().min_by_key(|(_, seen)| seen.at).map(|(subject, _)| subject.clone())
    {
        subjects.remove(&oldest);
    }
}
