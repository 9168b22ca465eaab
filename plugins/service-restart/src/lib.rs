//! Brings services back that died, failed or hit their start limit; leaves those alone that were stopped on purpose.
//!
//! The ladder: restart; forget the failure and start; a person.

mod config;
mod observed;

use std::collections::BTreeMap;
use std::time::Duration;

use salve_plugin_sdk::prelude::*;

pub use config::Config;
use observed::{Observed, Standing};

/// The kind of every fault this plugin raises; its evidence says how the service went down.
const FAULT: &str = "service.down";

/// How long a manager that is already doing something about a service is left to it before the plugin looks again.
const MANAGERS_TURN: Duration = Duration::from_secs(1);

/// The plugin: its configuration and the last word on each service.
pub struct ServiceRestart {
    config: Config,
    services: BTreeMap<String, Observed>,
}

impl Remediator for ServiceRestart {
    type Config = Config;

    fn wants() -> Vec<String> {
        ["service.restart:*", "service.start:*", "service.reset-failed:*"].map(String::from).to_vec()
    }

    fn configure(config: Config) -> Result<(Self, Subscription), String> {
        let subscription = config.services.iter().fold(Subscription::new(), |all, name| all.service(name));
        Ok((Self { config, services: BTreeMap::new() }, subscription))
    }

    fn detect(&mut self, batch: &Batch<'_>) -> Vec<Finding> {
        let mut findings = Vec::new();
        for event in batch.events_named("service.state") {
            let observed = Observed::from_event(event);
            match observed.standing(self.config.ignore_clean_exit) {
                Standing::Down => findings.push(observed.fault(FAULT, &event.subject).present()),
                Standing::Up | Standing::StoppedOnPurpose => {
                    findings.push(Fault::new(FAULT, &event.subject).cleared());
                }
                Standing::Moving | Standing::Unknown => {}
            }
            self.services.insert(event.subject.clone(), observed);
        }
        findings
    }

    fn diagnose(&mut self, incident: &Incident) -> Vec<Cause> {
        self.services.get(&incident.fault.target).map(Observed::cause).into_iter().collect()
    }

    fn recover(&mut self, incident: &Incident) -> Recovery {
        let name = &incident.fault.target;
        // For a moment `failed` is all that shows of a service whose manager is about to restart it by itself.
        if self.services.get(name).is_some_and(|seen| seen.standing(self.config.ignore_clean_exit) == Standing::Moving)
        {
            return Recovery::wait(MANAGERS_TURN);
        }
        let start_limit_hit = self.services.get(name).is_some_and(Observed::hit_start_limit);
        Ladder::new()
            // systemd refuses a restart until the start limit is forgotten: that rung would only be lost time.
            .then_if(!start_limit_hit, self.plan([Action::restart_service(name)]))
            .then(self.plan([Action::reset_failed_service(name), Action::start_service(name)]))
            .escalate(|incident| match incident.attempts_in_round().len() {
                1 => format!("{name} is still down after an attempt"),
                tried => format!("{name} is still down after {tried} attempts"),
            })
            .recover(incident)
    }

    fn verify(&mut self, incident: &Incident) -> Verdict {
        let Some(observed) = self.services.get(&incident.fault.target) else { return Verdict::Undecided };
        match observed.standing(self.config.ignore_clean_exit) {
            Standing::Up => Verdict::Healthy,
            // Somebody stopped it while it was being healed: what they want is what is.
            Standing::StoppedOnPurpose => Verdict::Healthy,
            Standing::Moving | Standing::Unknown => Verdict::Undecided,
            // What the last action did may have changed that, and word of it be on its way.
            Standing::Down if incident.acted_since(observed.since()) => Verdict::Undecided,
            Standing::Down => Verdict::Unhealthy(observed.summary(&incident.fault.target)),
        }
    }
}

impl ServiceRestart {
    fn plan(&self, actions: impl IntoIterator<Item = Action>) -> Plan {
        Plan::new(actions).settle(*self.config.settle).deadline(*self.config.start_deadline)
    }
}

salve_plugin_sdk::export!(ServiceRestart);
