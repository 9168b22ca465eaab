//! Watching two directories: says when it is worth looking at them again.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// How long a file must have been left alone, when nothing says that its writer is done with it.
const QUIET: Duration = Duration::from_millis(250);
/// How often to look without having been told anything: events can be lost, and a directory can be replaced.
const RESCAN: Duration = Duration::from_secs(30);

/// How sure it is that a change is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hint {
    /// A file was renamed into place, closed by its writer, or removed.
    Complete,
    /// A file is being written.
    UnderWay,
}

/// Watches directories, which may come and go.
pub(super) struct DirectoryWatch {
    watcher: Option<RecommendedWatcher>,
    /// Which directory is watched under each path: a directory made anew is another one.
    watched: BTreeMap<PathBuf, (u64, u64)>,
    hints: mpsc::Receiver<Hint>,
    /// Keeps the queue open where there is no watcher to send into it.
    _sender: mpsc::Sender<Hint>,
}

impl DirectoryWatch {
    /// Watches `directories`, each as soon as it is there. Without inotify the periodic look is what remains.
    pub(super) fn new(directories: &[&Path]) -> Self {
        let (sender, hints) = mpsc::channel(64);
        let _sender = sender.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let hint = event.map_or(Some(Hint::Complete), |event| hint(&event.kind));
            // A full queue means that a look is due anyway.
            hint.map(|hint| sender.try_send(hint).ok());
        });
        let watcher = watcher
            .inspect_err(|error| tracing::warn!(%error, "changes are seen every {} s only", RESCAN.as_secs()))
            .ok();
        let mut watch = Self { watcher, watched: BTreeMap::new(), hints, _sender };
        directories.iter().for_each(|directory| watch.attach(directory));
        watch
    }

    /// Watches a directory if it is not the one that is watched already.
    pub(super) fn attach(&mut self, directory: &Path) {
        let Some(watcher) = &mut self.watcher else { return };
        let identity = std::fs::metadata(directory).ok().map(|meta| (meta.dev(), meta.ino()));
        if identity.as_ref() == self.watched.get(directory) {
            return;
        }
        if self.watched.remove(directory).is_some() {
            // The watch of a directory that is gone has ended by itself.
            let _ = watcher.unwatch(directory);
        }
        if let Some(identity) = identity {
            match watcher.watch(directory, RecursiveMode::NonRecursive) {
                Ok(()) => drop(self.watched.insert(directory.to_owned(), identity)),
                Err(error) => tracing::warn!(%error, "{} is looked at every 30 s only", directory.display()),
            }
        }
    }

    /// Resolves when it is worth looking: at once for a complete change, after [`QUIET`] for one under way, and every
    /// [`RESCAN`] anyway.
    pub(super) async fn changed(&mut self) {
        let mut deadline = Instant::now() + RESCAN;
        loop {
            tokio::select! {
                hint = self.hints.recv() => match hint {
                    Some(Hint::UnderWay) => deadline = Instant::now() + QUIET,
                    Some(Hint::Complete) | None => break,
                },
                () = sleep_until(deadline) => break,
            }
        }
        // What came at once is looked at together.
        while self.hints.try_recv().is_ok() {}
    }
}

fn hint(kind: &EventKind) -> Option<Hint> {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write))
        | EventKind::Modify(ModifyKind::Name(_))
        | EventKind::Remove(_) => Some(Hint::Complete),
        EventKind::Create(_) | EventKind::Modify(_) => Some(Hint::UnderWay),
        EventKind::Access(_) => None,
        EventKind::Any | EventKind::Other => Some(Hint::UnderWay),
    }
}
