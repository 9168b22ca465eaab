//! Processes: what they use, and those that are stuck.
//!
//! Only those are read whose name, user, unit or number somebody asked for. A search through all of `/proc` finds them at a
//! slower pace than they are read, and [`Births`] tells of new ones between; where everybody is asked for by number there
//! is no search at all. A process is its number and its start: a number used again never continues a series.

mod births;
pub(super) mod cgroup;
pub(super) mod identity;
pub(super) mod interest;
mod metric;
mod reader;
mod restarts;
pub(super) mod stat;
mod stuck;
#[cfg(test)]
pub(super) mod testing;
mod watched;

pub use births::Births;
pub use reader::{Reader, Reading};

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{self, JoinError};
use tokio::time::{MissedTickBehavior, timeout};

use self::identity::Identity;
use self::interest::Interest;
use self::metric::Wanted;
use self::reader::Report;
use self::stuck::Turn;
use super::Context;
use crate::signal::{Attribute, Demand, Event, Value};

/// The name of the event that says that a process is stuck.
pub const STATE: &str = "process.state";

/// The executable's name.
pub(super) const NAME: &str = "process.executable.name";
/// The effective user's name.
pub(super) const OWNER: &str = "process.owner";
/// The process's number.
pub(super) const PID: &str = "process.pid";
/// When it started, in clock ticks since boot (field 22 of `/proc/PID/stat`): what tells it from a later one of its number.
pub(super) const START: &str = "process.start_time";
/// The systemd unit.
pub(super) const UNIT: &str = "service.name";

/// What this collector is called in the agent's status.
const SOURCE: &str = "process";
/// Readings for each search.
const SEARCH_EVERY: u32 = 5;
/// How long a reading may take until it is said. A process that is stuck in the kernel may hold up whoever looks at it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether somebody wants processes that must be searched for.
pub(super) fn searches(demand: &Demand) -> bool {
    let wanted = Wanted::of(demand);
    let all = Interest::new(wanted.selectors(), labelled).and(Interest::new(demand.events(STATE), labelled));
    !all.is_empty() && all.pids().is_none()
}

/// A process as an event's subject where there may be many of one name.
fn labelled(name: &str, pid: u32) -> String {
    format!("{name}[{pid}]")
}

/// A process as an event's subject where the name is what matters.
pub(super) fn plain(name: &str, _pid: u32) -> String {
    name.to_owned()
}

/// Reads the processes that somebody wants at each `interval`, and publishes their metrics and which of them are stuck.
pub async fn run(context: Context, births: Arc<Births>) {
    watch(context, births, PATIENCE).await;
}

async fn watch(context: Context, births: Arc<Births>, patience: Duration) {
    let mut demand = context.router.demand();
    let mut reader = Reader::new(context.path("proc"));
    loop {
        let wanted = reader.want(&demand.borrow_and_update());
        let changed = reader.reconsider(context.clock.now().mono);
        publish_turns(&context, changed.turns);
        if !wanted {
            context.router.publish_samples(SOURCE, context.clock.now().wall, &[]);
            context.health.forget(SOURCE);
            if demand.changed().await.is_err() {
                return;
            }
            continue;
        }
        let mut ticks = tokio::time::interval(context.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut until_search = 0;
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                changed = demand.changed() => match changed {
                    Ok(()) => break,
                    Err(_) => return,
                },
            }
            let born = births.take();
            let search = until_search == 0 || born.is_none();
            until_search = if search { SEARCH_EVERY - 1 } else { until_search - 1 };
            let Ok(read) = one(&context, reader, search, born.unwrap_or_default(), patience).await else {
                // The reader is lost with a reading that panicked: begin anew.
                context.health.degraded(SOURCE, "a reading failed in the agent itself; it begins anew");
                reader = Reader::new(context.path("proc"));
                reader.want(&demand.borrow());
                until_search = 0;
                continue;
            };
            reader = read;
        }
    }
}

/// One reading, with a search before it if that is due.
async fn one(
    context: &Context,
    mut reader: Reader,
    search: bool,
    born: Vec<u32>,
    patience: Duration,
) -> Result<Reader, JoinError> {
    let clock = context.clock.clone();
    // Reading procfs blocks, and more so the busier the host is.
    let mut reading = task::spawn_blocking(move || {
        let mut dropped: u64 = born.into_iter().map(|pid| reader.consider(pid)).sum();
        let found = if search { reader.search() } else { Ok(0) };
        let mut reading = reader.read(clock.now().mono);
        match found {
            Ok(more) => dropped += more,
            Err(error) => reading.failure = Some(format!("the processes cannot be listed: {error}")),
        }
        reading.dropped += dropped;
        (reader, reading)
    });
    let mut waited = Duration::ZERO;
    let (reader, reading) = loop {
        match timeout(patience, &mut reading).await {
            Ok(read) => break read?,
            Err(_) => {
                waited += patience;
                let seconds = waited.as_secs_f64();
                context.health.degraded(SOURCE, format!("/proc does not answer for {seconds:.0} s now"));
            }
        }
    };
    tell(context, reading, reader.len());
    Ok(reader)
}

fn tell(context: &Context, reading: Reading, watched: usize) {
    let health = &context.health;
    match reading.failure {
        Some(failure) => health.degraded(SOURCE, failure),
        None => health.ok(SOURCE),
    }
    if reading.dropped > 0 {
        health.dropped(SOURCE, reading.dropped);
        tracing::debug!(watched, dropped = reading.dropped, "there are more processes than can be watched");
    }
    context.router.publish_samples(SOURCE, context.clock.now().wall, &reading.samples);
    publish_turns(context, reading.turns);
}

fn publish_turns(context: &Context, turns: Vec<(Identity, Report)>) {
    for (identity, report) in turns {
        let event = event(context, &identity, &report);
        match report.turn {
            Turn::Lasts(..) => context.router.publish_state(event),
            Turn::Over(..) => {
                context.router.forget_state(STATE, &event.subject);
                context.router.publish(event);
            }
        }
    }
}

fn event(context: &Context, identity: &Identity, report: &Report) -> Event {
    let (state, lasted) = match report.turn {
        Turn::Lasts(kind, lasted) => (kind.name(), lasted),
        Turn::Over(_, lasted) => (report.state, lasted),
    };
    let mut attributes = attributes(identity);
    attributes.push(Attribute::new("process.state", state));
    attributes.push(Attribute::new("process.parent_pid", report.parent));
    attributes.push(Attribute::new("process.state.duration", Value::Number(lasted.as_secs_f64())));
    Event {
        name: STATE.into(),
        subject: labelled(&identity.name, identity.pid),
        attributes,
        body: String::new(),
        at: context.clock.now().wall,
        caused_by: None,
    }
}

/// Who a process is, as attributes of an event.
pub(super) fn attributes(identity: &Identity) -> Vec<Attribute> {
    let mut attributes = vec![Attribute::new(NAME, &*identity.name), Attribute::new(PID, identity.pid)];
    attributes.extend(i64::try_from(identity.started).map(|started| Attribute::new(START, started)));
    attributes.extend(identity.owner.as_deref().map(|owner| Attribute::new(OWNER, owner)));
    attributes.extend(identity.unit.as_deref().map(|unit| Attribute::new(UNIT, unit)));
    attributes
}

#[cfg(test)]
mod tests;
