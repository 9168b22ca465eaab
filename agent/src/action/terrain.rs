use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Action, ActionKind};
use crate::config::CommandSpec;
use crate::incident::{Ground, Terrain};
use crate::service::{ActiveState, Services, StatusTable};

/// The host as it is: who belongs to whom, and who needs whom.
#[derive(Debug)]
pub struct Host {
    services: Arc<Services>,
    status: Arc<StatusTable>,
    commands: BTreeMap<String, CommandSpec>,
}

impl Host {
    /// With these services, the last known status of each that is watched, and these commands.
    pub fn new(services: Arc<Services>, status: Arc<StatusTable>, commands: BTreeMap<String, CommandSpec>) -> Self {
        Self { services, status, commands }
    }

    fn is_falling(&self, name: &str) -> bool {
        self.status.get(name).is_some_and(|status| status.active_state == ActiveState::Deactivating)
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
        let requires: BTreeSet<String> = requires.filter(|name| !targets.contains(name)).collect();
        let falling = requires.iter().find(|name| self.is_falling(name)).cloned();
        let leans = requires.iter().any(|name| self.status.get(name).is_some());
        let irreversible = actions.iter().filter_map(|action| action.cannot_be_undone(&self.commands)).collect();
        Ground { targets, requires, falling, leans, irreversible }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Settings;
    use crate::service::{ServiceStatus, Verb};
    use crate::signal::{Attribute, Value};

    #[tokio::test(flavor = "multi_thread")]
    async fn a_process_and_its_service_are_one_target_with_the_services_needs() {
        let dir = tempfile::tempdir().unwrap();
        let text = "[services.web]\nmanager = \"command\"\nstart = [\"sleep\", \"60\"]\nrequires = [\"db.service\"]\n";
        let settings = Settings::parse(Path::new("/etc/salve.toml"), text).unwrap();
        let services = Arc::new(Services::new(dir.path(), settings.services, Arc::new(|_| ())));
        let started = services.act(Verb::Start, "web").await.unwrap().after;
        let pid = started.main_pid.unwrap();
        let status = Arc::new(StatusTable::default());
        let host = Host::new(services.clone(), status.clone(), BTreeMap::new());

        let parameters = vec![Attribute::new("signal", Value::Text("KILL".into()))];
        let kill = Action { kind: "process.signal".into(), target: pid.to_string(), parameters };
        let ground = host.ground("process.stuck", &[kill]);
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(ground.targets, set(&["process.stuck", &pid.to_string(), "web"]));
        assert_eq!(ground.requires, set(&["db.service"]));
        assert_eq!(ground.irreversible.len(), 1, "{:?}", ground.irreversible);
        assert_eq!((ground.falling, ground.leans), (None, false));

        // What it needs is going down.
        let (name, active_state) = ("db.service".to_owned(), ActiveState::Deactivating);
        assert!(status.put(ServiceStatus { name, active_state, ..started }));
        let ground = host.ground("web", &[]);
        assert_eq!((ground.falling.as_deref(), ground.leans), (Some("db.service"), true));
        assert_eq!(host.ground("other", &[]).falling, None);

        // A number is a process only where the action is about one.
        let restart = Action { kind: "service.restart".into(), target: pid.to_string(), parameters: vec![] };
        assert!(!host.ground("x", &[restart]).targets.contains("web"));
        services.act(Verb::Stop, "web").await.unwrap();
    }
}
