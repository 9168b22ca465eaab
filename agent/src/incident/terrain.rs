use std::collections::BTreeSet;

use crate::action::Action;

/// Where a plan stands: what the engine and the guards have to know of the host to judge it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ground {
    /// Everything it acts on, with what that stands on: a unit and its process are one target.
    pub targets: BTreeSet<String>,
    /// What these depend on.
    pub requires: BTreeSet<String>,
    /// The one of these that is going down at this moment, if one is: what comes of that is not known yet.
    pub falling: Option<String>,
    /// Whether one of these is watched: news of it may be a moment behind news of what depends on it.
    pub leans: bool,
    /// The actions in it that cannot be undone, a phrase each.
    pub irreversible: Vec<String>,
}

/// Tells the ground of a plan for a fault at `target`; asked each time, since a process today is another one tomorrow.
pub trait Terrain: Send {
    /// The ground of these actions.
    fn ground(&self, target: &str, actions: &[Action]) -> Ground;
}
