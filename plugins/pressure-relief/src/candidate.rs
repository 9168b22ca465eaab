use salve_plugin_sdk::{matches, prelude::*};

use crate::consumer::Consumer;

/// Whom to act on, and how.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Candidate {
    /// Units; `*` stands for any text.
    pub service: Option<String>,
    /// Processes, by their executable.
    pub process: Option<String>,
    /// Containers, by name.
    pub container: Option<String>,
    /// What is done.
    pub action: Deed,
    /// Whether it comes before those that are not preferred.
    #[serde(default)]
    pub prefer: bool,
    /// `process.signal` sends TERM, and KILL after this; never by default.
    pub kill_after: Option<HumanDuration>,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Deed {
    /// Restarts the unit; of a process, the one it belongs to.
    #[serde(rename = "service.restart")]
    RestartService,
    /// Stops it.
    #[serde(rename = "service.stop")]
    StopService,
    /// Ends the process; of a unit, its largest one.
    #[serde(rename = "process.signal")]
    Signal,
    /// Restarts the container.
    #[serde(rename = "container.restart")]
    RestartContainer,
    /// Stops it.
    #[serde(rename = "container.stop")]
    StopContainer,
}

impl Candidate {
    /// What cannot be meant.
    pub fn check(&self) -> Result<(), String> {
        let named = [&self.service, &self.process, &self.container].into_iter().flatten().count();
        if named != 1 {
            return Err("candidates: each is one of `service`, `process` or `container`".into());
        }
        let of_container = matches!(self.action, Deed::RestartContainer | Deed::StopContainer);
        if of_container != self.container.is_some() {
            return Err("candidates: container.* is for containers, service.* and process.signal for the others".into());
        }
        if self.kill_after.is_some() && self.action != Deed::Signal {
            return Err("candidates: `kill-after` belongs to process.signal".into());
        }
        Ok(())
    }

    /// The attribute by which its samples are told, and the pattern.
    pub fn selector(&self) -> Option<(&'static str, &str)> {
        let keyed = [
            ("service.name", &self.service),
            ("process.executable.name", &self.process),
            ("container.name", &self.container),
        ];
        keyed.into_iter().find_map(|(key, pattern)| Some((key, pattern.as_deref()?)))
    }

    /// Whether this is one of it.
    pub fn is(&self, consumer: &Consumer) -> bool {
        let is = |pattern: &Option<String>, name: &Option<String>| match (pattern, name) {
            (Some(pattern), Some(name)) => matches(pattern, name),
            _ => false,
        };
        is(&self.service, &consumer.unit)
            || is(&self.process, &consumer.name)
            || is(&self.container, &consumer.container)
    }

    /// What is done to one of it; `None` where that cannot be: a process without a unit is not restarted, and one of which it
    /// is not known when it started is not signalled, since it may be another one by now.
    pub fn action(&self, consumer: &Consumer) -> Option<Action> {
        match self.action {
            Deed::RestartService => consumer.unit.as_ref().map(Action::restart_service),
            Deed::StopService => consumer.unit.as_ref().map(Action::stop_service),
            Deed::RestartContainer => consumer.container.as_ref().map(|name| Action::new("container.restart", name)),
            Deed::StopContainer => consumer.container.as_ref().map(|name| Action::new("container.stop", name)),
            Deed::Signal => {
                let action = Action::signal_process(consumer.pid?, consumer.started?, "TERM");
                Some(self.kill_after.iter().fold(action, |action, grace| action.grace(**grace)))
            }
        }
    }
}
