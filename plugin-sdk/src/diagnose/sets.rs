use std::collections::BTreeMap;

use super::bdd::Bdd;
use super::diagram::{Diagram, Edge, NO, Node, TooLarge, YES};

/// A variable that holds, or does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Literal {
    pub(super) variable: u32,
    pub(super) holds: bool,
}

impl Literal {
    pub(super) fn of(label: u32) -> Self {
        Self { variable: label / 2, holds: label.is_multiple_of(2) }
    }

    fn label(self) -> u32 {
        self.variable * 2 + u32::from(!self.holds)
    }
}

/// Families of sets of literals as zero-suppressed decision diagrams (S. Minato, *Zero-Suppressed BDDs for Set Manipulation
/// in Combinatorial Problems*, DAC 1993): a million sets may take a few hundred nodes.
#[derive(Debug)]
pub(super) struct Sets {
    pub(super) diagram: Diagram,
    primes: BTreeMap<Edge, Edge>,
    differences: BTreeMap<(Edge, Edge), Edge>,
}

impl Sets {
    pub(super) fn new() -> Self {
        Self { diagram: Diagram::new(), primes: BTreeMap::new(), differences: BTreeMap::new() }
    }

    /// The prime implicants of a function: the minimal sets of literals that make it true whatever the other variables
    /// are. Those of a function without negation are its minimal cut sets.
    ///
    /// A prime implicant of *f* without the variable *x* is one of *f₀ ∧ f₁*; one with *x* is *x* and a prime implicant of
    /// *f₁* that is none of *f₀ ∧ f₁*; with *¬x* likewise (O. Coudert and J. C. Madre, *Implicit and Incremental Computation of
    /// Primes and Essential Primes of Boolean Functions*, DAC 1992; A. Rauzy, *New Algorithms for Fault Trees Analysis*,
    /// Reliability Engineering and System Safety 40, 1993).
    pub(super) fn primes(&mut self, bdd: &mut Bdd, f: Edge) -> Result<Edge, TooLarge> {
        let Some(Node { label: variable, low, high }) = bdd.diagram.node(f) else { return Ok(f) };
        if let Some(known) = self.primes.get(&f) {
            return Ok(*known);
        }
        self.diagram.step()?;
        let both = bdd.and(low, high)?;
        let without = self.primes(bdd, both)?;
        let low = self.primes(bdd, low)?;
        let low = self.difference(low, without)?;
        let high = self.primes(bdd, high)?;
        let high = self.difference(high, without)?;
        let negated = self.either(Literal { variable, holds: false }.label(), without, low);
        let primes = self.either(Literal { variable, holds: true }.label(), negated, high);
        self.primes.insert(f, primes);
        Ok(primes)
    }

    /// The sets that are in `a` and not in `b`.
    fn difference(&mut self, a: Edge, b: Edge) -> Result<Edge, TooLarge> {
        if a == NO || a == b {
            return Ok(NO);
        }
        if b == NO {
            return Ok(a);
        }
        if let Some(known) = self.differences.get(&(a, b)) {
            return Ok(*known);
        }
        self.diagram.step()?;
        let label = |edge| self.diagram.node(edge).map_or(u32::MAX, |node| node.label);
        let label = label(a).min(label(b));
        let ((a0, a1), (b0, b1)) = (self.halves(a, label), self.halves(b, label));
        let low = self.difference(a0, b0)?;
        let high = self.difference(a1, b1)?;
        let rest = self.either(label, low, high);
        self.differences.insert((a, b), rest);
        Ok(rest)
    }

    /// The sets of `low`, and those of `high` with one literal more.
    fn either(&mut self, label: u32, low: Edge, high: Edge) -> Edge {
        if high == NO { low } else { self.diagram.insert(Node { label, low, high }) }
    }

    /// The sets without a literal, and those with it, taken out of them.
    fn halves(&self, edge: Edge, label: u32) -> (Edge, Edge) {
        match self.diagram.node(edge) {
            Some(node) if node.label == label => (node.low, node.high),
            _ => (edge, NO),
        }
    }
}

/// Whether a family has this very set, whose literals are in order.
pub(super) fn contains(diagram: &Diagram, family: Edge, set: &[Literal]) -> bool {
    let mut at = family;
    for literal in set {
        loop {
            match diagram.node(at) {
                Some(node) if node.label == literal.label() => {
                    at = node.high;
                    break;
                }
                Some(node) if node.label < literal.label() => at = node.low,
                _ => return false,
            }
        }
    }
    while let Some(node) = diagram.node(at) {
        at = node.low;
    }
    at == YES
}
