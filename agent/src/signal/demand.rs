use std::collections::BTreeSet;

use super::Selector;

/// What all instances together want: collectors read nothing else.
#[derive(Debug, Clone, Default)]
pub struct Demand {
    metrics: Vec<Selector>,
    events: Vec<Selector>,
}

impl Demand {
    /// Of these selectors.
    pub fn new<'a>(
        metrics: impl IntoIterator<Item = &'a Selector>,
        events: impl IntoIterator<Item = &'a Selector>,
    ) -> Self {
        Self { metrics: metrics.into_iter().cloned().collect(), events: events.into_iter().cloned().collect() }
    }

    /// Whether anybody wants one of these metrics.
    pub fn wants_metrics(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.metrics(name).next().is_some())
    }

    /// Whether anybody wants events of this name.
    pub fn wants_event(&self, name: &str) -> bool {
        self.events(name).next().is_some()
    }

    /// The selectors of series, all of them: for a source that does not know its metrics' names.
    pub fn all_metrics(&self) -> impl Iterator<Item = &Selector> {
        self.metrics.iter()
    }

    /// The selectors that may take series of this metric.
    pub fn metrics<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Selector> {
        self.metrics.iter().filter(move |selector| selector.takes_name(name))
    }

    /// The selectors that may take events of this name.
    pub fn events<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Selector> {
        self.events.iter().filter(move |selector| selector.takes_name(name))
    }

    /// Patterns of the subjects of which events of this name are wanted; `*` where a selector does not say.
    pub fn subjects(&self, name: &str) -> BTreeSet<String> {
        self.events(name).map(Selector::subject).collect()
    }
}
