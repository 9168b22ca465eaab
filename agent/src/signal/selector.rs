use std::time::Duration;

use regex::Regex;
use wildmatch::WildMatch;

use super::{Attribute, Event, SeriesName, Value};

/// The key under which an event's subject is matched.
const SUBJECT: &str = "subject";

/// Attributes by which an event says on whose terms it was told. A selector that does not name one means the source's own
/// terms: what is told on another selector's is not for it.
const TERMS: [(&str, &[&str]); 1] = [("timer.missed", &["grace", "every"])];

/// Which signals an instance wants: by name, and by the values of attributes.
#[derive(Debug, Clone)]
pub struct Selector {
    name: WildMatch,
    matching: Vec<(String, Wanted)>,
    body: Option<Regex>,
}

/// What an attribute's value must be.
#[derive(Debug, Clone)]
enum Wanted {
    Text(WildMatch),
    Exactly(Value),
}

impl Wanted {
    fn text(&self, text: &str) -> bool {
        match self {
            Self::Text(pattern) => pattern.matches(text),
            // The attributes of series are text, also where they are numbers.
            Self::Exactly(value) => value.to_string() == text,
        }
    }

    fn value(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Text(pattern), Value::Text(text)) => pattern.matches(text),
            // A number is the same number whether it is written `2` or `2.0`.
            (Self::Exactly(Value::Integer(whole)), Value::Number(number))
            | (Self::Exactly(Value::Number(number)), Value::Integer(whole)) => *whole as f64 == *number,
            (Self::Exactly(wanted), value) => wanted == value,
            (Self::Text(_), _) => false,
        }
    }
}

impl Selector {
    /// Signals called `name`, all of whose `matching` attributes have the given values; `*` in text stands for anything.
    pub fn new(name: &str, matching: Vec<Attribute>) -> Self {
        let wanted = |attribute: Attribute| match attribute.value {
            Value::Text(text) => (attribute.key, Wanted::Text(WildMatch::new(&text))),
            value => (attribute.key, Wanted::Exactly(value)),
        };
        Self { name: WildMatch::new(name), matching: matching.into_iter().map(wanted).collect(), body: None }
    }

    /// Only events whose body the expression matches.
    pub fn with_body(self, body: Regex) -> Self {
        Self { body: Some(body), ..self }
    }

    /// Whether it wants this series.
    pub fn takes_series(&self, series: &SeriesName) -> bool {
        self.name.matches(&series.metric)
            && self
                .matching
                .iter()
                .all(|(key, wanted)| series.attributes.iter().any(|(have, value)| *have == **key && wanted.text(value)))
    }

    /// Whether it wants this event.
    pub fn takes_event(&self, event: &Event) -> bool {
        self.name.matches(&event.name)
            && self.matching.iter().all(|(key, wanted)| {
                (key == SUBJECT && wanted.text(&event.subject))
                    || event.attributes.iter().any(|have| have.key == *key && wanted.value(&have.value))
            })
            && self.body.as_ref().is_none_or(|body| body.is_match(&event.body))
            && self.is_on_its_terms(event)
    }

    fn is_on_its_terms(&self, event: &Event) -> bool {
        let terms = TERMS.iter().filter(|(name, _)| event.name == **name).flat_map(|(_, terms)| *terms);
        let mut others = terms.filter(|term| self.wanted(term).is_none());
        !others.any(|term| event.attributes.iter().any(|attribute| attribute.key == *term))
    }

    /// The pattern that a signal's name must match.
    pub fn name(&self) -> String {
        self.name.to_string()
    }

    /// Whether it might want signals called `name`.
    pub fn takes_name(&self, name: &str) -> bool {
        self.name.matches(name)
    }

    /// The subjects it asks for, as a pattern; `*` where it does not say.
    pub fn subject(&self) -> String {
        self.pattern(SUBJECT).unwrap_or_else(|| "*".to_owned())
    }

    /// The pattern that the text of an attribute must match, if the selector says something of it.
    pub fn pattern(&self, key: &str) -> Option<String> {
        match self.wanted(key)? {
            Wanted::Text(pattern) => Some(pattern.to_string()),
            Wanted::Exactly(_) => None,
        }
    }

    /// The number that an attribute must have, if the selector says so.
    pub fn number(&self, key: &str) -> Option<f64> {
        match self.wanted(key)? {
            Wanted::Exactly(Value::Number(number)) => Some(*number),
            // Whole numbers of this size mean thresholds and counts.
            Wanted::Exactly(Value::Integer(integer)) => Some(*integer as f64),
            _ => None,
        }
    }

    /// The value that an attribute must have and that is no text, if the selector says so.
    pub fn exactly(&self, key: &str) -> Option<&Value> {
        match self.wanted(key)? {
            Wanted::Exactly(value) => Some(value),
            Wanted::Text(_) => None,
        }
    }

    /// Whether an attribute's text is one it asks for; it is where the selector says nothing of the attribute.
    pub fn allows(&self, key: &str, text: &str) -> bool {
        self.wanted(key).is_none_or(|wanted| wanted.text(text))
    }

    /// The expression that an event's body must match.
    pub fn body(&self) -> Option<&Regex> {
        self.body.as_ref()
    }

    fn wanted(&self, key: &str) -> Option<&Wanted> {
        self.matching.iter().find(|(have, _)| have == key).map(|(_, wanted)| wanted)
    }
}

/// Everything an instance wants.
#[derive(Debug, Clone, Default)]
pub struct Subscription {
    /// Series.
    pub metrics: Vec<Selector>,
    /// Events.
    pub events: Vec<Selector>,
    /// The longest time between two calls, if there is one.
    pub every: Option<Duration>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    fn event(subject: &str, state: &str) -> Event {
        Event {
            name: "service.state".into(),
            subject: subject.into(),
            attributes: vec![Attribute::new("service.active_state", state)],
            body: String::new(),
            at: Timestamp::default(),
            caused_by: None,
        }
    }

    #[test]
    fn an_event_must_match_in_name_subject_and_attributes() {
        let state = Attribute::new("service.active_state", "fail*");
        let selector = Selector::new("service.*", vec![Attribute::new("subject", "app@*.service"), state]);
        assert!(selector.takes_event(&event("app@1.service", "failed")));
        assert!(!selector.takes_event(&event("app@1.service", "active")));
        assert!(!selector.takes_event(&event("nginx.service", "failed")));
        assert!(!Selector::new("log.*", vec![]).takes_event(&event("app@1.service", "failed")));
        assert_eq!(selector.subject(), "app@*.service");
    }

    #[test]
    fn a_body_must_match_where_the_selector_says_so() {
        let selector = Selector::new("*", vec![]).with_body(Regex::new("(?i)out of memory").unwrap());
        let with = |body: &str| Event { body: body.into(), ..event("web", "failed") };
        assert!(selector.takes_event(&with("worker: Out of memory")));
        assert!(!selector.takes_event(&with("worker: out of luck")));
    }

    #[test]
    fn a_number_is_the_same_however_it_is_written() {
        let with = |value: Value| Event { attributes: vec![Attribute::new("window", value)], ..event("memory", "") };
        let wants = |value: Value| Selector::new("*", vec![Attribute::new("window", value)]);
        assert!(wants(Value::Integer(2)).takes_event(&with(Value::Number(2.0))));
        assert!(wants(Value::Number(2.0)).takes_event(&with(Value::Integer(2))));
        assert!(!wants(Value::Integer(2)).takes_event(&with(Value::Number(2.5))));
    }

    #[test]
    fn what_is_told_on_other_terms_is_for_others() {
        let attributes = |of: &[(&str, i64)]| of.iter().map(|(key, value)| Attribute::new(*key, *value)).collect();
        let missed =
            |terms| Event { name: "timer.missed".into(), attributes: attributes(terms), ..event("a.timer", "") };
        let all: [&[(&str, i64)]; 4] = [&[], &[("grace", 5)], &[("every", 60)], &[("grace", 5), ("every", 60)]];
        for wanted in all {
            let selector = Selector::new("timer.*", attributes(wanted));
            let taken: Vec<_> = all.into_iter().filter(|terms| selector.takes_event(&missed(terms))).collect();
            assert_eq!(taken, [wanted]);
        }
        // Elsewhere these are attributes like any other.
        let other = Event { attributes: attributes(&[("grace", 5)]), ..event("a", "") };
        assert!(Selector::new("*", vec![]).takes_event(&other));
    }

    #[test]
    fn a_key_that_a_series_lacks_does_not_match() {
        let name = SeriesName {
            metric: "system.cpu.utilization".into(),
            attributes: vec![("cpu.mode".into(), "user".into())],
        };
        assert!(Selector::new("system.cpu.*", vec![Attribute::new("cpu.mode", "user")]).takes_series(&name));
        assert!(!Selector::new("system.cpu.*", vec![Attribute::new("cpu.logical_number", "0")]).takes_series(&name));
    }

    #[test]
    fn a_number_is_the_text_that_series_have_for_it() {
        let name = SeriesName { metric: "process.uptime".into(), attributes: vec![("process.pid".into(), "7".into())] };
        let wants = |pid: i64| Selector::new("process.*", vec![Attribute::new("process.pid", pid)]).takes_series(&name);
        assert_eq!((wants(7), wants(77)), (true, false));
    }
}
