//! The files of one log, through rotations.
//!
//! Every complete line of every file that bore a name of the log once the first look was done is read once. A file is held open
//! from when it is seen until it has had no name of the log and nothing new for a minute (two seconds if it is deleted), so a
//! name that it loses takes nothing along. One that was renamed before anybody saw it is found beside the name that it bore.
//! Names move while they are looked at, so a file is only taken for an old one that has nothing to do with the log if it was
//! seen under a name that is none of the log's.
//!
//! The bounds: between two looks, a few milliseconds apart where inotify works, the following is not seen. A file that comes,
//! is rotated and then deleted, compressed or moved to another directory; one that is rotated whose name only a glob gives, and
//! that no file bore in the last minute; one that is rotated beside the target of a symbolic link; one that was there under a
//! name that is none of the log's, gets one and is rotated; one that came and went while the file before it was put aside and
//! then given its name back; and what is written before a file is truncated. A file that gets back a name of the log after it
//! was closed is a new one. Of directories with more entries, and logs with more files, than are looked at, none of this holds.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::paths::{MAX_ENTRIES, MAX_FILES};
use super::publish::Publisher;
use super::tail::{Begin, Identity, Left, Progress, Tail};
use super::watch::{Bell, Changes, Watch, Watches};
use super::{FileSpec, Filter, FirstSeen};

#[cfg(test)]
mod tests;

/// How long a file is kept open whose name is gone or another file's, after its writer last wrote: one that reopens its log on
/// a signal may take its time.
const RETIRED: Duration = Duration::from_secs(60);
/// The same for a file without any name: as long as it is open, its space is not free.
const DELETED: Duration = Duration::from_secs(2);
/// How often it is looked again at once where names move meanwhile.
const LOOKS: usize = 20;
/// Endings of files that are no logs any more, and of those that are not yet complete.
const NO_LOGS: [&str; 9] = ["gz", "xz", "zst", "bz2", "lz4", "Z", "zip", "tmp", "swp"];

/// Reads the files of one log.
#[derive(Debug)]
pub(super) struct Follower {
    spec: FileSpec,
    root: PathBuf,
    watches: Option<Arc<Watches>>,
    bell: Arc<Bell>,
    directories: Vec<Watch>,
    /// In the order in which they are read.
    tails: Vec<Tail>,
    /// What has been there, and since when it is not any more: a file that is not among them is new.
    known: HashMap<Identity, Option<Duration>>,
    /// Names that are no file's, or another one's than when a look last was complete.
    changed: BTreeSet<PathBuf>,
    /// What was there at the first look and could not be opened.
    unread: HashSet<Identity>,
    /// What an earlier agent left, until the first look.
    left: Option<Left>,
    has_looked: bool,
    /// What is wrong, by path.
    problems: BTreeMap<PathBuf, String>,
    missing: BTreeSet<PathBuf>,
}

impl Follower {
    /// Of a log below `root`, beginning where an earlier agent left it.
    pub(super) fn new(
        spec: FileSpec,
        root: &Path,
        watches: Option<Arc<Watches>>,
        bell: Arc<Bell>,
        left: Option<Left>,
    ) -> Self {
        Self {
            spec,
            root: root.to_owned(),
            watches,
            bell,
            directories: Vec::new(),
            tails: Vec::new(),
            known: HashMap::new(),
            changed: BTreeSet::new(),
            unread: HashSet::new(),
            left,
            has_looked: false,
            problems: BTreeMap::new(),
            missing: BTreeSet::new(),
        }
    }

    /// Looks if need be, and reads what has come; true if there is more. All of it is read after what changed was asked for, so
    /// that nothing that comes meanwhile is missed.
    pub(super) fn pass(
        &mut self,
        changes: &Changes,
        now: Duration,
        filter: &mut Filter,
        publisher: &mut Publisher,
    ) -> bool {
        if changes.look || !self.has_looked {
            // Names may move while they are looked at.
            for _ in 0..LOOKS {
                if self.look(now, publisher) {
                    break;
                }
            }
        }
        let everything = changes.look || self.watches.is_none();
        let mut has_more = false;
        for tail in &mut self.tails {
            let is_written = tail.watch.as_ref().is_none_or(|watch| changes.written.contains(&watch.number()));
            if everything || is_written {
                has_more |= read(tail, now, filter, publisher, &mut self.problems);
            }
            let Tail { path, .. } = &*tail;
            let path = path.clone();
            tail.flush(now, filter, |record| publisher.line(&path, record));
        }
        self.let_go(now, filter, publisher);
        has_more
    }

    /// When a pass is due though nothing changes.
    pub(super) fn due(&self) -> Option<Duration> {
        let retired = self.tails.iter().filter(|tail| tail.is_retired).map(|tail| tail.last + grace(tail));
        retired.chain(self.tails.iter().filter_map(Tail::due)).min()
    }

    /// How far everything is read.
    pub(super) fn left(&self, at: u64) -> Left {
        Left { at, files: self.tails.iter().map(Tail::place).collect() }
    }

    /// What is wrong, in words.
    pub(super) fn problems(&self) -> Option<String> {
        let words: Vec<&str> = self.problems.values().map(String::as_str).take(3).collect();
        let more = self.problems.len().saturating_sub(words.len());
        let and_more = if more > 0 { format!(" (and {more} more)") } else { String::new() };
        (!words.is_empty()).then(|| words.join("; ") + &and_more)
    }

    /// What is not there, in words, if there is nothing at all.
    pub(super) fn absent(&self) -> Option<String> {
        if self.tails.iter().any(|tail| !tail.is_retired) {
            return None;
        }
        Some(match self.missing.first() {
            Some(path) => format!("{} is not there; it is read as soon as it is", path.display()),
            None => "no file matches; one is read as soon as it does".to_owned(),
        })
    }

    /// Finds out which files there are, and opens them; false if one was renamed between the two, so that another look is due.
    fn look(&mut self, now: Duration, publisher: &Publisher) -> bool {
        self.problems.clear();
        let present = self.present();
        self.compare(&present, now, publisher);
        // Only now: whatever bore a name and lost it before `present` is among them.
        let around = around(self.tails.iter().map(|tail| &tail.path).chain(&self.changed));
        let are_missed_open = self.open_missed(&present, &around, now);
        let are_new_open = self.open_new(&present, now);
        self.watch_tails();
        // A name that was given to another file meanwhile had perhaps a third in between, and is not known to have changed.
        let now_is = |path: &PathBuf| fs::metadata(path).ok().map(|metadata| Identity::of(&metadata));
        let is_still = present.iter().all(|(identity, path)| now_is(path).as_ref() == Some(identity))
            && self.missing.iter().all(|path| now_is(path).is_none());
        let is_complete = are_missed_open && are_new_open && is_still;
        if is_complete {
            self.remember(&around, now);
        }
        is_complete
    }

    /// Notes which files have lost their names, and which names are no file's or another one's.
    fn compare(&mut self, present: &BTreeMap<Identity, PathBuf>, now: Duration, publisher: &Publisher) {
        let names: HashSet<&PathBuf> = present.values().collect();
        self.changed.extend(self.missing.iter().cloned());
        if let Some(left) = &self.left {
            self.changed.extend(left.files.iter().map(|place| place.path.clone()));
        }
        for tail in &mut self.tails {
            match present.get(&tail.identity) {
                Some(path) => {
                    tail.is_retired = false;
                    tail.path.clone_from(path);
                }
                None if tail.is_retired => {
                    tail.look();
                    // No file has it, but one may have had it.
                    if !names.contains(&tail.path) {
                        self.changed.insert(tail.path.clone());
                    }
                }
                None => {
                    self.changed.insert(tail.path.clone());
                    tail.retire(now);
                    publisher.happened("log.rotated", &tail.path);
                }
            }
        }
        let open = self.open();
        let new: Vec<_> = present.iter().filter(|(identity, _)| !open.contains(*identity)).collect();
        self.changed.extend(new.into_iter().map(|(_, path)| path.clone()));
    }

    /// Opens the files that were rotated away before anybody saw them under their first name, the oldest first; false if one
    /// had another name by then.
    fn open_missed(
        &mut self,
        present: &BTreeMap<Identity, PathBuf>,
        around: &[(PathBuf, Metadata)],
        now: Duration,
    ) -> bool {
        let mut open = self.open();
        let mut missed: Vec<_> = around
            .iter()
            .filter(|(path, _)| is_sibling(path, &self.changed))
            .map(|(path, metadata)| (path, Identity::of(metadata), metadata.modified().ok()))
            .filter(|(_, identity, _)| !present.contains_key(identity))
            .collect();
        missed.sort_by_key(|(_, identity, modified)| (identity.born(), *modified));
        let mut is_complete = true;
        for (path, identity, _) in missed {
            let place = self.left.as_ref().and_then(|left| left.files.iter().find(|place| place.identity == identity));
            let is_younger = self.left.as_ref().is_some_and(|left| identity.is_younger(left.at));
            let begin = match place {
                Some(place) => Begin::Place(place),
                None if self.has_looked && !self.known.contains_key(&identity) => Begin::Start,
                None if !self.has_looked && is_younger => Begin::Start,
                None => continue,
            };
            // A file may have two names, or be listed under both when it is renamed meanwhile.
            if !open.insert(identity) {
                continue;
            }
            // It is read under the name it had.
            let name = self.changed.iter().find(|name| is_rotation_of(path, name)).unwrap_or(path).clone();
            match Tail::open(path, begin, &self.spec, now) {
                Ok(tail) if tail.identity != identity => is_complete = false,
                Ok(mut tail) => {
                    tail.path = name;
                    tail.retire(now);
                    self.tails.push(tail);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => is_complete = false,
                Err(error) => tracing::warn!("{} was rotated away and cannot be read: {error}", path.display()),
            }
        }
        is_complete
    }

    /// Opens the files of the log that are not open yet; false if a name was another file's by then.
    fn open_new(&mut self, present: &BTreeMap<Identity, PathBuf>, now: Duration) -> bool {
        let open = self.open();
        let mut is_complete = true;
        for (identity, path) in present.iter().filter(|(identity, _)| !open.contains(*identity)) {
            match Tail::open(path, self.begin(identity, path), &self.spec, now) {
                Ok(tail) if tail.identity != *identity => is_complete = false,
                Ok(tail) => {
                    self.unread.remove(identity);
                    self.tails.push(tail);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => is_complete = false,
                Err(error) => {
                    if !self.has_looked {
                        self.unread.insert(*identity);
                    }
                    self.problem(path, &error);
                }
            }
        }
        is_complete
    }

    /// Has it told when something is written to the files that are open.
    fn watch_tails(&mut self) {
        for tail in self.tails.iter_mut().filter(|tail| tail.watch.is_none()) {
            let watch = self.watches.as_ref().map(|watches| watches.file(tail.file(), &self.bell)).transpose();
            match watch {
                Ok(watch) => tail.watch = watch,
                Err(error) => {
                    let problem = format!("{}: is looked at seldom: inotify: {error}", tail.path.display());
                    self.problems.insert(tail.path.clone(), problem);
                }
            }
        }
    }

    /// A look is complete: what is around is not new the next time. A file that was seen under a name of the log and is not open
    /// got that name during the look: it is new still, though it may have been rotated by the next. And one that is renamed
    /// while the directory is read may be missing from the list: it is not forgotten for a while.
    fn remember(&mut self, around: &[(PathBuf, Metadata)], now: Duration) {
        let open = self.open();
        let mut seen = HashSet::new();
        for (path, metadata) in around {
            let identity = Identity::of(metadata);
            if open.contains(&identity) || self.unread.contains(&identity) || !self.changed.contains(path) {
                seen.insert(identity);
            } else {
                self.known.remove(&identity);
            }
        }
        self.known.retain(|identity, gone| seen.contains(identity) || now < *gone.get_or_insert(now) + RETIRED);
        self.known.extend(seen.into_iter().map(|identity| (identity, None)));
        self.changed.clear();
        self.left = None;
        self.has_looked = true;
    }

    fn open(&self) -> HashSet<Identity> {
        self.tails.iter().map(|tail| tail.identity).collect()
    }

    /// Every file of the log that is there now, by what it is: one with two names is read once.
    fn present(&mut self) -> BTreeMap<Identity, PathBuf> {
        let mut directories = BTreeMap::new();
        let (watches, bell) = (self.watches.clone(), self.bell.clone());
        let mut directory = |path: &Path| {
            let Some(watches) = watches.as_ref().filter(|_| !directories.contains_key(path)) else { return };
            directories.insert(path.to_owned(), watches.directory(path, &bell));
        };
        let (mut present, mut total) = (BTreeMap::new(), 0);
        self.missing.clear();
        for pattern in self.spec.paths.clone() {
            for path in pattern.expand(&self.root, &mut directory) {
                let is_wrong = |error| (error, path.clone());
                let wrong = match fs::metadata(&path) {
                    Ok(metadata) if metadata.is_file() => {
                        total += 1;
                        if total <= MAX_FILES {
                            present.entry(Identity::of(&metadata)).or_insert(path);
                            continue;
                        }
                        is_wrong(io::Error::other(format!("not read: a log has {MAX_FILES} files at most")))
                    }
                    // A glob may name directories too.
                    Ok(metadata) if metadata.is_dir() && !pattern.is_plain() => continue,
                    Ok(_) => is_wrong(io::Error::other("it is no regular file")),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        self.missing.insert(path);
                        continue;
                    }
                    Err(error) => is_wrong(error),
                };
                self.problem(&wrong.1, &wrong.0);
            }
        }
        let mut watched = Vec::new();
        for (path, watch) in directories {
            match watch {
                Ok(watch) => watched.push(watch),
                Err(error) => drop(self.problems.insert(
                    path.clone(),
                    format!("{}: new files in it are seen seldom: inotify: {error}", path.display()),
                )),
            }
        }
        // Only now those of before end: of a directory in both, the watch goes on.
        self.directories = watched;
        present
    }

    /// Where to begin in a file of the log that was not read so far.
    fn begin(&self, identity: &Identity, path: &Path) -> Begin<'_> {
        let first_seen = match self.spec.from {
            FirstSeen::Start => Begin::Start,
            FirstSeen::End => Begin::End,
        };
        match &self.left {
            _ if self.unread.contains(identity) => first_seen,
            _ if self.has_looked => Begin::Start,
            None => first_seen,
            Some(left) => match left.files.iter().find(|place| place.identity == *identity) {
                Some(place) => Begin::Place(place),
                // It came while no agent looked.
                None if identity.is_younger(left.at) || left.files.iter().any(|place| place.path == path) => {
                    Begin::Start
                }
                None => first_seen,
            },
        }
    }

    /// Closes what was rotated away and nobody writes to any more.
    fn let_go(&mut self, now: Duration, filter: &mut Filter, publisher: &mut Publisher) {
        let surplus = self.tails.len().saturating_sub(2 * MAX_FILES);
        let mut count = 0;
        self.tails.retain_mut(|tail| {
            let is_surplus = count < surplus;
            let is_over = tail.is_retired && (is_surplus || now >= tail.last + grace(tail));
            if is_over {
                count += 1;
                let path = tail.path.clone();
                tail.finish(filter, |record| publisher.line(&path, record));
            }
            !is_over
        });
    }

    fn problem(&mut self, path: &Path, error: &io::Error) {
        self.problems.insert(path.to_owned(), format!("{}: {error}", path.display()));
    }
}

/// Reads one file; true if there is more.
fn read(
    tail: &mut Tail,
    now: Duration,
    filter: &mut Filter,
    publisher: &mut Publisher,
    problems: &mut BTreeMap<PathBuf, String>,
) -> bool {
    let path = tail.path.clone();
    match tail.read(now, filter, |record| publisher.line(&path, record)) {
        Ok((progress, was_truncated)) => {
            if was_truncated {
                publisher.happened("log.truncated", &path);
            }
            progress == Progress::More
        }
        Err(error) => {
            problems.insert(path.clone(), format!("{}: {error}", path.display()));
            false
        }
    }
}

fn grace(tail: &Tail) -> Duration {
    if tail.is_deleted { DELETED } else { RETIRED }
}

/// The regular files in the directories of these.
fn around<'a>(paths: impl Iterator<Item = &'a PathBuf>) -> Vec<(PathBuf, Metadata)> {
    let directories: BTreeSet<&Path> = paths.filter_map(|path| path.parent()).collect();
    let entries = directories
        .into_iter()
        .flat_map(|directory| fs::read_dir(directory).into_iter().flatten().flatten().take(MAX_ENTRIES));
    entries
        .filter_map(|entry| Some((entry.path(), entry.metadata().ok()?)))
        .filter(|(_, metadata)| metadata.is_file())
        .collect()
}

fn is_sibling(path: &Path, names: &BTreeSet<PathBuf>) -> bool {
    !NO_LOGS.iter().any(|ending| path.extension().is_some_and(|have| have == *ending))
        && names.iter().any(|name| is_rotation_of(path, name))
}

/// Whether a path looks like `name` after a rotation: `app.log.1`, `app.log-20260101`.
fn is_rotation_of(path: &Path, name: &Path) -> bool {
    let (Some(file), Some(base)) = (path.file_name(), name.file_name()) else { return false };
    let rest = file.as_encoded_bytes().strip_prefix(base.as_encoded_bytes());
    path.parent() == name.parent() && rest.is_some_and(|rest| matches!(rest, [b'.' | b'-' | b'_', ..]))
}
