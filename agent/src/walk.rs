//! Finding files beneath directory handles: no symbolic link is followed on the way to any of them, whoever changes the
//! directories meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::time::Instant;

use globset::{GlobBuilder, GlobMatcher};
use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, openat, unlinkat};
use rustix::io::Errno;

/// Directories beneath one another that `**` goes down; each holds a handle open meanwhile.
const MAX_DEPTH: usize = 64;
/// Files that one action may touch.
const MAX_FILES: usize = 100_000;

/// A component of a target.
#[derive(Debug)]
enum Part {
    Name(OsString),
    Glob(GlobMatcher),
    /// `**`: any number of directories, none too.
    Deep,
}

/// A regular file, as it was when it was found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    pub(crate) metadata: Metadata,
}

/// What a target stands for.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    /// Regular files.
    pub(crate) files: BTreeMap<PathBuf, Metadata>,
    /// What matched but is left alone, or could not be looked into, and why.
    pub(crate) skipped: BTreeSet<String>,
    /// Whether the target is a glob: one that matches nothing is no mistake.
    pub(crate) is_glob: bool,
}

/// Every regular file that `target` stands for: an absolute path or glob without `..`.
pub(crate) fn find(target: &str, deadline: Instant) -> Result<Walk, String> {
    let parts = parts(target)?;
    let is_glob = parts.iter().any(|part| !matches!(part, Part::Name(_)));
    let mut walker = Walker { walk: Walk { is_glob, ..Walk::default() }, deadline };
    let root =
        open_at(CWD, OsStr::new("/"), OFlags::PATH | OFlags::DIRECTORY).map_err(|error| format!("/: {error}"))?;
    walker.descend(&root, Path::new("/"), &parts, 0)?;
    Ok(walker.walk)
}

fn parts(target: &str) -> Result<Vec<Part>, String> {
    let path = Path::new(target);
    if !path.is_absolute() || path.components().any(|component| component == Component::ParentDir) {
        return Err(format!("`{target}` is not an absolute path without `..`"));
    }
    if target.ends_with('/') {
        return Err(format!("`{target}` is a directory; `{target}*` are the files in it"));
    }
    let mut parts = Vec::new();
    for name in target.split('/').filter(|name| !name.is_empty() && *name != ".") {
        if name == "**" {
            if !matches!(parts.last(), Some(Part::Deep)) {
                parts.push(Part::Deep);
            }
        } else if name.contains(['*', '?', '[', ']', '{', '}', '\\']) {
            let glob = GlobBuilder::new(name).literal_separator(true).build();
            let glob = glob.map_err(|error| format!("`{target}` is not a path glob: {} in `{name}`", error.kind()))?;
            parts.push(Part::Glob(glob.compile_matcher()));
        } else {
            parts.push(Part::Name(name.into()));
        }
    }
    Ok(parts)
}

struct Walker {
    walk: Walk,
    deadline: Instant,
}

impl Walker {
    /// Goes on with the rest of the target beneath `directory`.
    fn descend(&mut self, directory: &File, path: &Path, parts: &[Part], depth: usize) -> Result<(), String> {
        let Some((part, rest)) = parts.split_first() else { return Ok(()) };
        if depth > MAX_DEPTH {
            self.skip(path, "deeper than is looked");
            return Ok(());
        }
        match part {
            Part::Name(name) => self.step(directory, path, name, rest, depth),
            Part::Glob(glob) => {
                for name in self.names(directory, path)? {
                    if glob.is_match(Path::new(&name)) {
                        self.step(directory, path, &name, rest, depth)?;
                    }
                }
                Ok(())
            }
            Part::Deep => {
                // No directory at all …
                self.descend(directory, path, rest, depth)?;
                // … or one more.
                for name in self.names(directory, path)? {
                    let child = path.join(&name);
                    match open_at(directory, &name, OFlags::PATH | OFlags::DIRECTORY) {
                        Ok(inner) => self.descend(&inner, &child, parts, depth + 1)?,
                        Err(Errno::NOTDIR) if rest.is_empty() => self.take(directory, &name, child)?,
                        Err(Errno::NOTDIR | Errno::LOOP | Errno::NOENT) => {}
                        Err(error) => self.skip(&child, &error.to_string()),
                    }
                }
                Ok(())
            }
        }
    }

    /// Into the directory `name`, or, at the target's end, the file itself.
    fn step(&mut self, directory: &File, path: &Path, name: &OsStr, rest: &[Part], depth: usize) -> Result<(), String> {
        let child = path.join(name);
        if rest.is_empty() {
            return self.take(directory, name, child);
        }
        match open_at(directory, name, OFlags::PATH | OFlags::DIRECTORY) {
            Ok(inner) => self.descend(&inner, &child, rest, depth + 1),
            Err(Errno::NOTDIR | Errno::LOOP) => {
                let is_link = look(directory, name).is_ok_and(|metadata| metadata.is_symlink());
                self.skip(&child, if is_link { "a symbolic link, which is not followed" } else { "not a directory" });
                Ok(())
            }
            Err(Errno::NOENT) => Ok(()),
            Err(error) => {
                self.skip(&child, &error.to_string());
                Ok(())
            }
        }
    }

    fn take(&mut self, directory: &File, name: &OsStr, path: PathBuf) -> Result<(), String> {
        match look(directory, name) {
            Ok(metadata) if metadata.is_file() => {
                if self.walk.files.len() >= MAX_FILES {
                    return Err(format!("more than {MAX_FILES} files match; narrow the target"));
                }
                self.walk.files.insert(path, metadata);
            }
            Ok(metadata) if metadata.is_symlink() => self.skip(&path, "a symbolic link, which is not followed"),
            Ok(metadata) if metadata.is_dir() => self.skip(&path, "a directory"),
            Ok(_) => self.skip(&path, "not a regular file"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => self.skip(&path, &error.to_string()),
        }
        Ok(())
    }

    /// The names in a directory; none of one that cannot be read.
    fn names(&mut self, directory: &File, path: &Path) -> Result<Vec<OsString>, String> {
        if Instant::now() >= self.deadline {
            return Err(format!("looking for files took too long, at {}; nothing was touched", path.display()));
        }
        let read = || -> Result<Vec<OsString>, Errno> {
            let readable = open_at(directory, OsStr::new("."), OFlags::RDONLY | OFlags::DIRECTORY)?;
            let mut names = Vec::new();
            for entry in Dir::new(readable)? {
                let entry = entry?;
                let name = entry.file_name().to_bytes();
                if name != b"." && name != b".." {
                    names.push(OsStr::from_bytes(name).to_owned());
                }
            }
            Ok(names)
        };
        Ok(read().unwrap_or_else(|error| {
            self.skip(path, &error.to_string());
            Vec::new()
        }))
    }

    fn skip(&mut self, path: &Path, why: &str) {
        self.walk.skipped.insert(format!("{} is {why}", path.display()));
    }
}

impl Found {
    /// Removes this file's name, if it still is this file's.
    pub(crate) fn unlink(&self) -> Result<(), String> {
        let (parent, name) = self.parent().map_err(|error| self.fail(&error))?;
        let now = look(&parent, name).map_err(|error| self.fail(&error))?;
        self.is_same(&now)?;
        unlinkat(&parent, name, AtFlags::empty()).map_err(|error| self.fail(&error.into()))
    }

    /// Opens this file for reading and writing, if it still is this one.
    pub(crate) fn open(&self) -> Result<File, String> {
        let (parent, name) = self.parent().map_err(|error| self.fail(&error))?;
        // Should it have become a pipe, opening it must not wait for somebody at the other end.
        let file = open_at(&parent, name, OFlags::RDWR | OFlags::NONBLOCK).map_err(|error| self.fail(&error.into()))?;
        self.is_same(&file.metadata().map_err(|error| self.fail(&error))?)?;
        Ok(file)
    }

    /// Says that something did not work with this file.
    pub(crate) fn fail(&self, error: &io::Error) -> String {
        format!("{}: {error}", self.path.display())
    }

    /// The directory it is in, reached without following a link, and its name there.
    fn parent(&self) -> io::Result<(File, &OsStr)> {
        let name = self.path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let mut directory = open_at(CWD, OsStr::new("/"), OFlags::PATH | OFlags::DIRECTORY)?;
        for component in self.path.parent().into_iter().flat_map(Path::components) {
            if let Component::Normal(name) = component {
                directory = open_at(&directory, name, OFlags::PATH | OFlags::DIRECTORY)?;
            }
        }
        Ok((directory, name))
    }

    fn is_same(&self, now: &Metadata) -> Result<(), String> {
        if now.is_file() && (now.dev(), now.ino()) == (self.metadata.dev(), self.metadata.ino()) {
            return Ok(());
        }
        Err(format!("{} is another file by now", self.path.display()))
    }
}

/// What a name stands for; a symbolic link for itself.
fn look(directory: &File, name: &OsStr) -> io::Result<Metadata> {
    open_at(directory, name, OFlags::PATH)?.metadata()
}

fn open_at(directory: impl std::os::fd::AsFd, name: &OsStr, flags: OFlags) -> Result<File, Errno> {
    openat(directory, name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()).map(File::from)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::time::Duration;

    use super::*;

    fn found(root: &Path, target: &str) -> Vec<String> {
        let walk = find(&format!("{}/{target}", root.display()), Instant::now() + Duration::from_secs(60)).unwrap();
        let relative = |path: &PathBuf| path.strip_prefix(root).unwrap().display().to_string();
        walk.files.keys().map(relative).collect()
    }

    #[test]
    fn globs_find_regular_files_and_never_follow_links() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        for path in ["a.log", "b.log", "c.txt", "x/a.log", "x/y/a.log", "x/y/z/b.log", "outside/a.log"] {
            fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            fs::write(root.join(path), path).unwrap();
        }
        fs::create_dir(root.join("in")).unwrap();
        symlink(root.join("outside"), root.join("in/link")).unwrap();
        symlink(root.join("outside/a.log"), root.join("in/a.log")).unwrap();
        assert_eq!(found(&root, "*.log"), ["a.log", "b.log"]);
        assert_eq!(found(&root, "x/**/a.log"), ["x/a.log", "x/y/a.log"]);
        assert_eq!(found(&root, "x/**/y/**/*.log"), ["x/y/a.log", "x/y/z/b.log"]);
        assert_eq!(found(&root, "x/**"), ["x/a.log", "x/y/a.log", "x/y/z/b.log"]);
        assert_eq!(found(&root, "{a,c}.*"), ["a.log", "c.txt"]);
        for target in ["in/*", "in/link/a.log", "in/**", "in/*/a.log", "in/**/a.log", "absent", "x", "x/a.log/b"] {
            assert_eq!(found(&root, target), [""; 0], "{target}");
        }
    }

    #[test]
    fn what_is_no_target_is_refused() {
        for target in ["a/b", "/var/../etc/passwd", "/var/log/..", "/var/log/", "/var/[a", "/var/{a/b,c}", ""] {
            assert!(find(target, Instant::now() + Duration::from_secs(60)).is_err(), "{target}");
        }
    }

    #[test]
    fn a_file_that_was_exchanged_meanwhile_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        let (inner, precious) = (root.join("inner"), root.join("precious"));
        fs::create_dir_all(&inner).unwrap();
        fs::create_dir_all(&precious).unwrap();
        fs::write(inner.join("f"), "junk").unwrap();
        fs::write(precious.join("f"), "gold").unwrap();
        let mut walk = find(&format!("{}/f", inner.display()), Instant::now() + Duration::from_secs(60)).unwrap();
        let (path, metadata) = walk.files.pop_first().unwrap();
        let found = Found { path, metadata };
        // The directory becomes a link to another …
        fs::rename(&inner, root.join("aside")).unwrap();
        symlink(&precious, &inner).unwrap();
        assert!(found.unlink().is_err() && found.open().is_err());
        // … or the file itself becomes one.
        fs::remove_file(&inner).unwrap();
        fs::create_dir(&inner).unwrap();
        symlink(precious.join("f"), inner.join("f")).unwrap();
        assert!(found.unlink().is_err() && found.open().is_err());
        fs::remove_file(inner.join("f")).unwrap();
        fs::hard_link(precious.join("f"), inner.join("f")).unwrap();
        assert!(found.unlink().unwrap_err().contains("another file by now"));
        assert_eq!(fs::read_to_string(precious.join("f")).unwrap(), "gold");
    }
}
