use std::time::Duration;

use crate::plan::millis;
use crate::{Attribute, Selector, Subscription, Value};

impl Subscription {
    /// Nothing yet.
    pub fn new() -> Self {
        Self { metrics: Vec::new(), events: Vec::new(), every: 0 }
    }

    /// With the series of a metric (`system.cpu.*` takes several).
    pub fn metric(self, name: &str) -> Self {
        self.metric_where(name, [])
    }

    /// With those series of a metric whose attributes have these values (text may hold `*`).
    pub fn metric_where<const N: usize>(mut self, name: &str, matching: [(&str, Value); N]) -> Self {
        self.metrics.push(selector(name, matching));
        self
    }

    /// With events of a name (`service.*` takes several).
    pub fn event(self, name: &str) -> Self {
        self.event_where(name, [])
    }

    /// With those events of a name whose attributes (and `subject`) have these values (text may hold `*`).
    pub fn event_where<const N: usize>(mut self, name: &str, matching: [(&str, Value); N]) -> Self {
        self.events.push(selector(name, matching));
        self
    }

    /// With those events of a name and subject whose body matches a regular expression; the host applies it.
    pub fn lines(mut self, name: &str, subject: &str, pattern: &str) -> Self {
        let selector = selector(name, [("subject", subject.into())]);
        self.events.push(Selector { body: Some(pattern.to_owned()), ..selector });
        self
    }

    /// With the state of a service (`nginx.service`, `app@*.service`): `service.state` events.
    pub fn service(self, name: &str) -> Self {
        self.event_where("service.state", [("subject", name.into())])
    }

    /// With a call of `detect` at least this often, even when nothing arrived.
    pub fn every(mut self, every: Duration) -> Self {
        self.every = millis(every);
        self
    }
}

impl Default for Subscription {
    fn default() -> Self {
        Self::new()
    }
}

fn selector<const N: usize>(name: &str, matching: [(&str, Value); N]) -> Selector {
    Selector {
        name: name.to_owned(),
        body: None,
        matching: matching.into_iter().map(|(key, value)| Attribute::new(key, value)).collect(),
    }
}
