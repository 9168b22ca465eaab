use salve_plugin_sdk::diagnose::{Explanation, FaultTree, Observed};
use salve_plugin_sdk::{Action, Cause};

/// A way in which a top came about that is a fact: all of its events were observed.
pub struct Root {
    /// The names of its events.
    pub events: Vec<String>,
    /// What helps against them.
    pub remedies: Vec<Action>,
    pub cause: Cause,
}

impl Root {
    /// The roots of a top, the most likely first; of those that are alike, those that can be healed.
    pub fn all(tree: &FaultTree, top: &str, observed: &Observed) -> Vec<Self> {
        let explanations = tree.explain(top, observed);
        let mut roots: Vec<Self> = explanations.iter().filter(|it| it.is_observed()).map(Self::of).collect();
        let by_likelihood = |one: &Self, other: &Self| other.cause.confidence.total_cmp(&one.cause.confidence);
        roots.sort_by(|one, other| {
            by_likelihood(one, other).then(one.remedies.is_empty().cmp(&other.remedies.is_empty()))
        });
        roots
    }

    fn of(explanation: &Explanation<'_>) -> Self {
        let happened = explanation.events.iter().filter(|event| event.happened);
        let mut remedies: Vec<Action> = Vec::new();
        for action in explanation.remedies().filter_map(|text| text.parse().ok()) {
            if !remedies.contains(&action) {
                remedies.push(action);
            }
        }
        Self { events: happened.map(|event| event.name.to_owned()).collect(), remedies, cause: explanation.cause() }
    }

    /// What the fault is at: what the first remedy is for.
    pub fn target(&self) -> Option<&str> {
        self.remedies.first().map(|action| action.target.as_str())
    }
}
