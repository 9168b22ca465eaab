use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use salve_plugin_sdk::diagnose::{Condition, FaultTree, Observed, Truth};
use salve_plugin_sdk::{prelude::*, state};

use crate::config::Config;
use crate::incidents::Incidents;
use crate::root::Root;

/// How many consequences are told: a fault has room for 64 pieces of evidence.
const MAX_CONSEQUENCES: usize = 60;

/// A top.
pub struct Watched {
    pub gate: String,
    pub kind: String,
    /// The events that may bring it about.
    below: Vec<String>,
    /// The target of the fault while it is raised.
    pub raised: Option<String>,
    fault: Option<Fault>,
    /// Since when it is known not to hold.
    pub gone: Option<Duration>,
}

/// What a top is judged by.
pub struct Context<'a> {
    pub tree: &'a FaultTree,
    pub observed: Observed,
    pub config: &'a Config,
    pub incidents: &'a Incidents,
    pub echoes: &'a BTreeMap<String, Duration>,
    pub now: Duration,
}

impl Watched {
    /// The tops of a tree, with what was raised before a restart.
    pub fn all(tree: &FaultTree, config: &Config) -> Result<Vec<Self>, String> {
        for (gate, top) in &config.top {
            tree.require(gate).map_err(|error| format!("top.`{gate}`: {error}"))?;
            if top.target.as_deref() == Some("") {
                return Err(format!("top.`{gate}`: `target` is empty; leave it out, and it is the gate's name"));
            }
        }
        let mut kept: BTreeMap<String, String> = state::get(crate::KEY).unwrap_or_default();
        let gates: BTreeSet<&str> = tree.tops().chain(config.top.keys().map(String::as_str)).collect();
        let mut tops: Vec<Self> = Vec::new();
        for gate in gates {
            let kind = format!("{}{}", crate::KIND, slug(gate));
            if let Some(same) = tops.iter().find(|top| top.kind == kind) {
                return Err(format!(
                    "the gates `{}` and `{gate}` would both raise `{kind}`; name one differently",
                    same.gate
                ));
            }
            let below =
                tree.importance(gate, &Observed::new()).into_iter().map(|(event, _)| event.to_owned()).collect();
            let raised = kept.remove(gate);
            tops.push(Self { gate: gate.to_owned(), kind, below, raised, fault: None, gone: None });
        }
        Ok(tops)
    }

    pub fn judge(&mut self, context: &Context<'_>, findings: &mut Vec<Finding>) {
        match context.tree.truth(&self.gate, &context.observed) {
            Some(Truth::True) => self.holds(context, findings),
            Some(Truth::False) => {
                self.gone.get_or_insert(context.now);
                self.clear(findings);
            }
            // What is known stands.
            Some(Truth::Unknown) | None => {}
        }
    }

    fn holds(&mut self, context: &Context<'_>, findings: &mut Vec<Finding>) {
        self.gone = None;
        let roots = Root::all(context.tree, &self.gate, &context.observed);
        let known = context.config.top.get(&self.gate);
        let without = known.and_then(|top| top.target.clone()).unwrap_or_else(|| self.gate.clone());
        let target_of = |root: &Root| root.target().unwrap_or(&without).to_owned();
        // The cause stays what it was as long as it is one: what comes on top of it is no better.
        let same = roots.iter().find(|root| self.raised.as_deref() == Some(&target_of(root)));
        let is_busy = |root: &&Root| {
            let since = context.echoes.get(&target_of(root));
            since.is_some_and(|since| context.now.saturating_sub(*since) < *context.config.deadline)
        };
        let Some(root) = same.or_else(|| roots.iter().find(|root| !is_busy(root))) else { return };
        let target = target_of(root);
        if self.raised.as_ref() != Some(&target) {
            self.clear(findings);
        }
        let fault = self.fault(&target, root, context);
        if self.fault.as_ref() != Some(&fault) {
            findings.push(fault.clone().present());
        }
        (self.raised, self.fault) = (Some(target), Some(fault));
    }

    fn clear(&mut self, findings: &mut Vec<Finding>) {
        self.fault = None;
        findings.extend(self.raised.take().map(|target| Fault::new(&self.kind, target).cleared()));
    }

    fn fault(&self, target: &str, root: &Root, context: &Context<'_>) -> Fault {
        let known = context.config.top.get(&self.gate);
        let severity = known.map_or(Severity::Error, |top| top.severity);
        let fault = Fault::new(&self.kind, target)
            .severity(severity)
            .summary(format!("{}: {}", self.gate, root.cause.summary))
            .evidence("root-cause.top", self.gate.as_str())
            .evidence("root-cause.cause", root.cause.summary.as_str());
        let told = known.into_iter().flat_map(|top| top.consequences.iter().map(String::as_str));
        let below = self.below.iter().filter(|event| !root.events.contains(event));
        let seen = below.filter_map(|event| match &context.tree.event(event)?.when {
            Some(Condition::Incident(incident)) => Some(context.incidents.targets(&incident.kind, &incident.target)),
            _ => None,
        });
        let consequences: BTreeSet<&str> = told.chain(seen.flatten()).filter(|it| *it != target).collect();
        let consequences = consequences.into_iter().take(MAX_CONSEQUENCES);
        consequences.fold(fault, |fault, it| fault.evidence("fault.consequence", it))
    }
}

/// A gate's name as a part of a kind.
fn slug(gate: &str) -> String {
    let kept = |it: char| if it.is_alphanumeric() || "-_.".contains(it) { it } else { '-' };
    gate.trim().chars().map(kept).collect()
}
