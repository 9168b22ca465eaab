use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::compile::Compiler;
use super::cut_sets::{CutSets, Family};
use super::diagram::{Diagram, Edge};
use super::error::{TreeError, unknown};
use super::{BasicEvent, Gate, Observed, Truth};

/// A fault tree as data: a plugin's configuration, a part of it, or the two maps of it in a type of the plugin's own.
///
/// ```toml
/// [config.event."the database is down"]
/// when.service = { name = "postgresql.service" }
/// probability = 0.001
///
/// [config.event."the disk is full"]
/// when.metric = { name = "system.filesystem.utilization", above = 0.98 }
///
/// [config.tree."the shop is down"]
/// any = ["the database is down", { at-least = 2, of = ["web 1 is down", "web 2 is down", "the disk is full"] }]
/// ```
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TreeConfig {
    /// The basic events, by name.
    pub event: BTreeMap<String, BasicEvent>,
    /// The gates, by name. They may name each other, but not in a circle.
    pub tree: BTreeMap<String, Gate>,
}

/// A fault tree, checked and made ready: what is wrong is said when it is made, and every later question has an answer
/// within a bounded time.
///
/// The logic of each named gate is kept as a binary decision diagram and its minimal cut sets as a zero-suppressed one, so
/// that shared events and k-of-n gates are exact and neither is ever written out.
///
/// W. E. Vesely et al., *Fault Tree Handbook*, NUREG-0492, 1981; A. Rauzy, *New Algorithms for Fault Trees Analysis*, 1993.
#[derive(Debug, Clone)]
pub struct FaultTree {
    /// By number, which is the variable in the diagrams: in the order in which the gates, by name, come to them.
    pub(super) events: Vec<Basic>,
    /// Children before parents.
    pub(super) nodes: Vec<Node>,
    pub(super) named: BTreeMap<String, Named>,
    /// Which of the named gates no other one refers to.
    pub(super) tops: Vec<String>,
    pub(super) logic: Diagram,
    pub(super) sets: Diagram,
}

/// A basic event with its name and its checked prior.
#[derive(Debug, Clone)]
pub(super) struct Basic {
    pub(super) name: String,
    pub(super) event: BasicEvent,
    pub(super) prior: f64,
}

/// A named gate: its node, its function and its cut sets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Named {
    pub(super) node: usize,
    pub(super) logic: Edge,
    pub(super) sets: Edge,
}

/// A gate, with or without a name, among the others.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) kind: Kind,
    pub(super) inputs: Vec<Source>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    AtLeast(usize),
    Not,
}

/// An input of a gate, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Event(usize),
    Gate(usize),
}

impl FaultTree {
    /// Checks a tree and makes it ready. Fails, saying where, for a name that is unknown or used twice, gates in a circle, a
    /// gate that is empty or of no one kind, a k out of range, a probability that is none, and a tree that is too large: more than
    /// 256 events, gates nested deeper than 64, or logic so entangled that its diagrams take more than 20,000 steps
    /// to make.
    pub fn new(config: TreeConfig) -> Result<Self, TreeError> {
        Compiler::compile(config)
    }

    /// The gates that no other gate refers to, by name.
    pub fn tops(&self) -> impl Iterator<Item = &str> {
        self.tops.iter().map(String::as_str)
    }

    /// The named gates.
    pub fn gates(&self) -> impl Iterator<Item = &str> + Clone {
        self.named.keys().map(String::as_str)
    }

    /// The basic events, and what is said of them.
    pub fn events(&self) -> impl Iterator<Item = (&str, &BasicEvent)> {
        self.events.iter().map(|basic| (basic.name.as_str(), &basic.event))
    }

    /// A basic event by its name.
    pub fn event(&self, name: &str) -> Option<&BasicEvent> {
        self.events.iter().find(|basic| basic.name == name).map(|basic| &basic.event)
    }

    /// What is known of a gate, given what is known of the events: Kleene's logic, gate by gate. So a gate may stay unknown
    /// where a tautology would decide it (`a or not a`), and never says what does not follow. `None` if there is no such gate.
    pub fn truth(&self, gate: &str, observed: &Observed) -> Option<Truth> {
        let named = self.named.get(gate)?;
        let events: Vec<Truth> = self.events.iter().map(|basic| observed.truth(&basic.name)).collect();
        let truths = self.truths(&events, named.node);
        truths.get(named.node).copied()
    }

    /// The truth of each node up to `last`.
    fn truths(&self, events: &[Truth], last: usize) -> Vec<Truth> {
        let mut truths: Vec<Truth> = Vec::with_capacity(last + 1);
        for node in self.nodes.iter().take(last + 1) {
            let truth = |source: &Source| match *source {
                Source::Event(number) => events.get(number).copied().unwrap_or_default(),
                Source::Gate(number) => truths.get(number).copied().unwrap_or_default(),
            };
            truths.push(match node.kind {
                Kind::AtLeast(k) => Truth::at_least(k, node.inputs.iter().map(truth)),
                Kind::Not => !node.inputs.first().map(truth).unwrap_or_default(),
            });
        }
        truths
    }

    /// The probability of a gate: exactly, by Shannon's decomposition over its decision diagram, with the events independent
    /// of each other, those that were observed at 0 or 1 and the others at their priors. `None` if there is no such gate.
    pub fn probability(&self, gate: &str, observed: &Observed) -> Option<f64> {
        let root = self.named.get(gate)?.logic;
        let weights = self.weights(observed);
        let chance = |event: u32| weights.get(event as usize).copied().unwrap_or_default();
        let all = self.logic.fold(0.0, 1.0, |event, low, high| (1.0 - chance(event)) * low + chance(event) * high);
        Some(all.at(root))
    }

    /// The minimal cut sets of a gate. `None` if there is no such gate.
    pub fn cut_sets(&self, gate: &str) -> Option<CutSets<'_>> {
        let priors = self.events.iter().map(|basic| basic.prior).collect();
        Some(CutSets::new(self, Family::new(&self.sets, self.named.get(gate)?.sets, priors)))
    }

    /// Says that there is no such gate, and which was probably meant: for a configuration that names one.
    pub fn require(&self, gate: &str) -> Result<(), String> {
        if self.named.contains_key(gate) { Ok(()) } else { Err(unknown("gate", gate, self.gates())) }
    }

    /// How probable each event is, by number: 1 or 0 if that is known.
    pub(super) fn weights(&self, observed: &Observed) -> Vec<f64> {
        let weight = |basic: &Basic| match observed.truth(&basic.name) {
            Truth::True => 1.0,
            Truth::False => 0.0,
            Truth::Unknown => basic.prior,
        };
        self.events.iter().map(weight).collect()
    }
}
