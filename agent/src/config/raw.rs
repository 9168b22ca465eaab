//! The files as they are written: every key, nothing checked beyond its type. Unknown keys are errors.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::containers::Containers;
use super::files::File;
use super::limits::Table as Limits;
use super::log::Log;
use super::metrics::Metrics;
use super::notify::Notify;
use super::probe::Probe;
use super::trust::Trust;
use super::{Budget, Mode, ParameterType, budget, duration, number, size};
use crate::incident::ledger::RESERVE;
use crate::signal::Keep;

/// `salve.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct Agent {
    pub plugins: PathBuf,
    pub policies: PathBuf,
    pub state: PathBuf,
    pub agent: AgentTable,
    pub collect: Collect,
    pub services: BTreeMap<String, Spanned<Service>>,
    pub commands: BTreeMap<String, Spanned<Command>>,
    pub containers: Containers,
    pub files: BTreeMap<String, File>,
    pub maintenance: BTreeMap<String, Spanned<Maintenance>>,
    pub notify: BTreeMap<String, Spanned<Notify>>,
    pub probes: BTreeMap<String, Spanned<Probe>>,
    pub metrics: BTreeMap<String, Spanned<Metrics>>,
    pub logs: BTreeMap<String, Spanned<Log>>,
    pub api: Api,
    pub ledger: Ledger,
}

impl Default for Agent {
    fn default() -> Self {
        Self {
            plugins: "/var/lib/salve/plugins".into(),
            policies: "/etc/salve/policies.d".into(),
            state: "/var/lib/salve".into(),
            agent: AgentTable::default(),
            collect: Collect::default(),
            services: BTreeMap::new(),
            commands: BTreeMap::new(),
            containers: Containers::default(),
            files: BTreeMap::new(),
            maintenance: BTreeMap::new(),
            notify: BTreeMap::new(),
            probes: BTreeMap::new(),
            metrics: BTreeMap::new(),
            logs: BTreeMap::new(),
            api: Api::default(),
            ledger: Ledger::default(),
        }
    }
}

/// `[agent]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct AgentTable {
    pub mode: Mode,
    pub compiler: Option<PathBuf>,
    #[serde(deserialize_with = "budget::read_some")]
    pub budget: Option<Budget>,
    #[serde(deserialize_with = "budget::read_some")]
    pub budget_per_target: Option<Budget>,
    #[serde(deserialize_with = "number::at_least_one")]
    pub max_plans: Option<u32>,
    pub breaker: Breaker,
    #[serde(deserialize_with = "budget::read_some")]
    pub max_reboots: Option<Budget>,
    pub limits: Limits,
    pub supervision: Supervision,
    pub upgrade: Upgrade,
    pub trust: Trust,
}

impl Default for AgentTable {
    fn default() -> Self {
        Self {
            mode: Mode::Auto,
            compiler: None,
            budget: None,
            budget_per_target: None,
            max_plans: None,
            breaker: Breaker::default(),
            max_reboots: None,
            limits: Limits::new(),
            supervision: Supervision::default(),
            upgrade: Upgrade::default(),
            trust: Trust::default(),
        }
    }
}

/// `[agent.supervision]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct Supervision {
    #[serde(deserialize_with = "budget::read_some")]
    pub strikes: Option<Budget>,
    pub backoff: Option<Spanned<Backoff>>,
}

/// `[agent.upgrade]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct Upgrade {
    #[serde(deserialize_with = "duration::read_some")]
    pub shadow: Option<Duration>,
    #[serde(deserialize_with = "number::at_least_one")]
    pub batches: Option<u32>,
    pub differences: Option<usize>,
}

/// `breaker = { … }`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct Breaker {
    #[serde(deserialize_with = "number::at_least_one")]
    pub incidents: Option<u32>,
    #[serde(deserialize_with = "number::at_least_one")]
    pub actions: Option<u32>,
    #[serde(deserialize_with = "duration::read_positive")]
    pub within: Option<Duration>,
}

/// `[collect]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct Collect {
    #[serde(deserialize_with = "duration::read")]
    pub interval: Duration,
    #[serde(deserialize_with = "size::read")]
    pub history: u64,
    #[serde(deserialize_with = "duration::read")]
    pub history_full: Duration,
    #[serde(deserialize_with = "duration::read")]
    pub history_minutes: Duration,
}

impl Default for Collect {
    fn default() -> Self {
        let Keep { budget, full, minutes } = Keep::default();
        Self { interval: Duration::from_secs(1), history: budget as u64, history_full: full, history_minutes: minutes }
    }
}

/// `[api]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct Api {
    pub socket: PathBuf,
}

impl Default for Api {
    fn default() -> Self {
        Self { socket: "/run/salve/salve.sock".into() }
    }
}

/// `[ledger]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct Ledger {
    #[serde(deserialize_with = "duration::read")]
    pub keep: Duration,
    pub max_incidents: u64,
    #[serde(deserialize_with = "size::read")]
    pub reserve: u64,
}

impl Default for Ledger {
    fn default() -> Self {
        Self { keep: Duration::from_secs(400 * 24 * 3600), max_incidents: 1_000_000, reserve: RESERVE }
    }
}

/// Who manages a service that `[services.NAME]` describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Manager {
    Command,
}

/// `[services.NAME]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Service {
    #[expect(dead_code, reason = "the one manager that takes an entry; its presence is what is checked")]
    pub manager: Manager,
    pub start: Spanned<Vec<String>>,
    pub stop: Option<Spanned<Vec<String>>>,
    pub reload: Option<Spanned<Vec<String>>>,
    pub status: Option<Spanned<Vec<String>>>,
    pub pidfile: Option<PathBuf>,
    #[serde(default)]
    pub autostart: bool,
    #[serde(default, deserialize_with = "duration::read_some")]
    pub start_timeout: Option<Duration>,
    #[serde(default, deserialize_with = "duration::read_some")]
    pub stop_timeout: Option<Duration>,
    pub directory: Option<PathBuf>,
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    pub output: Option<PathBuf>,
    #[serde(default)]
    pub requires: Vec<Spanned<String>>,
}

/// `[maintenance.NAME]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct Maintenance {
    pub days: Option<Spanned<Vec<Spanned<String>>>>,
    pub from: Option<Spanned<toml::Value>>,
    pub to: Option<Spanned<toml::Value>>,
    pub zone: Option<Spanned<String>>,
    pub start: Option<Spanned<toml::Value>>,
    pub end: Option<Spanned<toml::Value>>,
    pub targets: Option<Spanned<Vec<String>>>,
    pub policies: Option<Spanned<Vec<String>>>,
}

/// `[commands.NAME]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Command {
    pub argv: Spanned<Vec<String>>,
    #[serde(default)]
    pub parameters: BTreeMap<String, Spanned<ParameterType>>,
    pub user: Option<String>,
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    pub directory: Option<PathBuf>,
    #[serde(default, deserialize_with = "duration::read_some")]
    pub timeout: Option<Duration>,
    pub output: Option<usize>,
    #[serde(default)]
    pub repeatable: bool,
}

/// A policy.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Policy {
    pub plugin: Spanned<String>,
    pub sha256: Option<Spanned<String>>,
    #[serde(default)]
    pub mode: Mode,
    #[serde(default, deserialize_with = "number::up_to_100")]
    pub priority: Option<i32>,
    #[serde(default)]
    pub collect: Vec<Spanned<String>>,
    #[serde(default)]
    pub config: toml::Table,
    #[serde(default)]
    pub grant: Grant,
    #[serde(default)]
    pub guard: Guard,
    #[serde(default)]
    pub limits: Limits,
}

/// `[grant]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct Grant {
    pub actions: Vec<Spanned<String>>,
    pub read: Vec<Spanned<String>>,
    pub explains: Vec<String>,
    pub unattended: bool,
}

/// `[guard]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct Guard {
    #[serde(deserialize_with = "number::at_least_one")]
    pub attempts: Option<u32>,
    #[serde(deserialize_with = "duration::read_some")]
    pub cooldown: Option<Duration>,
    pub backoff: Option<Spanned<Backoff>>,
    #[serde(deserialize_with = "duration::read_some")]
    pub collect_timeout: Option<Duration>,
    #[serde(deserialize_with = "budget::read_some")]
    pub budget: Option<Budget>,
    #[serde(deserialize_with = "budget::read_some")]
    pub budget_per_target: Option<Budget>,
    #[serde(deserialize_with = "duration::read_or_never")]
    pub retry_escalated: Option<Option<Duration>>,
    #[serde(deserialize_with = "duration::read_positive")]
    pub approval_ttl: Option<Duration>,
    pub flapping: Option<Spanned<Flapping>>,
    pub unrecorded: bool,
}

/// `flapping = { … }`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct Flapping {
    pub enabled: Option<bool>,
    pub start: Option<f64>,
    pub stop: Option<f64>,
    #[serde(deserialize_with = "duration::read_positive")]
    pub every: Option<Duration>,
}

/// `backoff = { … }`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct Backoff {
    #[serde(deserialize_with = "duration::read_some")]
    pub initial: Option<Duration>,
    pub factor: Option<f64>,
    #[serde(deserialize_with = "duration::read_some")]
    pub max: Option<Duration>,
    #[serde(deserialize_with = "duration::read_some")]
    pub reset_after: Option<Duration>,
}
