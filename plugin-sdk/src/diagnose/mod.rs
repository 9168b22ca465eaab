//! Why something is wrong: fault trees, and what a system's parts say of its availability.
//!
//! A [`FaultTree`] is data in a plugin's configuration. An [`Observer`] keeps track of which of its basic events happened;
//! [`FaultTree::causes`] is then the answer to [`diagnose`](crate::Remediator::diagnose), the most likely cause first.
//!
//! ```
//! use salve_plugin_sdk::diagnose::{BasicEvent, FaultTree, Gate, Observed, TreeConfig};
//!
//! let event = |probability| BasicEvent { probability: Some(probability), ..BasicEvent::default() };
//! let tree = FaultTree::new(TreeConfig {
//!     event: [("database down", 0.001), ("web 1 down", 0.1), ("web 2 down", 0.1)]
//!         .map(|(name, probability)| (name.into(), event(probability)))
//!         .into(),
//!     tree: [
//!         ("shop down".into(), Gate::any(["database down", "no web"])),
//!         ("no web".into(), Gate::all(["web 1 down", "web 2 down"])),
//!     ]
//!     .into(),
//! })?;
//!
//! let causes = tree.causes("shop down", &Observed::new());
//! assert_eq!(causes[0].path, ["shop down", "no web", "web 1 down and web 2 down"]);
//! assert!((causes[0].confidence - 0.01 / 0.011).abs() < 1e-9);
//!
//! let causes = tree.causes("shop down", &Observed::new().with("web 2 down", false));
//! assert_eq!(causes[0].summary, "database down");
//! assert_eq!(causes.len(), 1);
//! # Ok::<_, salve_plugin_sdk::diagnose::TreeError>(())
//! ```

mod availability;
mod bdd;
mod block;
mod compile;
mod cut_sets;
mod diagram;
mod error;
mod event;
mod explain;
mod gate;
mod observed;
mod observer;
mod sets;
mod tree;
mod truth;

pub use availability::Availability;
pub use block::{Block, BlockError, BlockOf};
pub use cut_sets::{CutSet, CutSetList, CutSets};
pub use error::TreeError;
pub use event::{
    BasicEvent, Condition, DEFAULT_PROBABILITY, EventCondition, IncidentCondition, MetricCondition, ServiceCondition,
    Wanted,
};
pub use explain::{Contribution, Explanation};
pub use gate::{Gate, Input};
pub use observed::Observed;
pub use observer::Observer;
pub use tree::{FaultTree, TreeConfig};
pub use truth::Truth;

#[cfg(test)]
mod tests;
