//! The one task that watches a service and acts on it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::group::{KILL_TIMEOUT, pause};
use super::identity::Identity;
use super::process::{Exit, Process};
use super::record::Record;
use super::run::{RunError, run, run_noted, spawn};
use super::spec::{CommandSpec, Life};
use crate::service::{ActiveState, Change, ManagerKind, Report, ServiceError, ServiceStatus, Verb};

/// How often a service is asked for its status that has neither a process to watch nor a pidfile.
pub const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// An action somebody wants, and where the outcome goes.
pub(super) struct Request {
    pub(super) verb: Verb,
    pub(super) reply: oneshot::Sender<Result<Change, ServiceError>>,
}

/// One service.
pub(super) struct Actor {
    specs: watch::Receiver<Arc<CommandSpec>>,
    status: watch::Sender<ServiceStatus>,
    report: Report,
    record: Record,
    /// The start command, while one is under way.
    starting: Record,
    process: Option<Process>,
    /// Whether it has run since the agent began, so that a start is a restart.
    has_run: bool,
}

impl Actor {
    /// The task of the service `name`, and where its status can be read.
    pub(super) fn new(
        name: &str,
        state: &Path,
        specs: watch::Receiver<Arc<CommandSpec>>,
        report: Report,
    ) -> (Self, watch::Receiver<ServiceStatus>) {
        let (status, reader) = watch::channel(ServiceStatus {
            name: name.to_owned(),
            manager: ManagerKind::Command,
            active_state: ActiveState::Inactive,
            sub_state: "dead".to_owned(),
            result: "success".to_owned(),
            main_pid: None,
            exit_code: None,
            exit_signal: None,
            restarts: 0,
            stop_requested: None,
        });
        let record = Record::new(state, name);
        let starting = Record::new(state, &format!("{name}.starting"));
        (Self { specs, status, report, record, starting, process: None, has_run: false }, reader)
    }

    /// Watches and acts until nobody can send requests any more.
    pub(super) async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        self.begin().await;
        loop {
            let spec = self.spec();
            let polled = self.process.is_none() && matches!(spec.life(), Life::Status(_));
            tokio::select! {
                request = requests.recv() => {
                    let Some(Request { verb, reply }) = request else { return };
                    let outcome = self.act(verb).await;
                    // Whoever asked may have stopped waiting.
                    let _ = reply.send(outcome);
                }
                exit = ended(&mut self.process) => self.ended_by_itself(exit).await,
                () = sleep(POLL_INTERVAL), if polled => self.poll(&spec).await,
            }
        }
    }

    fn spec(&self) -> Arc<CommandSpec> {
        self.specs.borrow().clone()
    }

    fn name(&self) -> String {
        self.status.borrow().name.clone()
    }

    fn state(&self) -> ActiveState {
        self.status.borrow().active_state
    }

    /// Changes the status and reports it.
    fn tell(&self, change: impl FnOnce(&mut ServiceStatus)) {
        self.status.send_modify(change);
        (self.report)(self.status.borrow().clone());
    }

    fn tell_running(&mut self) {
        self.has_run = true;
        let pid = self.process.as_ref().map(|process| process.pid);
        self.tell(|status| {
            status.active_state = ActiveState::Active;
            "running".clone_into(&mut status.sub_state);
            "success".clone_into(&mut status.result);
            status.main_pid = pid;
            (status.exit_code, status.exit_signal) = (None, None);
        });
    }

    fn tell_down(&self, exit: Exit, result: &str, requested: bool) {
        let failed = !requested && result != "success";
        self.tell(|status| {
            status.active_state = if failed { ActiveState::Failed } else { ActiveState::Inactive };
            if failed { "failed" } else { "dead" }.clone_into(&mut status.sub_state);
            result.clone_into(&mut status.result);
            status.main_pid = None;
            (status.exit_code, status.exit_signal) = (exit.code, exit.signal);
            status.stop_requested = Some(requested);
        });
    }

    /// Finds the service running, or starts it, or says that it does not run.
    async fn begin(&mut self) {
        let spec = self.spec();
        let awaited = self.await_earlier_start(&spec).await;
        if self.find(&spec).await {
            self.tell_running();
        } else if awaited {
            // It was wanted, and it is not there.
            self.tell_down(Exit::default(), Exit::default().result(), false);
        } else if spec.autostart {
            if let Err(error) = self.start(&spec).await {
                tracing::warn!("{error}");
            }
        } else if self.record.is_of_this_boot() {
            // It ran, nobody stopped it, and it is gone: it died while no agent looked, or just before one was killed.
            self.tell_down(Exit::default(), Exit::default().result(), false);
        } else {
            self.tell(|_| ());
        }
    }

    /// A start command that an earlier agent began may still be under way: beginning another one beside it could make two
    /// of the service. True if there was one; it has ended by now, or has had its time.
    async fn await_earlier_start(&mut self, spec: &CommandSpec) -> bool {
        let Some(command) = self.starting.read() else { return false };
        self.tell_starting();
        if let Ok(Some(process)) = Process::adopt(command) {
            // Beyond its time it is left behind, as a person's would be.
            let _ = timeout(spec.start_timeout, ended(&mut Some(process))).await;
        }
        self.starting.remove();
        true
    }

    /// Runs the start command of a service that goes on by itself, noting it for an agent that comes after this one.
    async fn run_start(&self, spec: &CommandSpec) -> Result<(), RunError> {
        let note = |pid| {
            if let Some(Err(error)) = Identity::of_child(pid).map(|command| self.starting.write(command)) {
                tracing::warn!("{}: cannot record that it is being started: {error}", self.name());
            }
        };
        let result = run_noted(&spec.start, spec, spec.start_timeout, note).await;
        self.starting.remove();
        result
    }

    /// Whether the service runs though this agent has not started it.
    async fn find(&mut self, spec: &CommandSpec) -> bool {
        let found = match spec.life() {
            Life::Child => self.record.read(),
            Life::Pidfile(pidfile) => Identity::in_pidfile(pidfile),
            Life::Status(status) => return run(status, spec, spec.start_timeout).await.is_ok(),
        };
        found.is_some_and(|identity| self.adopt(identity))
    }

    /// Watches a process that is not a child of this agent. False if it has just ended.
    fn adopt(&mut self, identity: Identity) -> bool {
        match Process::adopt(identity) {
            Ok(Some(process)) => {
                self.watch(process, Some(identity));
                true
            }
            Ok(None) => false,
            Err(error) => {
                tracing::warn!("{}: cannot watch process {}: {error}", self.name(), identity.pid);
                false
            }
        }
    }

    fn watch(&mut self, process: Process, identity: Option<Identity>) {
        self.process = Some(process);
        if let Some(Err(error)) = identity.map(|identity| self.record.write(identity)) {
            tracing::warn!("{}: cannot record its process: {error}", self.name());
        }
    }

    async fn act(&mut self, verb: Verb) -> Result<Change, ServiceError> {
        let spec = self.spec();
        let before = self.status.borrow().clone();
        match verb {
            Verb::Start => self.start(&spec).await?,
            Verb::Stop => self.stop(&spec).await?,
            Verb::Restart => {
                self.stop(&spec).await?;
                self.start(&spec).await?;
            }
            Verb::Reload => self.reload(&spec).await?,
            Verb::ResetFailed => self.reset_failed(),
        }
        Ok(Change { before, after: self.status.borrow().clone() })
    }

    async fn start(&mut self, spec: &CommandSpec) -> Result<(), ServiceError> {
        if self.process.is_some() || self.state() == ActiveState::Active {
            return Ok(());
        }
        // Somebody else may have started what detaches itself.
        if spec.life() != Life::Child && self.find(spec).await {
            self.tell_running();
            return Ok(());
        }
        if self.has_run {
            self.status.send_modify(|status| status.restarts += 1);
        }
        self.has_run = true;
        let started = match spec.life() {
            Life::Child => spawn(&spec.start, spec).map(|child| {
                if let Some(process) = Process::child(child) {
                    let identity = Identity::of_child(process.pid);
                    self.watch(process, identity);
                }
            }),
            Life::Pidfile(pidfile) => self.start_daemon(spec, pidfile).await,
            Life::Status(_) => {
                self.tell_starting();
                self.run_start(spec).await
            }
        };
        match started {
            Ok(()) => {
                self.tell_running();
                Ok(())
            }
            Err(error) => {
                self.tell_down(error.exit(), error.result(), false);
                Err(ServiceError::Failed(format!("start of {}: {error}", self.name())))
            }
        }
    }

    fn tell_starting(&self) {
        self.tell(|status| {
            status.active_state = ActiveState::Activating;
            "start".clone_into(&mut status.sub_state);
        });
    }

    /// Runs the start command of a service that detaches itself, then waits for its pidfile to name a live process.
    async fn start_daemon(&mut self, spec: &CommandSpec, pidfile: &Path) -> Result<(), RunError> {
        self.tell_starting();
        let began = Instant::now();
        self.run_start(spec).await?;
        let returned = Instant::now();
        loop {
            if Identity::in_pidfile(pidfile).is_some_and(|identity| self.adopt(identity)) {
                return Ok(());
            }
            if began.elapsed() >= spec.start_timeout {
                return Err(RunError::NoProcess { pidfile: pidfile.to_owned(), limit: spec.start_timeout });
            }
            sleep(pause(returned.elapsed())).await;
        }
    }

    async fn stop(&mut self, spec: &CommandSpec) -> Result<(), ServiceError> {
        let name = self.name();
        let Some(mut process) = self.process.take() else {
            return match spec.life() {
                Life::Status(status) if self.state() == ActiveState::Active => self.stop_polled(spec, status).await,
                _ => Ok(()),
            };
        };
        self.tell_stopping();
        let mut deadline = Instant::now() + spec.stop_timeout;
        let asked = match &spec.stop {
            Some(argv) => run(argv, spec, spec.stop_timeout).await.inspect_err(|error| {
                tracing::warn!("stop of {name}: {error}; it gets SIGTERM");
            }),
            None => Ok(()),
        };
        if spec.stop.is_none() || asked.is_err() {
            process.signal(Signal::TERM);
            deadline = Instant::now() + spec.stop_timeout;
        }
        let (exit, result) = match timeout_at(deadline, process.exited()).await {
            Ok(exit) => (exit, "success"),
            Err(_) => {
                process.signal(Signal::KILL);
                let Ok(exit) = timeout(KILL_TIMEOUT, process.exited()).await else {
                    // Still there: it stays watched, and the next stop tries again.
                    self.process = Some(process);
                    self.tell_running();
                    return Err(ServiceError::Failed(format!("stop of {name}: it does not even end by SIGKILL")));
                };
                (exit, "timeout")
            }
        };
        if let Some(group) = process.group {
            group.end(deadline.saturating_duration_since(Instant::now())).await;
        }
        self.record.remove();
        self.tell_down(exit, result, true);
        Ok(())
    }

    fn tell_stopping(&self) {
        self.tell(|status| {
            status.active_state = ActiveState::Deactivating;
            "stop".clone_into(&mut status.sub_state);
            status.stop_requested = Some(true);
        });
    }

    /// Stops a service that has no process to watch.
    async fn stop_polled(&mut self, spec: &CommandSpec, status: &[String]) -> Result<(), ServiceError> {
        let name = self.name();
        let Some(stop) = &spec.stop else {
            let why = format!("add `stop` or `pidfile` to [services.{name}]");
            return Err(ServiceError::Unsupported { verb: Verb::Stop.as_str(), name, why });
        };
        self.tell_stopping();
        let began = Instant::now();
        let stopped = run(stop, spec, spec.stop_timeout).await;
        while run(status, spec, spec.start_timeout).await.is_ok() {
            if stopped.is_err() || began.elapsed() >= spec.stop_timeout {
                self.tell_running();
                let why = stopped.err().map_or("it still runs".to_owned(), |error| error.to_string());
                return Err(ServiceError::Failed(format!("stop of {name}: {why}")));
            }
            sleep(pause(began.elapsed())).await;
        }
        self.tell_down(Exit::default(), "success", true);
        Ok(())
    }

    async fn reload(&mut self, spec: &CommandSpec) -> Result<(), ServiceError> {
        let (name, verb) = (self.name(), Verb::Reload.as_str());
        let Some(argv) = &spec.reload else {
            let why = format!("add `reload` to [services.{name}]");
            return Err(ServiceError::Unsupported { verb, name, why });
        };
        if self.state() != ActiveState::Active {
            return Err(ServiceError::Failed(format!("reload of {name}: it does not run")));
        }
        tokio::select! {
            reloaded = run(argv, spec, spec.start_timeout) => {
                reloaded.map_err(|error| ServiceError::Failed(format!("reload of {name}: {error}")))
            }
            exit = ended(&mut self.process) => {
                self.ended_by_itself(exit).await;
                Err(ServiceError::Failed(format!("reload of {name}: it ended meanwhile")))
            }
        }
    }

    fn reset_failed(&self) {
        if self.state() == ActiveState::Failed {
            self.tell(|status| {
                status.active_state = ActiveState::Inactive;
                "dead".clone_into(&mut status.sub_state);
                "success".clone_into(&mut status.result);
            });
        }
    }

    /// The process ended and nobody had asked it to.
    async fn ended_by_itself(&mut self, exit: Exit) {
        let spec = self.spec();
        let Some(process) = self.process.take() else { return };
        // Some daemons replace themselves, as nginx does for an upgrade: the pidfile then names the heir.
        if let Life::Pidfile(pidfile) = spec.life()
            && Identity::in_pidfile(pidfile).is_some_and(|heir| self.adopt(heir))
        {
            return self.tell_running();
        }
        // Its record stays: an agent that comes after this one sees by it that the service was not stopped but died.
        self.tell_down(exit, exit.result(), false);
        // Only now, because what is left may take its time: an action on the service waits for it.
        if let Some(group) = process.group {
            group.end(spec.stop_timeout).await;
        }
    }

    /// Asks a service that has no process to watch.
    async fn poll(&mut self, spec: &CommandSpec) {
        let was_up = self.state() == ActiveState::Active;
        match (was_up, self.find(spec).await) {
            (false, true) => self.tell_running(),
            (true, false) => self.tell_down(Exit::default(), Exit::default().result(), false),
            _ => (),
        }
    }
}

/// The end of the process, if there is one; else never.
async fn ended(process: &mut Option<Process>) -> Exit {
    match process {
        Some(process) => process.exited().await,
        None => std::future::pending().await,
    }
}
