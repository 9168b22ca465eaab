use std::collections::{BTreeMap, BTreeSet};

use salve_plugin_sdk::{Sample, matches, prelude::*};

use crate::Config;

/// What can leak.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A unit, or a service of the agent's configuration.
    Service(String),
    /// Processes of this name that belong to no unit: nobody can restart them.
    Process(String),
    /// A container.
    Container(String),
}

impl Subject {
    /// Whose sample this is, and which member's of it.
    pub fn of(sample: &Sample<'_>, config: &Config) -> Option<(Self, String)> {
        let is_one_of = |patterns: &[String], name: &str| patterns.iter().any(|pattern| matches(pattern, name));
        if let Some(name) = sample.text("container.name") {
            let id = sample.text("container.id").unwrap_or_default();
            return is_one_of(&config.containers, name).then(|| (Self::Container(name.to_owned()), id.to_owned()));
        }
        let pid = sample.text("process.pid")?.to_owned();
        let unit = sample.text("service.name");
        // A process calls itself what it likes; what is no name for a target is not watched by it.
        let name = sample.text("process.executable.name").unwrap_or_default();
        let name = if name.chars().any(char::is_control) || name.len() > 200 { "" } else { name };
        match unit {
            Some(unit) if is_one_of(&config.services, unit) || is_one_of(&config.processes, name) => {
                Some((Self::Service(unit.to_owned()), pid))
            }
            None if !name.is_empty() && is_one_of(&config.processes, name) => {
                Some((Self::Process(name.to_owned()), pid))
            }
            _ => None,
        }
    }

    /// The target of its faults.
    pub fn target(&self) -> &str {
        match self {
            Self::Service(name) | Self::Process(name) | Self::Container(name) => name,
        }
    }

    /// Under which it is kept in the state.
    pub fn key(&self) -> String {
        let kind = match self {
            Self::Service(_) => "service",
            Self::Process(_) => "process",
            Self::Container(_) => "container",
        };
        format!("{kind}:{}", self.target())
    }

    /// Which one was kept under a key.
    pub fn from_key(key: &str) -> Option<Self> {
        let (kind, name) = key.split_once(':')?;
        match kind {
            "service" => Some(Self::Service(name.to_owned())),
            "process" => Some(Self::Process(name.to_owned())),
            "container" => Some(Self::Container(name.to_owned())),
            _ => None,
        }
    }

    /// What sets it going anew.
    pub fn restart(&self) -> Option<Action> {
        match self {
            Self::Service(name) => Some(Action::restart_service(name)),
            Self::Container(name) => Some(Action::new("container.restart", name)),
            Self::Process(_) => None,
        }
    }
}

/// What a batch says of one.
#[derive(Debug, Default)]
pub struct Use {
    memory: BTreeMap<String, f64>,
    cpu: BTreeMap<String, f64>,
    /// A container's own limit.
    pub limit: Option<f64>,
}

impl Use {
    /// Of each, from its samples; the latest of each member.
    pub fn of_all(batch: &Batch<'_>, config: &Config) -> BTreeMap<Subject, Self> {
        let mut all: BTreeMap<Subject, Self> = BTreeMap::new();
        for sample in batch.samples().filter(|sample| sample.value.is_finite() && sample.value >= 0.0) {
            let Some((subject, member)) = Subject::of(&sample, config) else { continue };
            let usage = all.entry(subject).or_default();
            match sample.metric {
                "process.memory.usage" | "container.memory.usage" => drop(usage.memory.insert(member, sample.value)),
                "process.cpu.utilization" | "container.cpu.usage" => drop(usage.cpu.insert(member, sample.value)),
                "container.memory.limit" => usage.limit = Some(sample.value).filter(|limit| *limit > 0.0),
                _ => {}
            }
        }
        all
    }

    /// Bytes of all members, if there are any.
    pub fn memory(&self) -> Option<f64> {
        (!self.memory.is_empty()).then(|| self.memory.values().sum())
    }

    /// CPUs in use by all members.
    pub fn cpu(&self) -> Option<f64> {
        (!self.cpu.is_empty()).then(|| self.cpu.values().sum())
    }

    /// Who they are.
    pub fn members(self) -> BTreeSet<String> {
        self.memory.into_keys().collect()
    }
}
