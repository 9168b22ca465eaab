use std::collections::BTreeSet;

use super::Action;
use crate::incident::{Ground, Terrain};

/// The host as it is.
#[derive(Debug)]
pub struct Host;

impl Terrain for Host {
    fn ground(&self, target: &str, actions: &[Action]) -> Ground {
        let mut targets = BTreeSet::from([target.to_owned()]);
        targets.extend(actions.iter().map(|action| action.target.clone()));
        Ground { targets, ..Ground::default() }
    }
}
