use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::FaultTree;
use super::diagram::{Diagram, Edge, Folded};
use super::sets::Literal;

/// A family of sets of literals whose events have these probabilities.
#[derive(Debug)]
pub(super) struct Family<'a> {
    diagram: &'a Diagram,
    root: Edge,
    weights: Vec<f64>,
}

/// A set, and the product of the probabilities of its literals.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Weighed {
    pub(super) literals: Vec<Literal>,
    pub(super) weight: f64,
}

impl<'a> Family<'a> {
    pub(super) fn new(diagram: &'a Diagram, root: Edge, weights: Vec<f64>) -> Self {
        Self { diagram, root, weights }
    }

    pub(super) fn weight(&self, literal: Literal) -> f64 {
        let weight = self.weights.get(literal.variable as usize).copied().unwrap_or_default();
        if literal.holds { weight } else { 1.0 - weight }
    }

    /// How many sets there are.
    fn count(&self) -> u128 {
        self.diagram.fold(0, 1, |_, low: u128, high| low.saturating_add(high)).at(self.root)
    }

    /// The sum of the weights of all sets.
    pub(super) fn sum(&self) -> f64 {
        self.sum_of(|_| true)
    }

    /// The sum of the weights of the sets that have none but these literals.
    pub(super) fn sum_of(&self, taken: impl Fn(Literal) -> bool) -> f64 {
        let join = |label, low: f64, high: f64| {
            let literal = Literal::of(label);
            if taken(literal) { low + self.weight(literal) * high } else { low }
        };
        self.diagram.fold(0.0, 1.0, join).at(self.root)
    }

    /// Whether a set has a literal that an event does not hold.
    fn has_negation(&self) -> bool {
        let join = |label, low, high| low || high || !Literal::of(label).holds;
        self.diagram.fold(false, false, join).at(self.root)
    }

    /// The sets, those with the greatest weights first; of those that are alike, the smallest first.
    pub(super) fn by_weight(&self) -> ByWeight<'_> {
        let join = |label, low: Option<Cost>, high: Option<Cost>| {
            let high = high.map(|high| high.and(self.weight(Literal::of(label))));
            match (low, high) {
                (Some(low), Some(high)) => Some(low.min(high)),
                (low, high) => low.or(high),
            }
        };
        let best = self.diagram.fold(None, Some(Cost::default()), join);
        let mut search = ByWeight { family: self, best, heap: BinaryHeap::new(), trail: Vec::new() };
        search.push(Cost::default(), self.root, None);
        search
    }
}

/// How improbable a set is, and how large. Improbability is the negative logarithm in whole numbers: however sums of it are
/// put together they are the same, so that sets that are alike stay alike and the search never turns back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
struct Cost {
    improbability: u64,
    literals: u32,
}

impl Cost {
    /// More than that of any probability above 0, and small enough for the sum of 512 to fit.
    const IMPOSSIBLE: f64 = (1_u64 << 50) as f64;

    fn and(self, weight: f64) -> Self {
        // The least number above 0 has a logarithm of -745.
        let improbability = (-weight.ln() * (1_u64 << 32) as f64).clamp(0.0, Self::IMPOSSIBLE) as u64;
        Self { improbability: self.improbability.saturating_add(improbability), literals: self.literals + 1 }
    }

    fn plus(self, other: Self) -> Self {
        let improbability = self.improbability.saturating_add(other.improbability);
        Self { improbability, literals: self.literals + other.literals }
    }
}

/// A best-first search (A*) whose bound is exact: it never looks at a way that is not the best that is left.
#[derive(Debug)]
pub(super) struct ByWeight<'a> {
    family: &'a Family<'a>,
    best: Folded<Option<Cost>>,
    heap: BinaryHeap<Reverse<Way>>,
    /// The literals of all ways; each knows the one before it.
    trail: Vec<(Option<usize>, Literal)>,
}

/// A way down to a node. Of two the better is the one that may lead to less cost, then the one that is further down, so
/// that a set is finished before another is begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Way {
    bound: Cost,
    at: Edge,
    cost: Cost,
    last: Option<usize>,
}

impl ByWeight<'_> {
    fn push(&mut self, cost: Cost, at: Edge, last: Option<usize>) {
        if let Some(best) = self.best.at(at) {
            self.heap.push(Reverse(Way { bound: cost.plus(best), at, cost, last }));
        }
    }

    /// The set at the end of a way.
    fn set(&self, last: Option<usize>) -> Weighed {
        let before = |at: &usize| self.trail.get(*at).and_then(|(before, _)| *before);
        let trail = std::iter::successors(last, before).filter_map(|at| self.trail.get(at));
        let mut literals: Vec<_> = trail.map(|(_, literal)| *literal).collect();
        literals.reverse();
        let weight = literals.iter().map(|literal| self.family.weight(*literal)).product();
        Weighed { literals, weight }
    }
}

impl Iterator for ByWeight<'_> {
    type Item = Weighed;

    fn next(&mut self) -> Option<Weighed> {
        loop {
            let Reverse(way) = self.heap.pop()?;
            let Some(node) = self.family.diagram.node(way.at) else { return Some(self.set(way.last)) };
            let literal = Literal::of(node.label);
            self.push(way.cost, node.low, way.last);
            self.trail.push((way.last, literal));
            self.push(way.cost.and(self.family.weight(literal)), node.high, Some(self.trail.len() - 1));
        }
    }
}

/// The minimal cut sets of a gate: the least combinations of basic events that bring it about (J. B. Fussell and
/// W. E. Vesely, *A New Methodology for Obtaining Cut Sets for Fault Trees*, Transactions of the American Nuclear Society 15,
/// 1972).
///
/// Of a gate that is coherent, which every gate without `not` is, they are the minimal cut sets. Of one that is not, they
/// are its prime implicants: the least combinations of events that happened *and events that did not* that bring it about.
/// Either way all of them are there, however many; [`most_probable`](Self::most_probable) lists as many as one asks for.
#[derive(Debug)]
pub struct CutSets<'a> {
    tree: &'a FaultTree,
    family: Family<'a>,
}

/// One minimal cut set or prime implicant.
#[derive(Debug, Clone, PartialEq)]
pub struct CutSet<'a> {
    /// The events that have to happen.
    pub events: Vec<&'a str>,
    /// The events that must not happen; empty for a coherent gate.
    pub absent: Vec<&'a str>,
    /// The product of the probabilities.
    pub probability: f64,
}

/// The list that [`CutSets::most_probable`] makes.
#[derive(Debug, Clone, PartialEq)]
pub struct CutSetList<'a> {
    /// The most probable first; of those that are alike, the smallest first.
    pub sets: Vec<CutSet<'a>>,
    /// Whether there are more than these, none of which is more probable.
    pub truncated: bool,
}

impl<'a> CutSets<'a> {
    pub(super) fn new(tree: &'a FaultTree, family: Family<'a>) -> Self {
        Self { tree, family }
    }

    /// How many there are; `u128::MAX` stands for that many or more.
    pub fn count(&self) -> u128 {
        self.family.count()
    }

    /// Whether the gate is coherent: no event that happens ever mends it. If it is not, the sets are prime implicants.
    pub fn are_coherent(&self) -> bool {
        !self.family.has_negation()
    }

    /// The rare-event approximation of the gate's probability: the sum over all sets, at most 1. It is an upper bound, and
    /// close where all probabilities are small (NUREG-0492, chapter XI). [`FaultTree::probability`] is exact.
    pub fn rare_event_bound(&self) -> f64 {
        self.family.sum().min(1.0)
    }

    /// At most `limit` of them, the most probable first.
    pub fn most_probable(&self, limit: usize) -> CutSetList<'a> {
        let mut search = self.family.by_weight();
        let sets = search.by_ref().take(limit).map(|set| self.named(&set)).collect();
        CutSetList { sets, truncated: search.next().is_some() }
    }

    fn named(&self, set: &Weighed) -> CutSet<'a> {
        let names = |holds: bool| {
            let literals = set.literals.iter().filter(move |literal| literal.holds == holds);
            literals
                .filter_map(|literal| self.tree.events.get(literal.variable as usize))
                .map(|basic| basic.name.as_str())
        };
        CutSet { events: names(true).collect(), absent: names(false).collect(), probability: set.weight }
    }
}
