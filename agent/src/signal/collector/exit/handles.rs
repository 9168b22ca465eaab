//! Ends seen by pidfds, where the process connector is refused.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::process::{Pid, PidfdFlags, Resource, WaitId, WaitIdOptions, getrlimit, pidfd_open, waitid};
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::ending::Ending;
use super::table::Table;
use super::{SOURCE, publish, search};
use crate::signal::Demand;
use crate::signal::collector::Context;

/// Intervals between two searches for new processes.
const SEARCH_EVERY: u32 = 5;

/// Watches every wanted process until the demand changes; false when the agent ends.
pub(super) async fn watch(context: &Context, table: &mut Table, demand: &mut watch::Receiver<Arc<Demand>>) -> bool {
    // A quarter of the descriptors: the agent needs them for other things too.
    let room = getrlimit(Resource::Nofile)
        .current
        .map_or(usize::MAX, |limit| usize::try_from(limit / 4).unwrap_or(usize::MAX));
    let mut ends = JoinSet::new();
    let mut held = BTreeSet::new();
    let mut searches = tokio::time::interval(context.interval * SEARCH_EVERY);
    searches.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            _ = searches.tick() => {
                search(context, table, true).await;
                let mut dropped = 0;
                let identities: Vec<_> = table.identities().map(|it| (it.pid, it.started)).collect();
                for (pid, started) in identities {
                    if held.contains(&(pid, started)) {
                        continue;
                    }
                    if held.len() >= room {
                        dropped += 1;
                        continue;
                    }
                    // First the handle, then the look: the handle is of the one that is there now, or of one that ended.
                    // Who is not there any more is found missing by the next search.
                    if let Some(handle) = handle(pid).filter(|_| table.is_there(pid, started)) {
                        held.insert((pid, started));
                        ends.spawn(async move { (pid, started, end(&handle).await) });
                    }
                }
                if dropped > 0 {
                    context.health.dropped(SOURCE, dropped);
                }
            }
            Some(ended) = ends.join_next() => {
                let Ok((pid, started, ending)) = ended else { continue };
                held.remove(&(pid, started));
                // A number that is another's by now was found missing, and told, by a search.
                if table.identities().any(|it| (it.pid, it.started) == (pid, started))
                    && let Some(identity) = table.remove(pid)
                {
                    publish(context, &identity, ending);
                }
            }
            changed = demand.changed() => return changed.is_ok(),
        }
    }
}

/// A handle of the process that has this number now.
fn handle(pid: u32) -> Option<AsyncFd<OwnedFd>> {
    let handle = pidfd_open(Pid::from_raw(pid.cast_signed())?, PidfdFlags::NONBLOCK).ok()?;
    // Its replacement `register` is unsafe to call, for types whose descriptor may change under it. An `OwnedFd` is not
    // one of these.
    #[expect(deprecated)]
    AsyncFd::new(handle).ok()
}

/// Waits for its end; how that came is told to the agent for its own children alone.
async fn end(handle: &AsyncFd<OwnedFd>) -> Ending {
    if handle.readable().await.is_err() {
        return Ending::default();
    }
    // Only looked at: whoever made the child waits for it too.
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    let status = waitid(WaitId::PidFd(handle.get_ref().as_fd()), options).ok().flatten();
    status.as_ref().map(Ending::of_child).unwrap_or_default()
}
