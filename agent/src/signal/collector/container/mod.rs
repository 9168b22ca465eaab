//! Containers, by the Docker API: what happens to them is pushed, and what they use is read at the interval.
//!
//! At each connection everything is listed and looked at, after the events were asked for: what happened while nobody listened
//! is seen by how things are. An event leads to a look at its container, because events tell less than a look does.

mod known;
mod usage;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

use self::known::{Known, Signal};
use self::usage::Usage;
use super::Context;
use crate::container::{Container, ContainerError, Docker, Stats};
use crate::signal::Demand;

/// What is told of it in the status.
const SOURCE: &str = "container";
/// The events that a connection is held for.
const EVENTS: [&str; 3] = [known::STATE, known::EXIT, known::OOM];
/// Containers that are looked at, or whose use is read, at one time.
const AT_ONCE: usize = 8;
/// How long the use of all containers may take to be read: one that does not answer must not hold up the others for longer.
const USAGE_LIMIT: Duration = Duration::from_secs(2);
/// The wait before connecting again after a connection that worked; doubled at each failure.
const RECONNECT_FIRST: Duration = Duration::from_millis(100);
/// The longest wait before connecting again, and how often to look whether there is an API by now.
const RECONNECT_MAX: Duration = Duration::from_secs(60);

/// Tells of containers for as long as somebody wants to know; ends with the task.
pub async fn run(context: Context, docker: Arc<Docker>) {
    let mut demand = context.router.demand();
    let mut known = Known::default();
    let mut wait = RECONNECT_FIRST;
    loop {
        let is_wanted = wants(&demand.borrow_and_update());
        if !is_wanted {
            context.health.forget(SOURCE);
            known.clear().into_iter().for_each(|signal| signal.send(&context.router));
            wait = RECONNECT_FIRST;
            if demand.changed().await.is_err() {
                return;
            }
            continue;
        }
        let mut session = Session::new(&context, docker.clone(), &mut known);
        let result = session.run(&mut demand).await;
        if session.is_connected {
            wait = RECONNECT_FIRST;
        }
        match result {
            Ok(()) => continue,
            Err(ContainerError::NoSocket(which)) => {
                let reason = format!("there is no {which}; name the Docker API's socket with [containers] socket");
                context.health.absent(SOURCE, reason);
                wait = RECONNECT_MAX;
            }
            Err(error) => context.health.degraded(SOURCE, error.to_string()),
        }
        tokio::select! {
            () = sleep(wait) => {}
            _ = demand.changed() => {}
        }
        wait = (wait * 2).min(RECONNECT_MAX);
    }
}

fn wants(demand: &Demand) -> bool {
    EVENTS.iter().any(|name| demand.wants_event(name)) || demand.wants_metrics(&usage::METRICS)
}

/// What a task has found out.
enum Answer {
    /// How a container is; whether that was asked because something may have been missed.
    Looked { id: String, missed: bool, container: Result<Container, ContainerError> },
    /// What containers use, and which of them did not say.
    Used { stats: BTreeMap<String, Stats>, silent: usize },
}

/// One connection's worth of listening.
struct Session<'a> {
    context: &'a Context,
    docker: Arc<Docker>,
    known: &'a mut Known,
    usage: Usage,
    /// Containers to look at, and whether something may have been missed of them.
    look: BTreeMap<String, bool>,
    /// Those that are being looked at: one look at a time, so that an older one does not overwrite a newer.
    looking: BTreeSet<String>,
    /// Those whose look made no sense.
    failing: BTreeSet<String>,
    tasks: JoinSet<Answer>,
    is_reading: bool,
    is_connected: bool,
}

impl<'a> Session<'a> {
    fn new(context: &'a Context, docker: Arc<Docker>, known: &'a mut Known) -> Self {
        Self {
            context,
            docker,
            known,
            usage: Usage::default(),
            look: BTreeMap::new(),
            looking: BTreeSet::new(),
            failing: BTreeSet::new(),
            tasks: JoinSet::new(),
            is_reading: false,
            is_connected: false,
        }
    }

    /// Listens until nobody wants it any more, or the connection is lost.
    async fn run(&mut self, demand: &mut tokio::sync::watch::Receiver<Arc<Demand>>) -> Result<(), ContainerError> {
        let mut happenings = self.docker.happenings().await?;
        let ids = self.docker.list().await?;
        self.is_connected = true;
        self.context.health.ok(SOURCE);
        self.send(|known, _| known.retain(&ids));
        self.look.extend(ids.into_iter().map(|id| (id, true)));
        let mut ticks = interval(self.context.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut wants_usage = demand.borrow().wants_metrics(&usage::METRICS);
        loop {
            self.go_on();
            tokio::select! {
                happening = happenings.next() => match happening {
                    Ok(happening) => {
                        let was_missed = self.look.get(&happening.id).copied().unwrap_or(false);
                        // A look that is under way may still show one that is gone: the next one will not.
                        if happening.action != "destroy" || self.looking.contains(&happening.id) {
                            self.look.insert(happening.id.clone(), was_missed);
                        }
                        self.send(|known, at| known.happened(&happening, at));
                    }
                    Err(ContainerError::Garbage(why)) => {
                        self.context.health.dropped(SOURCE, 1);
                        tracing::debug!("an event of a container that makes no sense: {why}");
                    }
                    Err(error) => return Err(error),
                },
                Some(answer) = self.tasks.join_next() => match answer {
                    Ok(answer) => self.answer(answer, demand)?,
                    Err(error) => tracing::warn!("a look at a container ended early: {error}"),
                },
                _ = ticks.tick(), if wants_usage && !self.is_reading => self.read_usage(demand),
                changed = demand.changed() => {
                    let now = demand.borrow_and_update().clone();
                    if changed.is_err() || !wants(&now) {
                        return Ok(());
                    }
                    wants_usage = now.wants_metrics(&usage::METRICS);
                }
            }
        }
    }

    /// Begins to look at what is to be looked at.
    fn go_on(&mut self) {
        while self.looking.len() < AT_ONCE {
            let next = self.look.keys().find(|id| !self.looking.contains(*id)).cloned();
            let Some((id, missed)) = next.and_then(|id| self.look.remove_entry(&id)) else { return };
            self.looking.insert(id.clone());
            let docker = self.docker.clone();
            self.tasks.spawn(async move {
                let container = docker.inspect(&id).await;
                Answer::Looked { id, missed, container }
            });
        }
    }

    fn answer(
        &mut self,
        answer: Answer,
        demand: &tokio::sync::watch::Receiver<Arc<Demand>>,
    ) -> Result<(), ContainerError> {
        match answer {
            Answer::Looked { id, missed, container } => {
                self.looking.remove(&id);
                if self.failing.remove(&id) && self.failing.is_empty() {
                    self.context.health.ok(SOURCE);
                }
                match container {
                    Ok(container) => self.send(|known, at| known.looked(container, missed, at)),
                    Err(ContainerError::Unknown(_)) => self.send(|known, at| known.gone(&id, at)),
                    Err(error @ (ContainerError::Garbage(_) | ContainerError::Refused { .. })) => {
                        let short: String = id.chars().take(12).collect();
                        self.context.health.degraded(SOURCE, format!("container {short}: {error}"));
                        self.failing.insert(id);
                    }
                    Err(error) => return Err(error),
                }
            }
            Answer::Used { stats, silent } => {
                self.is_reading = false;
                let now = self.context.clock.now();
                let samples = self.usage.samples(self.known, &stats, now.mono, &demand.borrow());
                self.context.router.publish_samples(SOURCE, now.wall, &samples);
                if silent > 0 {
                    let reason = format!("{silent} containers do not say what they use");
                    self.context.health.degraded(SOURCE, reason);
                } else if self.failing.is_empty() {
                    self.context.health.ok(SOURCE);
                }
            }
        }
        Ok(())
    }

    /// Begins to read what the wanted containers use.
    fn read_usage(&mut self, demand: &tokio::sync::watch::Receiver<Arc<Demand>>) {
        let ids = usage::wanted(self.known, &demand.borrow());
        let docker = self.docker.clone();
        self.is_reading = true;
        self.tasks.spawn(async move { read_stats(docker, ids).await });
    }

    fn send(&mut self, change: impl FnOnce(&mut Known, crate::clock::Timestamp) -> Vec<Signal>) {
        let signals = change(self.known, self.context.clock.now().wall);
        signals.into_iter().for_each(|signal| signal.send(&self.context.router));
    }
}

async fn read_stats(docker: Arc<Docker>, ids: Vec<String>) -> Answer {
    let (count, mut stats) = (ids.len(), BTreeMap::new());
    let mut over = 0;
    let all = async {
        let (mut ids, mut tasks) = (ids.into_iter(), JoinSet::new());
        loop {
            while tasks.len() < AT_ONCE {
                let Some(id) = ids.next() else { break };
                let docker = docker.clone();
                tasks.spawn(async move { (docker.stats(&id).await, id) });
            }
            match tasks.join_next().await {
                Some(Ok((Ok(read), id))) => drop(stats.insert(id, read)),
                // It has ended meanwhile: an event says so.
                Some(Ok((Err(ContainerError::Unknown(_) | ContainerError::Refused { .. }), _))) => over += 1,
                Some(_) => {}
                None => break,
            }
        }
    };
    // What has come by then is used.
    let _ = tokio::time::timeout(USAGE_LIMIT, all).await;
    let silent = count - over - stats.len();
    Answer::Used { stats, silent }
}

#[cfg(test)]
mod tests;
