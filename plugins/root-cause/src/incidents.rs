use std::collections::BTreeMap;

use salve_plugin_sdk::prelude::*;
use salve_plugin_sdk::{log, matches};

/// How many are kept track of; there is no host with as many.
const MAX_INCIDENTS: usize = 4096;

/// The open incidents of other policies, by id.
#[derive(Default)]
pub struct Incidents {
    open: BTreeMap<String, (String, String)>,
    is_full: bool,
}

impl Incidents {
    /// Takes in what a batch says of them. Those of this plugin are left out, or it would take its own word for a cause;
    /// and those that nobody looks after any more.
    pub fn take(&mut self, batch: &Batch<'_>) {
        for event in batch.events_named("incident.state") {
            let (Some(kind), Some(target)) = (event.text("incident.kind"), event.text("incident.target")) else {
                continue;
            };
            let is_over = matches!(event.text("incident.state"), None | Some("resolved" | "orphaned"));
            if is_over || kind.starts_with(super::KIND) {
                self.open.remove(&event.subject);
            } else if self.open.len() < MAX_INCIDENTS || self.open.contains_key(&event.subject) {
                self.open.insert(event.subject.clone(), (kind.to_owned(), target.to_owned()));
            } else if !std::mem::replace(&mut self.is_full, true) {
                log::warn!("more than {MAX_INCIDENTS} incidents are open; the others are not looked at");
            }
        }
    }

    /// Kind and target of each.
    pub fn all(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        self.open.values().map(|(kind, target)| (kind.as_str(), target.as_str()))
    }

    /// The targets of those whose kind and target match.
    pub fn targets<'a>(&'a self, kind: &'a str, target: &'a str) -> impl Iterator<Item = &'a str> {
        self.all().filter(move |it| matches(kind, it.0) && matches(target, it.1)).map(|(_, target)| target)
    }
}
