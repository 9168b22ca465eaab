//! Processes that end.
//!
//! The kernel's process connector tells of every end with its code, and of new processes; it is for root outside of
//! containers. Elsewhere each wanted process is watched by a pidfd, which tells the end and not how it came about.

mod connector;
mod ending;
mod handles;
mod message;
mod table;

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task;

use self::connector::{Connector, Next, ROOM};
use self::ending::Ending;
use self::message::{EXEC, EXIT, FORK, Message};
use self::table::{Found, Table};
use super::Context;
use super::process::identity::{Identity, Registry};
use super::process::interest::Interest;
use super::process::{self, Births, attributes, plain};
use crate::signal::{Demand, Event};

/// The name of the event that says that a process ended.
pub const EVENT: &str = "process.exit";

/// What this collector is called in the agent's status.
const SOURCE: &str = "exit";
/// And the connector, where there is none.
const CONNECTOR: &str = "exit/connector";
/// Messages that are handled before others have their turn.
const AT_ONCE: usize = 256;

/// Publishes the end of every process that somebody wants to hear of, and tells `births` of new ones while anybody wants
/// processes by more than their number.
pub async fn run(context: Context, births: Arc<Births>) {
    let mut demand = context.router.demand();
    let mut table = Table::new(Registry::new(context.path("proc")));
    loop {
        let events = table_wants(&mut table, &demand.borrow_and_update());
        if events == 0 {
            context.health.forget(SOURCE);
            context.health.forget(CONNECTOR);
            if demand.changed().await.is_err() {
                return;
            }
            continue;
        }
        let exits = events & EXIT != 0;
        let goes_on = match Connector::open(events, ROOM).await {
            Ok(connector) => {
                context.health.ok(CONNECTOR);
                births.missed();
                listen(&context, &births, &mut table, &mut demand, (&connector, events)).await
            }
            Err(reason) => {
                context.health.absent(CONNECTOR, reason);
                if exits {
                    handles::watch(&context, &mut table, &mut demand).await
                } else {
                    demand.changed().await.is_ok()
                }
            }
        };
        if !goes_on {
            return;
        }
    }
}

/// Which events of the connector the demand takes.
fn table_wants(table: &mut Table, demand: &Demand) -> u32 {
    let exits = Interest::new(demand.events(EVENT), plain);
    let wanted = if exits.is_empty() { 0 } else { FORK | EXEC | EXIT };
    table.want(exits);
    wanted | if process::searches(demand) { EXEC } else { 0 }
}

/// Handles what the connector says until another kind of it is wanted; false when the agent ends.
async fn listen(
    context: &Context,
    births: &Births,
    table: &mut Table,
    demand: &mut watch::Receiver<Arc<Demand>>,
    (connector, events): (&Connector, u32),
) -> bool {
    // Whoever ended while there was no connector, or another one, ended unheard.
    let mut lost = true;
    let mut handled = 0_usize;
    loop {
        let next = tokio::select! {
            biased;
            changed = demand.changed() => {
                if changed.is_err() {
                    return false;
                }
                if table_wants(table, &demand.borrow_and_update()) != events {
                    return true;
                }
                search(context, table, false).await;
                continue;
            }
            next = connector.next() => next,
            // Only when nothing waits: what was said before tells of some ends how they came.
            () = std::future::ready(()), if lost => {
                search(context, table, true).await;
                lost = false;
                continue;
            }
        };
        match next {
            Ok(Next::Message(message)) => {
                if let Message::Exec(pid) = message {
                    births.tell(pid);
                }
                if let Some((identity, ending)) = table.take(message) {
                    publish(context, &identity, ending);
                }
                let dropped = table.take_dropped();
                if dropped > 0 {
                    context.health.dropped(SOURCE, dropped);
                }
            }
            Ok(Next::Overrun) => {
                context.health.dropped(SOURCE, 1);
                births.missed();
                lost = true;
            }
            Err(error) => {
                context.health.degraded(SOURCE, format!("the process connector cannot be read: {error}"));
                tokio::time::sleep(context.interval).await;
                return true;
            }
        }
        handled += 1;
        if handled.is_multiple_of(AT_ONCE) {
            task::yield_now().await;
        }
    }
}

/// Looks who is there; with `lost`, whoever is not any more ended, and nobody heard how.
async fn search(context: &Context, table: &mut Table, lost: bool) {
    let mut moved = std::mem::replace(table, Table::new(Registry::new(context.path("proc"))));
    let searched = task::spawn_blocking(move || {
        let found = moved.search(lost);
        (moved, found)
    });
    let found = match searched.await {
        Ok((back, found)) => {
            *table = back;
            found
        }
        // It panicked: those who are wanted are not known until the demand changes.
        Err(error) => Err(std::io::Error::other(error)),
    };
    match found {
        Ok(Found { missing, dropped }) => {
            context.health.ok(SOURCE);
            if dropped > 0 {
                context.health.dropped(SOURCE, dropped);
            }
            missing.iter().for_each(|identity| publish(context, identity, Ending::default()));
        }
        Err(error) => context.health.degraded(SOURCE, format!("the processes cannot be listed: {error}")),
    }
}

fn publish(context: &Context, identity: &Identity, ending: Ending) {
    let mut attributes = attributes(identity);
    attributes.extend(ending.attributes());
    context.router.publish(Event {
        name: EVENT.into(),
        subject: identity.name.to_string(),
        attributes,
        body: String::new(),
        at: context.clock.now().wall,
        caused_by: None,
    });
}

#[cfg(test)]
mod tests;
