//! Collectors: each turns one source of the host into signals. They know the router and nothing behind it.
//!
//! A collector is a task that looks at what is wanted ([`Demand`](super::Demand)) and reads no more than that; it takes the
//! host from a root path, tells its [`Health`], and goes on where the host lacks something.

pub mod container;
pub mod exit;
pub mod file;
mod health;
pub mod host;
pub mod incident;
mod kept;
pub mod kernel;
pub mod log;
mod pace;
pub mod pressure;
pub mod probe;
pub mod process;
pub mod scrape;
pub mod service;
#[cfg(test)]
mod testing;
pub mod timer;
mod tls;
mod web;

pub use health::{Condition, Health, SourceView};

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::Router;
use crate::clock::Clock;
use crate::config::{EndpointSpec, ProbeSpec, WatchedFile};
use crate::container::Docker;
use log::{LogSpec, Places};
use probe::Probes;

/// What every collector works with.
#[derive(Debug, Clone)]
pub struct Context {
    /// Where signals go, and what is wanted.
    pub router: Arc<Router>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where it says how it does.
    pub health: Arc<Health>,
    /// The host's root directory: `/`, in tests another.
    pub root: PathBuf,
    /// How often what cannot be pushed is read.
    pub interval: Duration,
}

impl Context {
    /// A file of the host, by its path without the leading `/`.
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.root.join(path)
    }
}

/// What of the configuration collectors read.
#[derive(Debug)]
pub struct Sources {
    /// The Docker API.
    pub containers: Arc<Docker>,
    /// `[files.NAME]`.
    pub files: BTreeMap<String, WatchedFile>,
    /// `[probes.NAME]`.
    pub probes: BTreeMap<String, ProbeSpec>,
    /// `[metrics.NAME]`.
    pub endpoints: BTreeMap<String, EndpointSpec>,
    /// `[logs.NAME]`.
    pub logs: BTreeMap<String, LogSpec>,
    /// The agent's directory: collectors keep there how far they have read.
    pub state: PathBuf,
}

/// Collectors that run.
#[derive(Debug)]
pub struct Collectors {
    places: Arc<Places>,
}

impl Collectors {
    /// The agent stops: how far logs were read is written down.
    pub fn stop(&self) {
        self.places.save();
    }
}

/// Starts every collector, each as a task of its own that ends with the agent. Those of services belong to their managers.
pub fn start(context: &Context, sources: Sources) -> Collectors {
    let at = || context.clone();
    tokio::spawn(host::run(at()));
    tokio::spawn(pressure::run(at()));
    let births = Arc::new(process::Births::default());
    tokio::spawn(process::run(at(), births.clone()));
    tokio::spawn(exit::run(at(), births));
    tokio::spawn(kernel::run(at(), sources.state.join("kernel.cursor")));
    tokio::spawn(container::run(at(), sources.containers));
    tokio::spawn(timer::run(at()));
    tokio::spawn(file::run(at(), sources.files));
    let probes = Probes::new(at(), sources.probes);
    tokio::spawn(async move { probes.run().await });
    tokio::spawn(scrape::run(at(), sources.endpoints));
    let places = Arc::new(Places::open(&sources.state));
    tokio::spawn({
        let (context, places) = (at(), places.clone());
        async move { log::run(context, sources.logs, places, "journalctl").await }
    });
    Collectors { places }
}
