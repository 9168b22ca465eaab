use std::collections::BTreeMap;

use super::diagram::{Diagram, Edge, NO, Node, TooLarge, YES};

/// Boolean functions as reduced ordered binary decision diagrams (R. E. Bryant, *Graph-Based Algorithms for Boolean
/// Function Manipulation*, IEEE Transactions on Computers C-35, 1986). Labels are the numbers of variables.
#[derive(Debug)]
pub(super) struct Bdd {
    pub(super) diagram: Diagram,
    known: BTreeMap<(Edge, Edge, Edge), Edge>,
}

impl Bdd {
    pub(super) fn new() -> Self {
        Self { diagram: Diagram::new(), known: BTreeMap::new() }
    }

    /// The function that is one variable.
    pub(super) fn variable(&mut self, label: u32) -> Edge {
        self.diagram.insert(Node { label, low: NO, high: YES })
    }

    /// If `f` then `g` else `h`.
    pub(super) fn choose(&mut self, f: Edge, g: Edge, h: Edge) -> Result<Edge, TooLarge> {
        match (f, g, h) {
            (YES, g, _) => return Ok(g),
            (NO, _, h) => return Ok(h),
            (_, g, h) if g == h => return Ok(g),
            (f, YES, NO) => return Ok(f),
            _ => {}
        }
        if let Some(known) = self.known.get(&(f, g, h)) {
            return Ok(*known);
        }
        self.diagram.step()?;
        let label = [f, g, h].into_iter().filter_map(|edge| self.diagram.node(edge)).map(|node| node.label).min();
        // `f` is no end, so there is one.
        let label = label.unwrap_or_default();
        let [(f0, f1), (g0, g1), (h0, h1)] = [f, g, h].map(|edge| self.halves(edge, label));
        let low = self.choose(f0, g0, h0)?;
        let high = self.choose(f1, g1, h1)?;
        let chosen = if low == high { low } else { self.diagram.insert(Node { label, low, high }) };
        self.known.insert((f, g, h), chosen);
        Ok(chosen)
    }

    pub(super) fn and(&mut self, f: Edge, g: Edge) -> Result<Edge, TooLarge> {
        self.choose(f, g, NO)
    }

    pub(super) fn not(&mut self, f: Edge) -> Result<Edge, TooLarge> {
        self.choose(f, NO, YES)
    }

    /// Whether at least `k` of `inputs` hold.
    pub(super) fn at_least(&mut self, k: usize, inputs: &[Edge]) -> Result<Edge, TooLarge> {
        // One for each number from 0 to k: that at least so many hold of the inputs seen so far.
        let mut counts = vec![NO; k + 1];
        if let Some(none) = counts.first_mut() {
            *none = YES;
        }
        // From the last, so that what is made so far is below the next one and need not be made anew.
        for (left, input) in inputs.iter().enumerate().rev() {
            // With so many inputs left, a smaller number can no longer become k.
            let least = k.saturating_sub(left).max(1);
            let mut fewer = counts.get(least - 1).copied().unwrap_or(NO);
            for count in counts.iter_mut().skip(least) {
                let before = *count;
                *count = self.choose(*input, fewer, before)?;
                fewer = before;
            }
        }
        Ok(counts.last().copied().unwrap_or(YES))
    }

    /// The function where the variable does not hold, and where it does.
    fn halves(&self, edge: Edge, label: u32) -> (Edge, Edge) {
        match self.diagram.node(edge) {
            Some(node) if node.label == label => (node.low, node.high),
            _ => (edge, edge),
        }
    }
}
