//! Logs: the lines of files and the records of the journal, as events `log.record`.
//!
//! What nobody wants is not read. Of what is read, only the lines that some selector's expression matches become events: the
//! files are searched as bytes, many lines at once ([`Filter`]). Files are watched through inotify and followed through
//! rotations; how far each was read is kept over restarts ([`Places`]). One log that is slow or gone holds up no other.

mod filter;
mod follower;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod gate;
mod interest;
mod join;
pub mod journal;
mod lines;
mod paths;
mod places;
mod publish;
mod tail;
#[cfg(test)]
mod tests;
mod watch;

pub use filter::Filter;
pub use join::Multiline;
pub use journal::JournalMatch;
pub use paths::PathGlob;
pub use places::Places;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use self::follower::Follower;
use self::publish::Publisher;
use self::watch::{Bell, Changes, Watches};
use super::Context;

/// How often files are looked at without having been told anything: not every file system tells.
const RESCAN: Duration = Duration::from_secs(30);
/// How long a log is remembered that nobody wants any more: an instance that is made anew wants it again soon.
const GRACE: Duration = Duration::from_secs(60);

/// `[logs.NAME]`.
#[derive(Debug, Clone)]
pub enum LogSpec {
    /// Files.
    Files(FileSpec),
    /// Records of the journal.
    Journal(JournalMatch),
}

/// `[logs.NAME]` with a `path`.
#[derive(Debug, Clone)]
pub struct FileSpec {
    /// Which files.
    pub paths: Vec<PathGlob>,
    /// Which lines belong together; none if each is a record.
    pub multiline: Option<Multiline>,
    /// Where to begin in a file that was there before anybody read it.
    pub from: FirstSeen,
    /// The most bytes of a line; what is beyond is cut off.
    pub max_line: usize,
}

/// Where to begin in a file that was there before anybody read it. Files that come later are read from their start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FirstSeen {
    /// With what is written from now on.
    #[default]
    End,
    /// With its first line.
    Start,
}

/// Reads the logs that somebody wants, and the journal by `journalctl` (by its name, or its path in tests); ends with the task.
pub async fn run(context: Context, logs: BTreeMap<String, LogSpec>, places: Arc<Places>, journalctl: &str) {
    places.retain(|name| name == journal::NAME || logs.contains_key(name));
    let mut tasks = JoinSet::new();
    let has_files = logs.values().any(|log| matches!(log, LogSpec::Files(_)));
    let watches = if has_files { Watches::new() } else { Err(std::io::ErrorKind::Unsupported.into()) };
    let (watches, trouble) = match watches {
        Ok(watches) => (Some(Arc::new(watches)), None),
        Err(error) => {
            (None, Some(format!("is looked at each {} s only: inotify: {error}", context.interval.as_secs_f32())))
        }
    };
    if let Some(watches) = watches.clone() {
        tasks.spawn(async move {
            if let Err(error) = watches.run().await {
                tracing::error!("inotify: {error}; logs are looked at each {} s only", RESCAN.as_secs());
            }
        });
    }
    for (name, log) in logs {
        let (context, places) = (context.clone(), places.clone());
        match log {
            LogSpec::Files(spec) => {
                let publisher = Publisher::new(context, &name, spec.max_line);
                tasks.spawn(follow(spec, publisher, places, watches.clone(), trouble.clone()));
            }
            LogSpec::Journal(only) => {
                tasks.spawn(journal::follow(context, name, Some(only), places, journalctl.to_owned()));
            }
        }
    }
    tasks.spawn(journal::follow(context, journal::NAME.to_owned(), None, places.clone(), journalctl.to_owned()));
    tasks.spawn(async move { places.keep().await });
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            tracing::error!("a log is not read any more: {error}");
        }
    }
}

/// What a pass over the files of a log works with: it goes to a thread where waiting for a disk does no harm, and comes back.
struct Work {
    follower: Follower,
    filter: Filter,
    publisher: Publisher,
    has_more: bool,
}

impl Work {
    fn pass(mut self, changes: &Changes) -> Self {
        let now = self.publisher.context.clock.now().mono;
        self.has_more = self.follower.pass(changes, now, &mut self.filter, &mut self.publisher);
        self.publisher.tell_dropped();
        self
    }

    /// How long to wait if nothing changes.
    fn wait(&self, longest: Duration) -> Duration {
        let now = self.publisher.context.clock.now().mono;
        let due = self.follower.due().into_iter().chain(self.publisher.due()).min();
        due.map_or(longest, |due| due.saturating_sub(now).min(longest))
    }
}

/// Reads the files of one log while somebody wants them.
async fn follow(
    spec: FileSpec,
    publisher: Publisher,
    places: Arc<Places>,
    watches: Option<Arc<Watches>>,
    trouble: Option<String>,
) {
    let Context { router, health, clock, root, interval } = publisher.context.clone();
    let (log, source) = (publisher.log.clone(), publisher.source.clone());
    let longest = if watches.is_some() { RESCAN } else { interval };
    let mut demand = router.demand();
    loop {
        // Until somebody wants it.
        let filter = loop {
            let wanted = interest::in_files(&demand.borrow_and_update(), &log);
            if let Some(filter) = wanted {
                break filter;
            }
            if demand.changed().await.is_err() {
                return;
            }
        };
        let bell = Arc::new(Bell::default());
        let follower = Follower::new(spec.clone(), &root, watches.clone(), bell.clone(), places.files(&log));
        let publisher = Publisher::new(publisher.context.clone(), &log, spec.max_line);
        let mut work = Work { follower, filter, publisher, has_more: true };
        let mut changes = Changes { look: true, ..Changes::default() };
        loop {
            work = match tokio::task::spawn_blocking(move || work.pass(&changes)).await {
                Ok(work) => work,
                Err(error) => {
                    health.degraded(&source, format!("reading it failed: {error}; it is begun anew"));
                    sleep(RESCAN).await;
                    break;
                }
            };
            places.put_files(&log, Some(work.follower.left(clock.now().wall.as_nanos())));
            match (work.follower.problems().or_else(|| trouble.clone()), work.follower.absent()) {
                (Some(problems), _) => health.degraded(&source, problems),
                (None, Some(absent)) => health.absent(&source, absent),
                (None, None) => health.ok(&source),
            }
            let wait = if work.has_more { Duration::ZERO } else { work.wait(longest) };
            let mut is_rung = true;
            tokio::select! {
                () = bell.rung() => {}
                // The value stays unseen: it is looked at below.
                changed = demand.changed() => match changed {
                    Ok(()) => demand.mark_changed(),
                    Err(_) => return,
                },
                () = sleep(wait) => is_rung = false,
            }
            changes = bell.take();
            // What is due is due for all of it.
            changes.look |= !is_rung && wait == longest;
            if work.has_more {
                changes.look = true;
            }
            if demand.has_changed().unwrap_or(true) {
                let wanted = interest::in_files(&demand.borrow_and_update(), &log);
                match wanted {
                    Some(filter) => work.filter = filter,
                    None => {
                        drop(work);
                        health.forget(&source);
                        let again = demand.wait_for(|demand| interest::in_files(demand, &log).is_some());
                        if timeout(GRACE, again).await.is_err() {
                            places.put_files(&log, None);
                        }
                        break;
                    }
                }
            }
        }
    }
}
