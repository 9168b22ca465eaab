use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Action, ActionKind};
use crate::config::CommandSpec;
use crate::incident::{Ground, Terrain};
use crate::service::Services;

/// The host as it is: who belongs to whom, and who needs whom.
#[derive(Debug)]
pub struct Host {
    services: Arc<Services>,
    commands: BTreeMap<String, CommandSpec>,
}

impl Host {
    /// With these services and commands.
    pub fn new(services: Arc<Services>, commands: BTreeMap<String, CommandSpec>) -> Self {
        Self { services, commands }
    }
}

impl Terrain for Host {
    fn ground(&self, target: &str, actions: &[Action]) -> Ground {
        let mut targets = BTreeSet::from([target.to_owned()]);
        for action in actions {
            targets.insert(action.target.clone());
            // A process and the service it belongs to are one target.
            let is_process =
                matches!(ActionKind::parse(&action.kind), Ok(ActionKind::ProcessSignal | ActionKind::ProcessRenice));
            if let Some(pid) = action.target.parse().ok().filter(|_| is_process) {
                targets.extend(self.services.owner_of(pid));
            }
        }
        let requires = targets.iter().flat_map(|target| self.services.requires(target));
        let requires = requires.filter(|name| !targets.contains(name)).collect();
        let irreversible = actions.iter().filter_map(|action| action.cannot_be_undone(&self.commands)).collect();
        Ground { targets, requires, irreversible }
    }
}
