use super::cut_sets::{Family, Weighed};
use super::sets::{Literal, contains};
use super::tree::{Kind, Source};
use super::{BasicEvent, FaultTree, Observed, Truth};
use crate::Cause;

/// How many explanations [`FaultTree::explain`] gives at most.
const MAX_EXPLANATIONS: usize = 100;

/// One way in which a gate may have come about: a minimal cut set (or prime implicant) that what was observed does not rule
/// out.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation<'a> {
    /// From the gate to the root: the named gates on the way for which this is a minimal cut set, too, and last the
    /// events, joined by "and".
    pub path: Vec<String>,
    /// The events of the set.
    pub events: Vec<Contribution<'a>>,
    /// Its share in all that may have brought the gate about, 0..1: the product of the probabilities of its events, over
    /// the sum of that for all sets. This is the Fussell–Vesely importance of the set, normalised, so that the shares of all
    /// sets are 1 together.
    pub confidence: f64,
    /// The probability that all its events happened, given what was observed and that the gate holds. Exact. Unlike shares,
    /// those of several sets may be 1, since faults do not exclude each other.
    pub posterior: f64,
}

/// An event's part in an [`Explanation`].
#[derive(Debug, Clone, PartialEq)]
pub struct Contribution<'a> {
    /// The event's name.
    pub name: &'a str,
    /// What the configuration says of it.
    pub event: &'a BasicEvent,
    /// Whether it has to have happened; `false` is a prime implicant's negated event.
    pub happened: bool,
    /// Whether that was observed. Otherwise nobody knows.
    pub is_observed: bool,
    /// On what grounds, in words.
    pub grounds: String,
}

impl Explanation<'_> {
    /// Whether all of it was observed, so that it is a fact and not a guess.
    pub fn is_observed(&self) -> bool {
        self.events.iter().all(|event| event.is_observed)
    }

    /// What helps against the events, as far as the configuration says.
    pub fn remedies(&self) -> impl Iterator<Item = &str> {
        self.events.iter().filter(|event| event.happened).filter_map(|event| event.event.remedy.as_deref())
    }

    /// As the contract's cause: the evidence is each event by its name, with the grounds.
    pub fn cause(&self) -> Cause {
        let summaries = self.events.iter().map(|event| match (event.happened, &event.event.summary) {
            (true, Some(summary)) => summary.clone(),
            (true, None) => event.name.to_owned(),
            (false, _) => format!("not: {}", event.name),
        });
        let summary = summaries.collect::<Vec<_>>().join(" and ");
        let cause = Cause::new(summary, self.confidence).path(&self.path);
        self.events.iter().fold(cause, |cause, event| cause.evidence(event.name, event.grounds.as_str()))
    }
}

impl FaultTree {
    /// Why a gate holds, or may hold: its minimal cut sets that what was observed does not rule out, the most likely first
    /// and at most 100. The probability of an event that was observed is 1 or 0, that of the others their prior; a set whose
    /// product is below the least number there is (10⁻³²³) counts as ruled out. Empty if all are, or there is no such gate.
    pub fn explain(&self, gate: &str, observed: &Observed) -> Vec<Explanation<'_>> {
        let Some((name, named)) = self.named.get_key_value(gate) else { return Vec::new() };
        let family = Family::new(&self.sets, named.sets, self.weights(observed));
        let sum = family.sum();
        let probability = self.probability(name, observed).unwrap_or_default();
        if sum <= 0.0 || probability <= 0.0 {
            return Vec::new();
        }
        let possible = family.by_weight().take_while(|set| set.weight > 0.0).take(MAX_EXPLANATIONS);
        let explanation = |set: Weighed| Explanation {
            path: self.path(name, &set.literals),
            confidence: (set.weight / sum).min(1.0),
            posterior: (set.weight / probability).min(1.0),
            events: set.literals.iter().filter_map(|literal| self.contribution(*literal, observed)).collect(),
        };
        possible.map(explanation).collect()
    }

    /// The same as causes for [`diagnose`](crate::Remediator::diagnose).
    pub fn causes(&self, gate: &str, observed: &Observed) -> Vec<Cause> {
        self.explain(gate, observed).iter().map(Explanation::cause).collect()
    }

    /// The Fussell–Vesely importance of each event for a gate, the greatest first: the share of the sets that the event is
    /// part of in the sum over all sets (NUREG-0492, chapter XI). Events of no importance are left out.
    pub fn importance(&self, gate: &str, observed: &Observed) -> Vec<(&str, f64)> {
        let Some(named) = self.named.get(gate) else { return Vec::new() };
        let family = Family::new(&self.sets, named.sets, self.weights(observed));
        let sum = family.sum();
        let importance = |number: usize| {
            let without = family.sum_of(|literal| !(literal.holds && literal.variable as usize == number));
            1.0 - without / sum
        };
        let events = self.events.iter().enumerate().map(|(number, basic)| (basic.name.as_str(), importance(number)));
        let mut important: Vec<_> = events.filter(|(_, importance)| *importance > 0.0).collect();
        important.sort_by(|a, b| b.1.total_cmp(&a.1));
        important
    }

    fn contribution(&self, literal: Literal, observed: &Observed) -> Option<Contribution<'_>> {
        let basic = self.events.get(literal.variable as usize)?;
        let truth = observed.truth(&basic.name);
        let chance = if literal.holds { basic.prior } else { 1.0 - basic.prior };
        let grounds = match (truth, observed.grounds(&basic.name)) {
            (Truth::Unknown, Some(grounds)) => format!("not known: {grounds}; probability {chance}"),
            (Truth::Unknown, None) => format!("not known; probability {chance}"),
            (_, Some(grounds)) => grounds.to_owned(),
            (Truth::True, None) => "observed".to_owned(),
            (Truth::False, None) => "observed not to be so".to_owned(),
        };
        let is_observed = truth != Truth::Unknown;
        Some(Contribution { name: &basic.name, event: &basic.event, happened: literal.holds, is_observed, grounds })
    }

    /// From a gate, through the named gates for which the set is one of their own, to its events.
    fn path(&self, gate: &str, set: &[Literal]) -> Vec<String> {
        let mut path = vec![gate.to_owned()];
        let mut at = self.named.get(gate).map(|named| named.node);
        while let Some((name, node)) = at.and_then(|node| self.below(node, set)) {
            path.push(name.to_owned());
            at = Some(node);
        }
        let name = |literal: &Literal| {
            let name = &self.events.get(literal.variable as usize)?.name;
            Some(if literal.holds { name.clone() } else { format!("not {name}") })
        };
        // A gate that always holds has no events.
        if !set.is_empty() {
            path.push(set.iter().filter_map(name).collect::<Vec<_>>().join(" and "));
        }
        path
    }

    /// The first of the named gates right below a node, through gates without a name, that has this very set. Gates below a
    /// `not` are passed over: the set brings about the contrary.
    fn below(&self, node: usize, set: &[Literal]) -> Option<(&str, usize)> {
        let node = self.nodes.get(node).filter(|node| node.kind != Kind::Not)?;
        node.inputs.iter().find_map(|input| {
            let Source::Gate(number) = *input else { return None };
            match self.named.iter().find(|(_, named)| named.node == number) {
                Some((name, named)) => contains(&self.sets, named.sets, set).then_some((name.as_str(), number)),
                None => self.below(number, set),
            }
        })
    }
}
