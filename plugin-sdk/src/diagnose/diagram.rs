use std::collections::BTreeMap;

/// A place in a [`Diagram`]: a node, or one of the two ends.
pub(super) type Edge = u32;
/// The end that means false, or no set.
pub(super) const NO: Edge = 0;
/// The end that means true, or the empty set.
pub(super) const YES: Edge = 1;

/// How many steps the making of a diagram may take. Each makes at most one node and one entry of a cache, so this bounds
/// memory (a few megabytes) as well as time: 17 ms natively, of the 100 ms of processor time that the host allows a call.
const MAX_STEPS: u32 = 20_000;

/// A diagram grew beyond what a plugin should spend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooLarge;

/// A decision: `high` where the label holds (or is in the set), otherwise `low`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Node {
    pub(super) label: u32,
    pub(super) low: Edge,
    pub(super) high: Edge,
}

/// An ordered decision diagram with shared nodes: labels increase on every way down, and no two nodes are the same. A
/// node's children have lower numbers than the node. Which nodes are left out is up to [`Bdd`](super::bdd::Bdd) and
/// [`Sets`](super::sets::Sets).
#[derive(Debug, Clone)]
pub(super) struct Diagram {
    /// Without the two ends.
    nodes: Vec<Node>,
    numbers: BTreeMap<Node, Edge>,
    steps: u32,
}

impl Diagram {
    pub(super) fn new() -> Self {
        Self { nodes: Vec::new(), numbers: BTreeMap::new(), steps: 0 }
    }

    /// Counts a step.
    pub(super) fn step(&mut self) -> Result<(), TooLarge> {
        self.steps += 1;
        if self.steps > MAX_STEPS { Err(TooLarge) } else { Ok(()) }
    }

    /// The node with these parts, made if there is none.
    pub(super) fn insert(&mut self, node: Node) -> Edge {
        let next = self.nodes.len() as Edge + 2;
        *self.numbers.entry(node).or_insert_with(|| {
            self.nodes.push(node);
            next
        })
    }

    /// The node at an edge; `None` at an end.
    pub(super) fn node(&self, edge: Edge) -> Option<Node> {
        self.nodes.get(edge.checked_sub(2)? as usize).copied()
    }

    /// A value for each edge, from those of the ends upwards; `join` is given a label and the values of low and high.
    pub(super) fn fold<T: Copy>(&self, no: T, yes: T, join: impl Fn(u32, T, T) -> T) -> Folded<T> {
        let mut values = Vec::with_capacity(self.nodes.len() + 2);
        values.extend([no, yes]);
        for node in &self.nodes {
            let at = |edge: Edge| values.get(edge as usize).copied().unwrap_or(no);
            values.push(join(node.label, at(node.low), at(node.high)));
        }
        Folded { values, no }
    }

    /// Forgets every node that none of `roots` leads to, and the steps; the roots are renumbered.
    pub(super) fn keep<'a>(&mut self, roots: impl IntoIterator<Item = &'a mut Edge>) {
        let mut kept = vec![false; self.nodes.len() + 2];
        let keep = |edge: Edge, kept: &mut Vec<bool>| {
            if let Some(slot) = kept.get_mut(edge as usize) {
                *slot = true;
            }
        };
        let roots: Vec<&mut Edge> = roots.into_iter().collect();
        roots.iter().for_each(|root| keep(**root, &mut kept));
        // Parents come after their children.
        for (number, node) in self.nodes.iter().enumerate().rev() {
            if kept.get(number + 2) == Some(&true) {
                keep(node.low, &mut kept);
                keep(node.high, &mut kept);
            }
        }
        let mut smaller = Self::new();
        let mut renumbered: Vec<Edge> = vec![NO, YES];
        let new = |renumbered: &[Edge], edge: Edge| renumbered.get(edge as usize).copied().unwrap_or(NO);
        for (number, node) in self.nodes.iter().enumerate() {
            let mut edge = NO;
            if kept.get(number + 2) == Some(&true) {
                let (low, high) = (new(&renumbered, node.low), new(&renumbered, node.high));
                edge = smaller.insert(Node { label: node.label, low, high });
            }
            renumbered.push(edge);
        }
        roots.into_iter().for_each(|root| *root = new(&renumbered, *root));
        *self = smaller;
    }
}

/// What [`Diagram::fold`] makes: a value for each edge.
#[derive(Debug)]
pub(super) struct Folded<T> {
    values: Vec<T>,
    no: T,
}

impl<T: Copy> Folded<T> {
    pub(super) fn at(&self, edge: Edge) -> T {
        self.values.get(edge as usize).copied().unwrap_or(self.no)
    }
}
