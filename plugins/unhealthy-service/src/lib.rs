//! Heals services that run and do not answer, or answer too slowly.
//!
//! **Sees** `probe.state` and `probe.duration` of the probes it is told of, and the `service.state` of the services that
//! answer them.
//! **Decides** `service.unhealthy` where a probe is down and `service.slow` (a warning) where its answers are beyond `slow`,
//! while the service itself runs and has done so for `warm-up`. A service that is down is left to `service-restart`, and one
//! that somebody stopped is left alone. A probe that could not be asked (`unknown`) says nothing.
//! **Does**: reload; restart; a person. It worked when every probe of the service is up again (by the probe's own `rise`).
//!
//! ```toml
//! [config]
//! reload = true           # the defaults
//! restarts = 1
//! warm-up = "30s"
//! settle = "2s"
//! deadline = "1m"         # until the probes are up again
//!
//! [config.probes.web]     # the agent's [probes.web]; none by default
//! service = "nginx.service"
//! slow = { above = 2.0, clear = 1.0, for = "1m" }     # seconds; default: never
//! ```

mod config;
mod probe;
mod service;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use salve_plugin_sdk::prelude::*;

pub use config::{Config, Watch};
use probe::Probe;
use service::{Service, Standing};

const UNHEALTHY: &str = "service.unhealthy";
const SLOW: &str = "service.slow";

/// How often it is looked whether a service has warmed up.
const LOOK: Duration = Duration::from_secs(5);

/// How often what lasts is told again, with what it is like by then.
const AGAIN: Duration = Duration::from_secs(60);

/// The plugin: its configuration, and what it knows of probes and services.
pub struct UnhealthyService {
    config: Config,
    probes: Vec<Probe>,
    services: BTreeMap<String, Service>,
    /// The probes that were last told to be bad, and when, by service and kind.
    told: BTreeMap<(String, &'static str), (Vec<String>, Duration)>,
    at: Duration,
}

impl Remediator for UnhealthyService {
    type Config = Config;

    fn wants() -> Vec<String> {
        ["service.reload:*", "service.restart:*"].map(String::from).to_vec()
    }

    fn configure(config: Config) -> Result<(Self, Subscription), String> {
        let mut subscription = Subscription::new();
        let services: BTreeSet<&String> = config.probes.values().map(|watch| &watch.service).collect();
        for service in services {
            subscription = subscription.service(service);
        }
        for (name, watch) in &config.probes {
            if watch.service.contains('*') {
                return Err(format!("probes.{name}: `{}` is a pattern; name the one service", watch.service));
            }
            subscription = subscription.event_where("probe.state", [("subject", name.as_str().into())]);
            if watch.slow.is_some() {
                subscription = subscription.metric_where("probe.duration", [("probe.name", name.as_str().into())]);
            }
        }
        if !config.probes.is_empty() {
            subscription = subscription.every(LOOK);
        }
        let probes = config.probes.iter().map(|(name, watch)| Probe::new(name, &watch.service, watch.slow)).collect();
        let (services, told, at) = (BTreeMap::new(), BTreeMap::new(), Duration::ZERO);
        Ok((Self { config, probes, services, told, at }, subscription))
    }

    fn detect(&mut self, batch: &Batch<'_>) -> Vec<Finding> {
        self.at = batch.at();
        for event in batch.events_named("service.state") {
            self.services.insert(event.subject.clone(), Service::from_event(event));
        }
        for probe in &mut self.probes {
            let last = batch.events_named("probe.state").filter(|event| event.subject == probe.name).last();
            if let Some(event) = last {
                probe.take(event);
            }
            if let Some(seconds) = batch.value("probe.duration", &[("probe.name", &probe.name)]) {
                probe.took(self.at, seconds);
            }
        }
        let services: BTreeSet<String> = self.probes.iter().map(|probe| probe.service.clone()).collect();
        let kinds = |name: String| [UNHEALTHY, SLOW].map(|kind| (name.clone(), kind));
        services.into_iter().flat_map(kinds).filter_map(|(name, kind)| self.judge(name, kind)).collect()
    }

    fn diagnose(&mut self, incident: &Incident) -> Vec<Cause> {
        let Fault { kind, target, .. } = &incident.fault;
        let mut causes: Vec<Cause> = self.bad(target, kind).map(|probe| probe.cause(kind)).collect();
        causes.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
        causes
    }

    fn recover(&mut self, incident: &Incident) -> Recovery {
        let name = &incident.fault.target;
        // One that is down is brought back by another plugin, or was stopped: until it runs again there is nothing to do.
        // One that was left down by an attempt is this plugin's business still.
        match self.standing(name) {
            Standing::Ready => {}
            Standing::Down if !incident.attempts_in_round().is_empty() => {}
            _ => return Recovery::wait(LOOK),
        }
        let plan = |action| Plan::new([action]).settle(*self.config.settle).deadline(*self.config.deadline);
        Ladder::new()
            .then_if(self.config.reload, plan(Action::reload_service(name)))
            .then(Rung::new(plan(Action::restart_service(name))).attempts(self.config.restarts))
            .escalate(|incident| {
                let how = self.words(name, &incident.fault.kind).unwrap_or_else(|| incident.fault.summary.clone());
                match incident.attempts_in_round().len() {
                    0 => how,
                    1 => format!("{how}, also after an attempt"),
                    tried => format!("{how}, also after {tried} attempts"),
                }
            })
            .recover(incident)
    }

    fn verify(&mut self, incident: &Incident) -> Verdict {
        let Fault { kind, target, .. } = &incident.fault;
        let last = incident.attempts.last();
        let was_done =
            last.is_some_and(|last| last.verdict.is_none() && last.outcomes.iter().all(|outcome| outcome.ok));
        match self.standing(target) {
            Standing::Stopped => return Verdict::Healthy,
            Standing::Unknown => return Verdict::Undecided,
            // Our own doing, or somebody else's: in any case it does not answer.
            Standing::Down => return Verdict::Unhealthy(format!("{target} is {}", self.state_of(target))),
            Standing::Moving | Standing::Ready => {}
        }
        match self.is_bad(target, kind) {
            // A probe that was up all the time, or is up again; slowness must have been measured since.
            Some(false) if kind == SLOW && !self.is_measured(incident) => Verdict::Undecided,
            Some(false) => Verdict::Healthy,
            // Until the deadline it may still rise.
            Some(true) if was_done => Verdict::Undecided,
            Some(true) => Verdict::Unhealthy(self.words(target, kind).unwrap_or_default()),
            None => Verdict::Undecided,
        }
    }
}

impl UnhealthyService {
    fn of<'a>(&'a self, service: &'a str) -> impl Iterator<Item = &'a Probe> {
        self.probes.iter().filter(move |probe| probe.service == service)
    }

    /// The probes that say so.
    fn bad<'a>(&'a self, service: &'a str, kind: &'a str) -> impl Iterator<Item = &'a Probe> {
        self.of(service).filter(move |probe| says(probe, kind) == Some(true))
    }

    /// Whether one of its probes says so; `None` while that is not known.
    fn is_bad(&self, service: &str, kind: &str) -> Option<bool> {
        if self.bad(service, kind).next().is_some() {
            return Some(true);
        }
        self.of(service).map(|probe| says(probe, kind)).try_fold(false, |_, said| said)
    }

    fn is_measured(&self, incident: &Incident) -> bool {
        let ended = incident.last_action_ended().unwrap_or_default();
        self.of(&incident.fault.target).all(|probe| probe.told().is_none_or(|told| told > ended))
    }

    fn standing(&self, service: &str) -> Standing {
        let known = self.services.get(service);
        known.map_or(Standing::Unknown, |service| service.standing(self.at, *self.config.warm_up))
    }

    fn state_of(&self, service: &str) -> &str {
        self.services.get(service).map_or("unknown", Service::state)
    }

    fn words(&self, service: &str, kind: &str) -> Option<String> {
        let said: Vec<String> = self.bad(service, kind).map(Probe::summary).collect();
        (!said.is_empty()).then(|| format!("{service} runs, but {}", said.join("; ")))
    }

    /// What there is to say of a service. While it moves or is down, what was said stands and nothing new is.
    fn judge(&mut self, name: String, kind: &'static str) -> Option<Finding> {
        let bad: Vec<String> = match (self.standing(&name), self.is_bad(&name, kind)) {
            (Standing::Stopped, _) | (_, Some(false)) => vec![],
            // What does not answer at all is not slow, and not quick again either.
            (Standing::Ready, Some(true)) if kind == SLOW && self.is_bad(&name, UNHEALTHY) == Some(true) => {
                return None;
            }
            (Standing::Ready, Some(true)) => self.bad(&name, kind).map(|probe| probe.name.clone()).collect(),
            _ => return None,
        };
        let key = (name, kind);
        let is_told = |(before, when): &(Vec<String>, Duration)| {
            *before == bad && (bad.is_empty() || self.at.abs_diff(*when) < AGAIN)
        };
        if self.told.get(&key).is_some_and(is_told) {
            return None;
        }
        let severity = if kind == SLOW { Severity::Warning } else { Severity::Error };
        let fault = Fault::new(kind, &key.0).severity(severity);
        let fault = self.words(&key.0, kind).into_iter().fold(fault, Fault::summary);
        let fault = bad.iter().fold(fault, |fault, probe| fault.evidence("probe.name", probe.as_str()));
        let found = fault.present_if(!bad.is_empty());
        self.told.insert(key, (bad, self.at));
        Some(found)
    }
}

/// What a probe says of a kind of fault.
fn says(probe: &Probe, kind: &str) -> Option<bool> {
    if kind == SLOW { probe.is_slow() } else { probe.is_down() }
}

salve_plugin_sdk::export!(UnhealthyService);
