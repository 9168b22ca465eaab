use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;
use wildmatch::WildMatch;

use super::Place;

/// How often units that have come since are looked for. One that is known is read at once when it starts again.
pub(super) const LOOK: Duration = Duration::from_secs(30);

/// Most directories that are looked at: a host with 5,000 units has about as many.
const MAX_DIRECTORIES: usize = 20_000;

/// The units that are asked for, and where they are in the cgroup tree.
#[derive(Debug, Default)]
pub(super) struct Units {
    patterns: BTreeSet<String>,
    looked_at: Option<Instant>,
    found: BTreeMap<String, PathBuf>,
    /// Why none can be found.
    reason: Option<String>,
}

impl Units {
    /// Those whose names match one of the patterns. The tree is walked when the patterns change, and then seldom.
    pub(super) async fn look(&mut self, root: &Path, patterns: BTreeSet<String>) -> Vec<Place> {
        let is_old = self.looked_at.is_none_or(|at| at.elapsed() >= LOOK);
        if patterns.is_empty() {
            *self = Self::default();
        } else if is_old || patterns != self.patterns {
            let globs: Vec<WildMatch> = patterns.iter().map(|pattern| WildMatch::new(pattern)).collect();
            let root = root.to_owned();
            let walk = move || find(&root, |name| globs.iter().any(|glob| glob.matches(name)));
            let found = tokio::task::spawn_blocking(walk).await.unwrap_or_else(|error| Err(error.to_string()));
            self.reason = found.as_ref().err().cloned();
            self.found = found.unwrap_or_default();
            (self.patterns, self.looked_at) = (patterns, Some(Instant::now()));
        }
        self.found.iter().map(|(name, path)| Place::Unit(name.clone(), path.clone())).collect()
    }

    /// The names and patterns for which there is no unit, and why.
    pub(super) fn missing(&self) -> Vec<(String, String)> {
        let is_missing = |pattern: &&String| !self.found.keys().any(|name| WildMatch::new(pattern).matches(name));
        let why = || self.reason.clone().unwrap_or_else(|| "no such unit runs".to_owned());
        self.patterns.iter().filter(is_missing).map(|pattern| (pattern.clone(), why())).collect()
    }
}

/// Where cgroup v2 is mounted: by itself, or beside v1.
fn hierarchy(root: &Path) -> Option<PathBuf> {
    ["sys/fs/cgroup", "sys/fs/cgroup/unified"]
        .iter()
        .map(|place| root.join(place))
        .find(|place| place.join("cgroup.controllers").exists())
}

/// The directories of the units whose name is wanted, by name. Of two that are called the same it is the one further up: a
/// unit of the system and not of a user. An error if the host has no cgroups v2.
pub(super) fn find(root: &Path, wanted: impl Fn(&str) -> bool) -> Result<BTreeMap<String, PathBuf>, String> {
    let top = hierarchy(root).ok_or("this host has no cgroups v2, so the kernel tells no pressure of units")?;
    let mut found = BTreeMap::new();
    let mut queue = VecDeque::from([top]);
    let mut looked_at = 0;
    while let Some(directory) = queue.pop_front() {
        // One that is gone meanwhile has no units any more.
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            if looked_at == MAX_DIRECTORIES {
                return Ok(found);
            }
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            looked_at += 1;
            let name = entry.file_name().to_string_lossy().into_owned();
            if is_unit(&name) && wanted(&name) {
                found.entry(name).or_insert_with(|| entry.path());
            }
            queue.push_back(entry.path());
        }
    }
    Ok(found)
}

/// Whether a cgroup of this name is a unit of systemd's.
fn is_unit(name: &str) -> bool {
    [".service", ".scope", ".slice", ".mount", ".socket", ".swap"].iter().any(|kind| name.ends_with(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_found_wherever_they_lie() {
        let root = tempfile::tempdir().unwrap();
        assert!(find(root.path(), |_| true).unwrap_err().contains("no cgroups v2"));
        let top = root.path().join("sys/fs/cgroup/unified");
        for path in [
            "system.slice/web.service",
            "system.slice/web.service/worker",
            "user.slice/user-1.slice/web.service",
            "other",
        ] {
            fs::create_dir_all(top.join(path)).unwrap();
        }
        fs::write(top.join("cgroup.controllers"), "").unwrap();
        std::os::unix::fs::symlink(&top, top.join("loop.slice")).unwrap();
        let found = find(root.path(), |name| name == "web.service").unwrap();
        assert_eq!(found, BTreeMap::from([("web.service".to_owned(), top.join("system.slice/web.service"))]));
        let all: Vec<_> = find(root.path(), |_| true).unwrap().into_keys().collect();
        assert_eq!(all, ["system.slice", "user-1.slice", "user.slice", "web.service"]);
    }
}
