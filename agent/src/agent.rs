//! The agent: its parts, connected in the order of the flow.
//!
//! ```text
//! collectors ──► router ──► instances ──► incident engine ──► guards ──► actuators
//! ```

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FlockOperation, fcntl_lock};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::action::Host;
use crate::action::actuator::{self, Actuators, Order, Programs};
use crate::clock::{Clock, SystemClock};
use crate::config::Settings;
use crate::container::Docker;
use crate::control::{Api, ApiError, Desk, Outside};
use crate::guard::Chain;
use crate::incident::ledger::{Ledger, LedgerError};
use crate::incident::{Doors, Engine, Input, Runner};
use crate::notify::Notifier;
use crate::plugin::{Compiler, Fleet, Interfaces, Parts, Quarantines, Sandbox, Trust};
use crate::service::{Services, StatusTable};
use crate::signal::collector::{self, Context, Health, Sources};
use crate::signal::{History, Router};

/// Inputs that wait for the engine; whoever brings more waits with them.
const ENGINE_QUEUE: usize = 1024;

/// Why an agent does not run.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// Another one uses the state directory.
    #[error("another agent uses the state directory {0}; stop it, or give this one another `state`")]
    Locked(PathBuf),
    /// The state directory cannot be locked.
    #[error("{path} cannot be locked: {error}; set `state` in salve.toml to a directory the agent can write")]
    Lock {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The ledger cannot be used.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The API cannot be offered.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// WebAssembly cannot run here.
    #[error("{0}")]
    Sandbox(String),
    /// A signal handler, or the API's socket, failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Runs an agent with these settings until SIGTERM or SIGINT. `ready` is called once it answers on its socket.
pub async fn run(settings: Settings, ready: impl FnOnce()) -> Result<(), AgentError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let now = clock.now();

    // What lasts. The lock comes first: a ledger that another agent uses must not be touched.
    Ledger::prepare(&settings.state)?;
    let _lock = lock(&settings.state.join("agent.lock"), &settings.state)?;
    let ledger = Ledger::open_with(&settings.state, settings.ledger.reserve)?;
    let set_aside = ledger
        .set_aside()
        .map(|path| format!("the ledger was damaged and is now {}; a new one was begun", path.display()));
    let listener = Api::listen(&settings.socket).await?;

    // Collectors and the router.
    let history = Arc::new(History::new(settings.history));
    let router = Arc::new(Router::with_history(history.clone()));
    let table = Arc::new(StatusTable::default());
    let report = collector::service::report_to(router.clone(), table.clone(), clock.clone());
    let services = Arc::new(Services::new(&settings.state, settings.services, report.clone()));
    tokio::spawn({
        let (services, wanted) = (services.clone(), router.wanted_services());
        async move { services.watch_units(wanted, report).await }
    });
    let health = Arc::new(Health::new(clock.clone()));
    let context = Context {
        router: router.clone(),
        clock: clock.clone(),
        health: health.clone(),
        root: "/".into(),
        interval: settings.interval,
    };
    let containers = Arc::new(Docker::new(settings.containers));
    let sources = Sources {
        containers: containers.clone(),
        files: settings.files,
        probes: settings.probes,
        endpoints: settings.metrics,
        logs: settings.logs,
        state: settings.state.clone(),
    };
    let collectors = collector::start(&context, sources);

    // Instances.
    let past = ledger.past(now)?;
    let (inputs, inbox) = mpsc::channel(ENGINE_QUEUE);
    let state = Arc::new(ledger.plugin_state()?);
    let parts = Parts {
        sandbox: Sandbox::within(Compiler::with_cache(settings.compiler, &settings.state), &settings.limits)
            .map_err(AgentError::Sandbox)?,
        interfaces: Interfaces {
            state: Some(state),
            services: table.clone(),
            needs: Some(services.clone()),
            history: history.clone(),
        },
        router: router.clone(),
        clock: clock.clone(),
        engine: inputs.clone(),
        limits: settings.limits,
        supervision: settings.supervision,
        upgrade: settings.upgrade,
        quarantines: Arc::new(Quarantines::new(past.quarantines.clone())),
    };
    let fleet = Fleet::new(parts, settings.plugins, settings.policies).trusting(Trust::new(settings.trust));
    let fleet = fleet.remembering(&settings.state);
    let (view, ask, release) = (fleet.view(), fleet.ask(), fleet.release());

    // Those who are told.
    let notifier = Arc::new(Notifier::new(ledger.outbox()?, settings.notify, clock.clone())?);
    let poke = Arc::new(tokio::sync::Notify::new());
    tokio::spawn({
        let (notifier, poke) = (notifier.clone(), poke.clone());
        async move { notifier.run(poke).await }
    });

    // The incident engine with its guards, and the actuators.
    if !past.open.is_empty() {
        tracing::info!(incidents = past.open.len(), "carrying on with what is open");
    }
    let ceiling = settings.host.ceiling;
    let terrain = Host::new(services.clone(), table.clone(), settings.commands.clone());
    let (engine, first) = Engine::restore(settings.host, Chain::standard(), Box::new(terrain), past, now);
    let messages = notifier.clone();
    let actuators = Arc::new(Actuators::new(actuator::Parts {
        services,
        status: table,
        commands: settings.commands,
        containers,
        notify: Box::new(move |channel, message| {
            let told = tokio::task::block_in_place(|| messages.send_now(channel, message, None));
            told.map(|channels| format!("handed to {}", channels.join(", "))).map_err(|error| error.to_string())
        }),
        proc: "/proc".into(),
        programs: Programs::of_this_host(),
    }));
    let desk = Arc::new(Desk::new(inputs.clone()));
    let (echoes, outside) = (router.clone(), Outside::new(router.clone()));
    let perform = move |order: Order| {
        // Until the plan is over, what happens to its targets is an echo.
        order.targets.iter().for_each(|target| router.begin_echo(target, &order.incident));
        tokio::spawn(perform(actuators.clone(), order, inputs.clone()));
    };
    let reader = ledger.reader()?;
    let (told, now_of) = (context.router.clone(), clock.clone());
    let replies = desk.clone();
    let doors = Doors {
        ask: Box::new(ask),
        release: Box::new(release),
        perform: Box::new(perform),
        settled: Box::new(move |targets| targets.iter().for_each(|target| echoes.end_echo(target))),
        reply: Box::new(move |token, answer| replies.reply(token, answer)),
        noticed: Box::new(move || poke.notify_one()),
        moved: Box::new(move |about, state| collector::incident::publish(&told, about, state, now_of.now().wall)),
    };
    let runner = Runner::new(engine, ledger, clock.clone(), inbox, doors).keeping(settings.ledger);
    let trouble = runner.trouble();
    tokio::spawn(runner.run(first));
    tokio::spawn(fleet.run());

    // The API, until somebody has had enough.
    let api = Api {
        ledger: reader,
        fleet: Box::new(view),
        trouble,
        notes: set_aside.into_iter().collect(),
        health,
        history,
        notifier,
        desk,
        outside,
        clock,
        started_at: now.wall,
        ceiling,
    };
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    ready();
    let result = tokio::select! {
        ended = api.serve(listener) => ended,
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    };
    // An action under way is not waited for: what it did is looked at when the agent starts again.
    tracing::info!("stopping");
    collectors.stop();
    drop(std::fs::remove_file(&settings.socket));
    Ok(result?)
}

/// Carries out an order: evidence first, then the actions, of which the first failure ends it; the engine is told of each
/// as it comes.
async fn perform(actuators: Arc<Actuators>, order: Order, engine: mpsc::Sender<Input>) {
    let Order { incident, attempt, target, rules, actions, .. } = order;
    if !rules.collect.is_empty() {
        let evidence = actuators.collect(&rules, &target).await;
        // The engine is gone only when the agent ends.
        drop(engine.send(Input::Collected { incident: incident.clone(), attempt, evidence }).await);
    }
    for action in &actions {
        let outcome = actuators.act(action, &rules).await;
        let ok = outcome.ok;
        drop(engine.send(Input::Done { incident: incident.clone(), attempt, outcome }).await);
        if !ok {
            break;
        }
    }
    drop(engine.send(Input::Performed { incident, attempt }).await);
}

/// Takes the state directory for this agent: two would each believe to be alone with the services. The lock is the
/// process's own (`fcntl`): one of `flock` would live on in a child between its fork and its exec, and keep out the agent
/// that comes after one that was killed in that moment.
fn lock(path: &Path, state: &Path) -> Result<File, AgentError> {
    let error = |error| AgentError::Lock { path: path.to_owned(), error };
    let file = File::create(path).map_err(error)?;
    match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::ACCESS) => Err(AgentError::Locked(state.to_owned())),
        Err(errno) => Err(error(errno.into())),
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn the_lock_ends_with_the_agent_and_not_with_its_children() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.lock");
        let file = lock(&path, dir.path()).unwrap();
        let heir = Stdio::from(file.try_clone().unwrap());
        let mut child = Command::new("sleep").arg("60").stdin(heir).spawn().unwrap();
        drop(file);
        lock(&path, dir.path()).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
