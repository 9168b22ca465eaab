//! Services that the agent runs itself, by the commands of their `[services.NAME]` entries: for hosts without systemd.
//!
//! The end of a process is pushed by the kernel (pidfd). Services survive the agent: they lead process groups of their
//! own, and the next agent finds them again by what `record.rs` says.

mod actor;
mod group;
mod identity;
mod process;
mod record;
mod run;
mod spec;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::{mpsc, oneshot, watch};

pub use actor::POLL_INTERVAL;
pub use spec::CommandSpec;

use self::actor::{Actor, Request};
use super::{Change, Report, ServiceError, ServiceStatus, Verb};

/// Actions that may wait for one service's turn; further callers wait to enqueue theirs.
const REQUESTS_QUEUED: usize = 8;

/// The services that the agent runs itself. Each has a task of its own that watches it and acts on it, so two actions
/// on one service never overlap.
pub struct CommandManager {
    state: PathBuf,
    report: Report,
    services: RwLock<BTreeMap<String, Handle>>,
}

/// Ends the service's task when dropped; the service itself runs on.
struct Handle {
    spec: watch::Sender<Arc<CommandSpec>>,
    status: watch::Receiver<ServiceStatus>,
    requests: mpsc::Sender<Request>,
}

impl CommandManager {
    /// A manager without services yet. `state` is the agent's state directory: below it, `services/NAME.pid` holds the
    /// process number of each service that runs. Every status that changes goes to `report`.
    pub fn new(state: impl Into<PathBuf>, report: Report) -> Self {
        Self { state: state.into(), report, services: RwLock::default() }
    }

    /// Takes over `specs`, by name; at start-up and whenever the configuration changed. A new service is adopted if it
    /// runs, else started if it says `autostart`, else reported as inactive. A changed one follows its new entry from
    /// the next action on; what runs is left running. One that is gone is no longer watched, and runs on.
    ///
    /// Names become file names: the configuration allows none with a slash. Needs a tokio runtime.
    pub fn configure(&self, specs: BTreeMap<String, CommandSpec>) {
        let mut services = self.services.write().unwrap_or_else(PoisonError::into_inner);
        services.retain(|name, _| specs.contains_key(name));
        for (name, spec) in specs {
            let spec = Arc::new(spec);
            match services.get(&name) {
                Some(service) if **service.spec.borrow() == *spec => (),
                Some(service) => {
                    service.spec.send_replace(spec);
                }
                None => {
                    let service = self.begin(&name, spec);
                    services.insert(name, service);
                }
            }
        }
    }

    fn begin(&self, name: &str, spec: Arc<CommandSpec>) -> Handle {
        let (spec, specs) = watch::channel(spec);
        let (requests, queue) = mpsc::channel(REQUESTS_QUEUED);
        let (actor, status) = Actor::new(name, &self.state, specs, self.report.clone());
        tokio::spawn(actor.run(queue));
        Handle { spec, status, requests }
    }

    /// Whether `name` is one of the services.
    pub fn owns(&self, name: &str) -> bool {
        self.services.read().unwrap_or_else(PoisonError::into_inner).contains_key(name)
    }

    /// The status of the service `name`, as last reported.
    pub fn status(&self, name: &str) -> Option<ServiceStatus> {
        let services = self.services.read().unwrap_or_else(PoisonError::into_inner);
        services.get(name).map(|service| service.status.borrow().clone())
    }

    /// What the entry of the service `name` requires; `None` if it has no entry.
    pub fn requires(&self, name: &str) -> Option<BTreeSet<String>> {
        let services = self.services.read().unwrap_or_else(PoisonError::into_inner);
        services.get(name).map(|service| service.spec.borrow().requires.clone())
    }

    /// The services that have a main process now, by its number.
    pub fn mains(&self) -> BTreeMap<u32, String> {
        let services = self.services.read().unwrap_or_else(PoisonError::into_inner);
        let main = |(name, service): (&String, &Handle)| Some((service.status.borrow().main_pid?, name.clone()));
        services.iter().filter_map(main).collect()
    }

    /// Does `verb` to the service `name`, once earlier actions on it are done. Starting what runs and stopping what
    /// does not changes nothing. Once begun, an action is finished even if the caller stops waiting. It takes at most
    /// twice `stop_timeout` + `start_timeout`, and 10 s for what resists SIGKILL.
    ///
    /// # Errors
    /// [`ServiceError::Unknown`]; [`ServiceError::Failed`] with the command and what the operating system says, or how
    /// it ended; [`ServiceError::Unsupported`] when the entry lacks the command for it.
    pub async fn act(&self, verb: Verb, name: &str) -> Result<Change, ServiceError> {
        let requests = {
            let services = self.services.read().unwrap_or_else(PoisonError::into_inner);
            services.get(name).map(|service| service.requests.clone())
        };
        let requests = requests.ok_or_else(|| ServiceError::Unknown(name.to_owned()))?;
        let gone = || ServiceError::Failed(format!("{name} was taken out of the configuration"));
        let (reply, answer) = oneshot::channel();
        requests.send(Request { verb, reply }).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

#[cfg(test)]
mod tests;
