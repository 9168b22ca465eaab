//! Finds the cause of several faults by a fault tree, heals it, and holds back its consequences.
//!
//! **Sees** what the tree's basic events are about: the open incidents of other policies, metrics, events and services.
//! **Decides**: when a top of the tree holds, `root-cause.TOP` at what the most likely cause's remedy is for (else at the
//! top's `target`), with the ways in which it may have come about as causes, the most likely first. Only a way all of whose
//! events were observed is acted on. **Does** the remedy of the cause, then those of other observed ways, then a person is
//! asked. It worked when the top has not held for `calm`.
//!
//! Incidents that the tree names and that are not in the cause are its consequences, and so are the `consequences` of the
//! top: while the fault is open, other policies' incidents there wait, if this policy's `[grant] explains` lists them.
//!
//! ```toml
//! [config]
//! settle = "2s"                                       # the defaults
//! calm = "5s"
//! deadline = "1m"
//!
//! [config.event."the database is down"]
//! when.service = { name = "postgresql.service" }      # or when.incident, when.metric, when.event
//! probability = 0.001
//! remedy = "service.restart:postgresql.service"       # default: none
//!
//! [config.event."the shop answers errors"]
//! when.incident = { kind = "probe.*", target = "shop" }
//!
//! [config.tree."the shop is down"]                    # any, all, at-least and of, not
//! any = ["the database is down"]
//!
//! [config.top."the shop is down"]                     # may be left out
//! consequences = ["shop.service"]
//! severity = "error"
//! target = "shop"                                     # default: the gate's name
//! ```

mod config;
mod incidents;
mod root;
mod top;

use std::collections::BTreeMap;
use std::time::Duration;

use salve_plugin_sdk::diagnose::{FaultTree, Observer, TreeConfig};
use salve_plugin_sdk::{log, prelude::*, state};

pub use config::{Config, Top};
use incidents::Incidents;
use root::Root;
use top::{Context, Watched};

/// What the kinds of this plugin's faults begin with.
const KIND: &str = "root-cause.";
/// Where it is kept which tops hold, and at which targets.
const KEY: &str = "raised";
/// How often it is looked whether something is no longer so because it is long ago.
const EVERY: Duration = Duration::from_secs(10);
/// How many causes are told.
const MAX_CAUSES: usize = 5;
/// How many subjects that somebody acts on are kept track of.
const MAX_ECHOES: usize = 256;

/// The plugin: its tree, what was observed, and what is raised.
pub struct RootCause {
    config: Config,
    /// There is none without a configuration.
    tree: Option<FaultTree>,
    observer: Option<Observer>,
    tops: Vec<Watched>,
    incidents: Incidents,
    /// What somebody acts on just now, and since when: what is seen there is not yet a fault.
    echoes: BTreeMap<String, Duration>,
    now: Duration,
}

impl Remediator for RootCause {
    type Config = Config;

    fn wants() -> Vec<String> {
        ["service.restart:*", "service.start:*", "command.run:*"].map(String::from).to_vec()
    }

    fn configure(config: Config) -> Result<(Self, Subscription), String> {
        for (name, event) in &config.event {
            if let Some(Err(error)) = event.remedy.as_deref().map(str::parse::<salve_plugin_sdk::Action>) {
                return Err(format!("event `{name}`: remedy: {error}"));
            }
        }
        let (mut tree, mut observer, mut tops) = (None, None, Vec::new());
        let mut subscription = Subscription::new();
        if !(config.event.is_empty() && config.tree.is_empty() && config.top.is_empty()) {
            let made = FaultTree::new(TreeConfig { event: config.event.clone(), tree: config.tree.clone() });
            let made = made.map_err(|error| error.to_string())?;
            tops = Watched::all(&made, &config)?;
            let watch = Observer::new(&made);
            subscription = watch.subscribe(subscription).event("incident.state").every(EVERY);
            (tree, observer) = (Some(made), Some(watch));
        }
        let (incidents, echoes, now) = (Incidents::default(), BTreeMap::new(), Duration::ZERO);
        Ok((Self { config, tree, observer, tops, incidents, echoes, now }, subscription))
    }

    fn detect(&mut self, batch: &Batch<'_>) -> Vec<Finding> {
        let (Some(tree), Some(observer)) = (&self.tree, &mut self.observer) else { return vec![] };
        self.now = self.now.max(batch.at());
        self.incidents.take(batch);
        observer.batch(batch);
        observer.incidents(self.incidents.all());
        hear(&mut self.echoes, batch, self.now);
        let context = Context {
            tree,
            observed: observer.observed(),
            config: &self.config,
            incidents: &self.incidents,
            echoes: &self.echoes,
            now: self.now,
        };
        let mut findings = Vec::new();
        let before: Vec<Option<String>> = self.tops.iter().map(|top| top.raised.clone()).collect();
        for top in &mut self.tops {
            top.judge(&context, &mut findings);
        }
        if self.tops.iter().map(|top| &top.raised).ne(&before) {
            self.save();
        }
        findings
    }

    fn diagnose(&mut self, incident: &Incident) -> Vec<Cause> {
        let (Some(tree), Some(observer)) = (&self.tree, &self.observer) else { return vec![] };
        let Some(top) = self.tops.iter().find(|top| top.kind == incident.fault.kind) else { return vec![] };
        let observed = observer.observed();
        let mut causes = tree.causes(&top.gate, &observed);
        // What is acted on comes first.
        let roots = Root::all(tree, &top.gate, &observed);
        if let Some(root) = root_at(&roots, &incident.fault.target) {
            causes.retain(|cause| *cause != root.cause);
            causes.insert(0, root.cause.clone());
        }
        causes.truncate(MAX_CAUSES);
        causes
    }

    fn recover(&mut self, incident: &Incident) -> Recovery {
        let fault = &incident.fault;
        let (Some(tree), Some(observer)) = (&self.tree, &self.observer) else {
            return Recovery::escalate("there is no fault tree any more");
        };
        let Some(top) = self.tops.iter().find(|top| top.kind == fault.kind) else {
            return Recovery::escalate(format!("no top raises `{}` any more", fault.kind));
        };
        let mut roots = Root::all(tree, &top.gate, &observer.observed());
        let is_there = top.raised.as_deref() == Some(&fault.target) && !roots.is_empty();
        if !is_there && incident.age() < *self.config.deadline {
            // It is gone, or has another cause, or nobody knows yet.
            return Recovery::wait(*self.config.settle);
        }
        roots.sort_by_key(|root| root.target() != Some(&fault.target));
        let mut ladder = Ladder::new();
        let mut plans: Vec<Plan> = Vec::new();
        for root in roots.into_iter().filter(|root| !root.remedies.is_empty()) {
            let plan = Plan::new(root.remedies).settle(*self.config.settle).deadline(*self.config.deadline);
            if !plans.contains(&plan) {
                plans.push(plan.clone());
                ladder = ladder.then(plan);
            }
        }
        ladder.recover(incident)
    }

    fn verify(&mut self, incident: &Incident) -> Verdict {
        let fault = &incident.fault;
        let Some(top) = self.tops.iter().find(|top| top.kind == fault.kind) else { return Verdict::Undecided };
        let ended = incident.last_action_ended().unwrap_or_default();
        let now = self.now.max(incident.at());
        match (&top.raised, top.gone, incident.attempts.last()) {
            (Some(target), ..) if *target != fault.target => Verdict::Healthy,
            // Until the deadline the remedy may still take effect.
            (Some(_), _, Some(last)) if last.verdict.is_none() && last.outcomes.iter().all(|outcome| outcome.ok) => {
                Verdict::Undecided
            }
            // Before the first batch it is known only that it was so.
            (Some(_), ..) if self.now == Duration::ZERO => Verdict::Undecided,
            (Some(_), ..) => Verdict::Unhealthy(fault.summary.clone()),
            (None, Some(gone), _) if now.saturating_sub(gone.max(ended)) >= *self.config.calm => Verdict::Healthy,
            (None, ..) => Verdict::Undecided,
        }
    }
}

impl RootCause {
    fn save(&self) {
        let raised: BTreeMap<&str, &String> =
            self.tops.iter().filter_map(|top| Some((top.gate.as_str(), top.raised.as_ref()?))).collect();
        if let Err(error) = state::set(KEY, &raised) {
            log::warn!("what is raised is forgotten at the next restart: {error}");
        }
    }
}

/// The root that a fault at this target was raised for.
fn root_at<'a>(roots: &'a [Root], target: &str) -> Option<&'a Root> {
    roots.iter().find(|root| root.target() == Some(target)).or(roots.first())
}

/// Takes down what somebody acts on.
fn hear(echoes: &mut BTreeMap<String, Duration>, batch: &Batch<'_>, now: Duration) {
    for event in batch.events() {
        if event.caused_by.is_none() {
            echoes.remove(&event.subject);
        } else if echoes.len() < MAX_ECHOES || echoes.contains_key(&event.subject) {
            echoes.insert(event.subject.clone(), now);
        }
    }
}

salve_plugin_sdk::export!(RootCause);
