use std::collections::BTreeMap;

use super::Truth;

/// What is known of the basic events at one time, and on what grounds. An event that is not in it is unknown.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Observed(BTreeMap<String, (Truth, String)>);

impl Observed {
    /// Nothing is known.
    pub fn new() -> Self {
        Self::default()
    }

    /// With what is known of one event.
    pub fn with(mut self, event: impl Into<String>, truth: impl Into<Truth>) -> Self {
        self.set(event, truth.into(), "");
        self
    }

    /// Takes down what is known of one event, and the grounds for it in words (empty if there are none).
    pub fn set(&mut self, event: impl Into<String>, truth: Truth, grounds: impl Into<String>) {
        self.0.insert(event.into(), (truth, grounds.into()));
    }

    /// What is known of an event.
    pub fn truth(&self, event: &str) -> Truth {
        self.0.get(event).map(|(truth, _)| *truth).unwrap_or_default()
    }

    /// On what grounds.
    pub fn grounds(&self, event: &str) -> Option<&str> {
        self.0.get(event).map(|(_, grounds)| grounds.as_str()).filter(|grounds| !grounds.is_empty())
    }
}
