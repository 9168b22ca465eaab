//! The files as they are written: every key, nothing checked beyond its type. Unknown keys are errors.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::{Mode, duration, size};
use crate::incident::ledger::RESERVE;

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
}

impl Default for AgentTable {
    fn default() -> Self {
        Self { mode: Mode::Auto }
    }
}

/// `[collect]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct Collect {
    #[serde(deserialize_with = "duration::read")]
    pub interval: Duration,
}

impl Default for Collect {
    fn default() -> Self {
        Self { interval: Duration::from_secs(1) }
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
}

/// A policy.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Policy {
    pub plugin: Spanned<String>,
    pub sha256: Option<Spanned<String>>,
    #[serde(default)]
    pub mode: Mode,
    #[serde(default)]
    pub config: toml::Table,
    #[serde(default)]
    pub grant: Grant,
    #[serde(default)]
    pub guard: Guard,
}

/// `[grant]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct Grant {
    pub actions: Vec<Spanned<String>>,
    pub read: Vec<Spanned<String>>,
}

/// `[guard]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct Guard {
    pub attempts: Option<u32>,
    #[serde(deserialize_with = "duration::read_some")]
    pub cooldown: Option<Duration>,
    pub backoff: Option<Spanned<Backoff>>,
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
