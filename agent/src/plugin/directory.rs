use std::collections::BTreeMap;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::limits;

/// The files of one ending in a directory, and how they change between two looks.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    ending: &'static str,
    /// What each file was like the last time, by stem.
    seen: BTreeMap<String, Stamp>,
    problem: Option<String>,
}

/// What tells one version of a file from another without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// A file that is new or different.
pub(super) struct File {
    /// Its name without the ending.
    pub stem: String,
    /// Where it is.
    pub path: PathBuf,
    size: u64,
}

impl File {
    /// What is in it.
    pub(super) fn read(&self) -> io::Result<Vec<u8>> {
        if self.size > limits::FILE {
            return Err(io::Error::other(format!("{} bytes; at most {} are read", self.size, limits::FILE)));
        }
        let mut content = Vec::new();
        // It may have grown meanwhile.
        std::fs::File::open(&self.path)?.take(limits::FILE + 1).read_to_end(&mut content)?;
        Ok(content)
    }
}

/// What became different since the last look.
pub(super) struct Changes {
    /// New or different files.
    pub changed: Vec<File>,
    /// Stems of files that are not there any more.
    pub gone: Vec<String>,
}

impl Directory {
    /// Files `*.ending` in `path`; nothing is read yet.
    pub(super) fn new(path: PathBuf, ending: &'static str) -> Self {
        Self { path, ending, seen: BTreeMap::new(), problem: None }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Why the directory could not be read at the last look.
    pub(super) fn problem(&self) -> Option<String> {
        self.problem.clone()
    }

    /// What is different since the last look; none if the directory cannot be read, which says nothing about its files.
    pub(super) fn changes(&mut self) -> Option<Changes> {
        let found = match self.list() {
            Ok(found) => found,
            Err(error) => {
                let problem = format!("{} cannot be read: {error}; what runs keeps running", self.path.display());
                if self.problem.as_ref() != Some(&problem) {
                    tracing::error!("{problem}");
                }
                self.problem = Some(problem);
                return None;
            }
        };
        if self.problem.take().is_some() {
            tracing::info!("{} can be read again", self.path.display());
        }
        let gone = self.seen.keys().filter(|stem| !found.contains_key(*stem)).cloned().collect();
        let mut changed = Vec::new();
        for (stem, (path, stamp)) in &found {
            if self.seen.get(stem) != Some(stamp) {
                changed.push(File { stem: stem.clone(), path: path.clone(), size: stamp.size });
            }
        }
        self.seen = found.into_iter().map(|(stem, (_, stamp))| (stem, stamp)).collect();
        Some(Changes { changed, gone })
    }

    fn list(&self) -> io::Result<BTreeMap<String, (PathBuf, Stamp)>> {
        let mut found = BTreeMap::new();
        for entry in std::fs::read_dir(&self.path)? {
            let path = entry?.path();
            // Files that begin with a dot are somebody's temporary ones.
            let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
            if path.extension().is_none_or(|ending| ending != self.ending) || stem.starts_with('.') {
                continue;
            }
            // One that vanished meanwhile is not there.
            let Ok(meta) = std::fs::metadata(&path) else { continue };
            if meta.is_file() {
                let stamp = Stamp {
                    device: meta.dev(),
                    inode: meta.ino(),
                    size: meta.size(),
                    modified: (meta.mtime(), meta.mtime_nsec()),
                    changed: (meta.ctime(), meta.ctime_nsec()),
                };
                found.insert(stem, (path, stamp));
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stems(changes: &Changes) -> Vec<&str> {
        changes.changed.iter().map(|file| file.stem.as_str()).collect()
    }

    #[test]
    fn only_what_changed_is_told_and_a_vanished_directory_changes_nothing() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("plugins");
        let mut directory = Directory::new(path.clone(), "wasm");
        assert!(directory.changes().is_none());
        assert!(directory.problem().unwrap().contains("cannot be read"));

        std::fs::create_dir(&path).unwrap();
        for name in ["a.wasm", "b.wasm", ".hidden.wasm", "c.txt", "a.wasm.minisig"] {
            std::fs::write(path.join(name), name).unwrap();
        }
        std::fs::create_dir(path.join("d.wasm")).unwrap();
        assert_eq!(stems(&directory.changes().unwrap()), ["a", "b"]);
        assert!(stems(&directory.changes().unwrap()).is_empty());

        std::fs::write(path.join("new"), "another a").unwrap();
        std::fs::rename(path.join("new"), path.join("a.wasm")).unwrap();
        std::fs::remove_file(path.join("b.wasm")).unwrap();
        let changes = directory.changes().unwrap();
        assert_eq!(stems(&changes), ["a"]);
        assert_eq!(changes.gone, ["b"]);

        std::fs::rename(&path, root.path().join("elsewhere")).unwrap();
        assert!(directory.changes().is_none());
        std::fs::rename(root.path().join("elsewhere"), &path).unwrap();
        assert!(stems(&directory.changes().unwrap()).is_empty());
        assert_eq!(directory.problem(), None);
    }
}
