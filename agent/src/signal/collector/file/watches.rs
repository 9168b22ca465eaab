use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

/// How often the directories of a file are looked for anew, if they change meanwhile.
const ATTEMPTS: usize = 10;

/// How sure it is that a change is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Hint {
    /// A file is being written.
    UnderWay,
    /// A file was renamed into place, closed by its writer, or removed; or more than is known.
    Complete,
}

/// Watches over the directories that files are in, or will be: of each file the nearest one that is there, and that of what
/// the file is a link to.
pub(super) struct Watches {
    /// None where inotify is refused, with the reason.
    watcher: Mutex<Result<RecommendedWatcher, String>>,
    shared: Arc<Shared>,
}

/// What inotify's thread and the collector have in common.
#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    bell: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Of each file: the path it is configured with, and where that leads.
    paths: Vec<BTreeSet<PathBuf>>,
    /// The directories watched for each file.
    of_file: BTreeMap<usize, BTreeSet<PathBuf>>,
    /// Which directory is watched under each path: one made anew is another one.
    watched: BTreeMap<PathBuf, (u64, u64)>,
    /// Files to look at: one hint each, so that a flood of events takes no memory.
    hints: BTreeMap<usize, Hint>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what inotify says; of the many other files in a directory nothing is kept.
    fn take(&self, event: notify::Result<Event>) {
        let mut state = self.state();
        let State { paths, hints, .. } = &mut *state;
        let mut put = |index, hint: Hint| {
            let known = hints.entry(index).or_insert(hint);
            *known = hint.max(*known);
        };
        match event {
            Ok(event) => {
                let is_lost = event.need_rescan();
                let Some(hint) = (if is_lost { Some(Hint::Complete) } else { hint(&event.kind) }) else { return };
                for (index, mine) in paths.iter().enumerate() {
                    // A directory above it that comes or goes concerns it too.
                    if is_lost || event.paths.iter().any(|path| mine.iter().any(|mine| mine.starts_with(path))) {
                        put(index, hint);
                    }
                }
            }
            Err(_) => (0..paths.len()).for_each(|index| put(index, Hint::Complete)),
        }
        let is_any = !state.hints.is_empty();
        drop(state);
        if is_any {
            self.bell.notify_one();
        }
    }
}

impl Watches {
    /// Watches nothing yet, for files at these paths; they are told apart by their place in the list.
    pub(super) fn new(paths: Vec<PathBuf>) -> Self {
        let paths = paths.into_iter().map(|path| BTreeSet::from([path])).collect();
        let shared = Arc::new(Shared { state: Mutex::new(State { paths, ..State::default() }), bell: Notify::new() });
        let taker = shared.clone();
        let watcher = notify::recommended_watcher(move |event| taker.take(event));
        Self { watcher: Mutex::new(watcher.map_err(|error| error.to_string())), shared }
    }

    /// The next file worth looking at. Nothing is lost if it is not waited for to the end.
    pub(super) async fn hint(&self) -> (usize, Hint) {
        loop {
            let first = self.shared.state().hints.pop_first();
            match first {
                Some(hint) => return hint,
                None => self.shared.bell.notified().await,
            }
        }
    }

    /// Watches whatever tells of changes of file `index` at `path` now, and no longer what does not; why it cannot be watched,
    /// if so. It may block.
    pub(super) fn attach(&self, index: usize, path: &Path) -> Result<(), String> {
        let mut watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        let watcher = watcher.as_mut().map_err(|reason| reason.clone())?;
        // A directory that is made before the one above it is watched would go unseen.
        for _ in 0..ATTEMPTS {
            let (paths, directories) = places(path);
            self.attach_to(watcher, index, paths, &directories)?;
            if places(path).1 == directories {
                break;
            }
        }
        Ok(())
    }

    fn attach_to(
        &self,
        watcher: &mut RecommendedWatcher,
        index: usize,
        paths: BTreeSet<PathBuf>,
        directories: &BTreeSet<PathBuf>,
    ) -> Result<(), String> {
        let unneeded: Vec<PathBuf> = {
            let mut state = self.shared.state();
            if let Some(mine) = state.paths.get_mut(index) {
                *mine = paths;
            }
            state.of_file.insert(index, directories.clone());
            let needed: BTreeSet<&PathBuf> = state.of_file.values().flatten().collect();
            state.watched.keys().filter(|watched| !needed.contains(watched)).cloned().collect()
        };
        for directory in unneeded {
            self.shared.state().watched.remove(&directory);
            // The watch of a directory that is gone has ended by itself.
            let _ = watcher.unwatch(&directory);
        }
        for directory in directories {
            let identity = std::fs::metadata(directory).map(|meta| (meta.dev(), meta.ino())).ok();
            let known = self.shared.state().watched.get(directory).copied();
            if identity.is_none() || identity == known {
                continue;
            }
            if known.is_some() {
                let _ = watcher.unwatch(directory);
            }
            watcher.watch(directory, RecursiveMode::NonRecursive).map_err(|error| error.to_string())?;
            self.shared.state().watched.extend(identity.map(|identity| (directory.clone(), identity)));
        }
        Ok(())
    }
}

/// The paths by which a file is known, and the directories that tell of it: of its path, and of what that leads to.
fn places(path: &Path) -> (BTreeSet<PathBuf>, BTreeSet<PathBuf>) {
    let mut paths = BTreeSet::from([path.to_owned()]);
    if let Ok(target) = std::fs::canonicalize(path) {
        paths.insert(target);
    } else if let (Ok(target), Some(parent)) = (std::fs::read_link(path), path.parent()) {
        // A link to what is not there yet.
        paths.insert(parent.join(target));
    }
    let directories = paths.iter().filter_map(|path| nearest_directory(path)).collect();
    (paths, directories)
}

/// The directory that `path` is in; if that is not there, the nearest above it that is.
fn nearest_directory(path: &Path) -> Option<PathBuf> {
    path.ancestors().skip(1).find(|directory| directory.is_dir()).map(Path::to_owned)
}

fn hint(kind: &EventKind) -> Option<Hint> {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write))
        | EventKind::Modify(ModifyKind::Name(_))
        | EventKind::Create(_)
        | EventKind::Remove(_) => Some(Hint::Complete),
        EventKind::Modify(_) | EventKind::Any | EventKind::Other => Some(Hint::UnderWay),
        EventKind::Access(_) => None,
    }
}
