//! The files of one log, through rotations.

use std::collections::{BTreeMap, BTreeSet, HashSet};
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
    /// What was there when it looked last: a file that is not among them is new.
    known: HashSet<Identity>,
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
            known: HashSet::new(),
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
        let mut changed: BTreeSet<PathBuf> = self.missing.clone();
        for tail in &mut self.tails {
            match present.get(&tail.identity) {
                Some(path) => {
                    tail.is_retired = false;
                    tail.path.clone_from(path);
                }
                None if tail.is_retired => tail.look(),
                None => {
                    changed.insert(tail.path.clone());
                    tail.retire(now);
                    publisher.happened("log.rotated", &tail.path);
                }
            }
        }
        let open: HashSet<Identity> = self.tails.iter().map(|tail| tail.identity).collect();
        let names = present.clone();
        let new: Vec<_> = present.into_iter().filter(|(identity, _)| !open.contains(identity)).collect();
        changed.extend(new.iter().map(|(_, path)| path.clone()));
        if let Some(left) = &self.left {
            changed.extend(left.files.iter().map(|place| place.path.clone()));
        }
        let around = around(self.tails.iter().map(|tail| &tail.path).chain(&changed));
        let is_new = |identity: &Identity| new.iter().any(|(new, _)| new == identity);
        // Files that were rotated away before anybody saw them under their first name, the oldest first.
        let mut missed: Vec<_> = around
            .iter()
            .filter(|(path, _)| is_sibling(path, &changed))
            .map(|(path, metadata)| (path, Identity::of(metadata), metadata.modified().ok()))
            .filter(|(_, identity, _)| !open.contains(identity) && !is_new(identity))
            .collect();
        missed.sort_by_key(|(.., modified)| *modified);
        // Those that had another name when they were to be opened.
        let mut moved = HashSet::new();
        for (path, identity, _) in missed {
            let place = self.left.as_ref().and_then(|left| left.files.iter().find(|place| place.identity == identity));
            let is_younger = self.left.as_ref().is_some_and(|left| identity.is_younger(left.at));
            let begin = match place {
                Some(place) => Begin::Place(place),
                None if self.has_looked && !self.known.contains(&identity) => Begin::Start,
                None if !self.has_looked && is_younger => Begin::Start,
                None => continue,
            };
            // It is read under the name it had.
            let name = changed.iter().find(|name| is_rotation_of(path, name)).unwrap_or(path).clone();
            match Tail::open(path, begin, &self.spec, now) {
                Ok(tail) if tail.identity != identity => drop(moved.insert(identity)),
                Ok(mut tail) => {
                    tail.path = name;
                    tail.retire(now);
                    self.tails.push(tail);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => drop(moved.insert(identity)),
                Err(error) => tracing::warn!("{} was rotated away and cannot be read: {error}", path.display()),
            }
        }
        for (identity, path) in new {
            match Tail::open(&path, self.begin(&identity, &path), &self.spec, now) {
                Ok(tail) if tail.identity != identity => drop(moved.insert(identity)),
                Ok(tail) => {
                    self.unread.remove(&identity);
                    self.tails.push(tail);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => drop(moved.insert(identity)),
                Err(error) => {
                    if !self.has_looked {
                        self.unread.insert(identity);
                    }
                    self.problem(&path, &error);
                }
            }
        }
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
        // If no name was given to another file meanwhile, nothing came that was not seen; else what is around may be new.
        let now_is = |path: &PathBuf| fs::metadata(path).ok().map(|metadata| Identity::of(&metadata));
        let is_still = names.iter().all(|(identity, path)| now_is(path).as_ref() == Some(identity))
            && self.missing.iter().all(|path| now_is(path).is_none());
        let is_complete = moved.is_empty() && is_still;
        if is_complete {
            self.known = around.iter().map(|(_, metadata)| Identity::of(metadata)).collect();
            self.left = None;
            self.has_looked = true;
        }
        is_complete
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
