use std::time::Duration;

use regex_lite::Regex;
use salve_plugin_sdk::detect::LogRule;
use salve_plugin_sdk::diagnose::Wanted;
use salve_plugin_sdk::{Attribute, Attributes, Event, Fault, Selector, Subscription, Value, matches};

use crate::config::ClassConfig;

/// How much of a line is looked at here, where classes share a source.
const MAX_BODY: usize = 16 * 1024;
/// How long a target may be.
const MAX_NAME: usize = 256;

/// A class, ready for use.
pub struct Class {
    pub name: String,
    pub kind: String,
    pub config: ClassConfig,
    /// The pattern again, where another class may want events of the same source: the host sends what *one* of them wants.
    pattern: Option<Regex>,
}

impl Class {
    pub fn new(name: String, config: ClassConfig) -> Result<Self, String> {
        if config.event == super::RECORD && config.pattern.is_none() {
            return Err(format!("class `{name}` takes every line; give it a `pattern`"));
        }
        config.remedy.check(&["target"]).map_err(|error| format!("class `{name}`: remedy: {error}"))?;
        if config.kind.as_deref() == Some("") || config.target.as_deref() == Some("") {
            return Err(format!("class `{name}`: `kind` and `target` must not be empty; leave them out"));
        }
        let kind = config.kind.clone().unwrap_or_else(|| format!("log.{name}"));
        Ok(Self { name, kind, config, pattern: None })
    }

    /// Whether an event may be for both.
    pub fn overlaps(&self, other: &Self) -> bool {
        overlap(&self.config.event, &other.config.event) && overlap(&self.config.source, &other.config.source)
    }

    /// Has it tell its lines from those of `other`.
    pub fn tell_from(&mut self, other: &str) -> Result<(), String> {
        let Some(pattern) = &self.config.pattern else { return Ok(()) };
        let regex = Regex::new(pattern).map_err(|error| {
            format!(
                "class `{}` shares a source with `{other}`, where its pattern has to do without Unicode classes: {error}",
                self.name
            )
        })?;
        self.pattern = Some(regex);
        Ok(())
    }

    pub fn subscribe(&self, mut subscription: Subscription) -> Subscription {
        let subject = Attribute::new("subject", self.config.source.as_str());
        let attributes = self.config.attributes.iter();
        let attributes = attributes.map(|(key, wanted)| Attribute::new(key, Value::from(wanted.clone())));
        subscription.events.push(Selector {
            name: self.config.event.clone(),
            matching: attributes.chain([subject]).collect(),
            body: self.config.pattern.clone(),
        });
        subscription
    }

    /// Whether an event is of its name and source, whatever it says.
    pub fn may_be(&self, event: &Event) -> bool {
        let has = |(key, wanted): (&String, &Wanted)| event.get(key).is_some_and(|value| wanted.is(value));
        matches(&self.config.event, &event.name)
            && matches(&self.config.source, &event.subject)
            && self.config.attributes.iter().all(has)
    }

    /// Whether it says what this class is about.
    pub fn says(&self, event: &Event) -> bool {
        let body = event.body.get(..event.body.floor_char_boundary(MAX_BODY)).unwrap_or_default();
        self.pattern.as_ref().is_none_or(|pattern| pattern.is_match(body))
    }

    /// How much there is to look at for that.
    pub fn cost(&self, event: &Event) -> usize {
        if self.pattern.is_some() { event.body.len().min(MAX_BODY) } else { 0 }
    }

    pub fn has_pattern(&self) -> bool {
        self.config.pattern.is_some()
    }

    pub fn rule(&self) -> LogRule {
        let ClassConfig { at_least, within, clear_below, hold_off, .. } = self.config;
        LogRule { at_least, within, clear_below, hold_off }
    }

    /// Fewer than so many are none.
    pub fn clear_below(&self) -> usize {
        self.config.clear_below.clamp(1, self.config.at_least.max(1)).min(64) as usize
    }

    /// How long there must be none after an attempt.
    pub fn calm(&self) -> Duration {
        self.config.calm.map_or_else(|| (*self.config.within).min(Duration::from_secs(60)), |calm| *calm)
    }

    /// What is at fault. The host refuses names that are long or hold control characters, and the whole answer with them.
    pub fn target(&self, event: &Event) -> String {
        let target = self.config.target.as_deref().unwrap_or(&event.subject);
        let target = target.get(..target.floor_char_boundary(MAX_NAME)).unwrap_or_default();
        if target.is_empty() { "host".to_owned() } else { target.replace(char::is_control, "?") }
    }

    /// The fault, after so many events of which `line` is the last.
    pub fn fault(&self, target: &str, count: u64, line: &str) -> Fault {
        let summary = match (&self.config.summary, line) {
            (Some(summary), _) => summary.clone(),
            (None, "") => format!("{} at {target}", self.name),
            (None, line) => format!("{} at {target}: {line}", self.name),
        };
        let fault = Fault::new(&self.kind, target).severity(self.config.severity).summary(summary);
        let fault = fault.evidence("log.class", self.name.as_str());
        let fault = fault.evidence("log.count", i64::try_from(count).unwrap_or(i64::MAX));
        if line.is_empty() { fault } else { fault.evidence("log.line", line) }
    }
}

/// Whether a text may match both patterns. Of two with stars it is said where their ends do not rule it out.
fn overlap(one: &str, other: &str) -> bool {
    let (Some((one_head, one_rest)), Some((other_head, other_rest))) = (one.split_once('*'), other.split_once('*'))
    else {
        return matches(one, other) || matches(other, one);
    };
    let tail = |rest: &str| rest.rsplit('*').next().unwrap_or_default().to_owned();
    let (one_tail, other_tail) = (tail(one_rest), tail(other_rest));
    (one_head.starts_with(other_head) || other_head.starts_with(one_head))
        && (one_tail.ends_with(&other_tail) || other_tail.ends_with(&one_tail))
}

#[cfg(test)]
mod tests {
    use super::overlap;

    #[test]
    fn patterns_overlap_unless_their_ends_rule_it_out() {
        for (one, other, expected) in [
            ("a", "a", true),
            ("a", "b", false),
            ("a*", "abc", true),
            ("abc", "b*", false),
            ("app@*.service", "*.service", true),
            ("app@*.service", "db@*.service", false),
            ("*.service", "*.timer", false),
            ("a*b*c", "*c", true),
            ("*", "a*", true),
        ] {
            assert_eq!(overlap(one, other), expected, "{one} {other}");
            assert_eq!(overlap(other, one), expected, "{other} {one}");
        }
    }
}
