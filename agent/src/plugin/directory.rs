use std::collections::BTreeMap;
use std::fs::{DirEntry, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::content::Content;
use super::{limits, trust};
use crate::permission::Permission;

/// The files of one ending in a directory, and how they change between two looks.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    ending: &'static str,
    /// Whether a signature beside a file belongs to it.
    signed: bool,
    permission: Permission,
    /// What was read of each file the last time, by stem.
    seen: BTreeMap<String, Look>,
    problem: Option<String>,
}

/// What there is to see of a file without reading it.
#[derive(Debug, PartialEq, Eq)]
struct Look {
    path: PathBuf,
    stamp: Stamp,
    /// That of its signature, where signatures matter and it has one.
    signature: Option<Stamp>,
    /// Why it is not obeyed: somebody else may change it.
    exposed: Option<String>,
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

impl Stamp {
    fn of(meta: &Metadata) -> Self {
        Self {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }
}

/// A file that is new or different.
pub(super) struct File {
    /// Its name without the ending.
    pub stem: String,
    /// Where it is.
    pub path: PathBuf,
    /// Why it is not obeyed: somebody else may change it.
    exposed: Option<String>,
    /// Whether it has a signature that matters.
    signed: bool,
    permission: Permission,
}

impl File {
    /// The same file of which a copy is elsewhere, where only this process writes.
    pub(super) fn moved(&self, path: PathBuf) -> Self {
        let signed = trust::signature_of(&path).exists();
        Self { stem: self.stem.clone(), path, exposed: None, signed, permission: self.permission }
    }

    /// What is in it now, or why that is not looked at.
    pub(super) fn content(&self) -> Result<Content, String> {
        match &self.exposed {
            Some(exposed) => Err(exposed.clone()),
            None => read(&self.path, limits::FILE, Some(self.permission)),
        }
    }

    /// What is in its signature now, where signatures matter and it has one.
    pub(super) fn signature(&self) -> Option<Result<Vec<u8>, String>> {
        let read = || read(&trust::signature_of(&self.path), trust::MAX_BYTES, None).map(|content| content.to_vec());
        self.signed.then(read)
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
        let permission = Permission::of_this_process();
        Self { path, ending, signed: false, permission, seen: BTreeMap::new(), problem: None }
    }

    /// The same, where a file and its signature belong together.
    pub(super) fn with_signatures(mut self, signed: bool) -> Self {
        self.signed = signed;
        self
    }

    /// Takes a file for a new one at the next look.
    pub(super) fn forget(&mut self, stem: &str) {
        self.seen.remove(stem);
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Why the directory could not be read at the last look.
    pub(super) fn problem(&self) -> Option<String> {
        self.problem.clone()
    }

    /// What is different since the last look; none if the directory cannot be read, or others may put files there: that says
    /// nothing about the operator's files.
    pub(super) fn changes(&mut self) -> Option<Changes> {
        let found = match self.list() {
            Ok(found) => found,
            Err(why) => {
                let problem = format!("{why}; what runs keeps running");
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
        for (stem, look) in found.iter().filter(|(stem, look)| self.seen.get(*stem) != Some(look)) {
            changed.push(self.file(stem, look));
        }
        self.seen = found;
        Some(Changes { changed, gone })
    }

    fn file(&self, stem: &str, look: &Look) -> File {
        File {
            stem: stem.to_owned(),
            path: look.path.clone(),
            exposed: look.exposed.clone(),
            signed: look.signature.is_some(),
            permission: self.permission,
        }
    }

    fn list(&self) -> Result<BTreeMap<String, Look>, String> {
        let found = self.entries().map_err(|error| format!("{} cannot be read: {error}", self.path.display()))?;
        self.permission
            .directory(&self.path)
            .map_err(|exposed| format!("nothing is read from {}: {exposed}", self.path.display()))?;
        Ok(found)
    }

    fn entries(&self) -> io::Result<BTreeMap<String, Look>> {
        let mut found = BTreeMap::new();
        for entry in std::fs::read_dir(&self.path)? {
            let entry = entry?;
            let path = entry.path();
            // Files that begin with a dot are somebody's temporary ones.
            let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
            if path.extension().is_none_or(|ending| ending != self.ending) || stem.starts_with('.') {
                continue;
            }
            // One that vanished meanwhile is not there.
            let Ok(meta) = std::fs::metadata(&path) else { continue };
            if meta.is_file() {
                let exposed = self.exposed(&entry, &meta);
                let beside = self.signed.then(|| std::fs::metadata(trust::signature_of(&path)).ok()).flatten();
                let signature = beside.filter(Metadata::is_file).as_ref().map(Stamp::of);
                found.insert(stem, Look { stamp: Stamp::of(&meta), signature, exposed, path });
            }
        }
        Ok(found)
    }

    /// Whether others may change a file. The directory is judged by itself; where a link leads is not in it.
    fn exposed(&self, entry: &DirEntry, meta: &Metadata) -> Option<String> {
        let path = entry.path();
        let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
        let judged = if is_link { self.permission.file(&path) } else { self.permission.end(&path, meta) };
        judged.err().map(|exposed| exposed.to_string())
    }
}

/// Reads a file once, as it is at this moment, if nobody else may change it.
fn read(path: &Path, most: u64, permission: Option<Permission>) -> Result<Content, String> {
    let error = |error: io::Error| format!("{} cannot be read: {error}", path.display());
    let mut file = std::fs::File::open(path).map_err(error)?;
    let meta = file.metadata().map_err(error)?;
    if let Some(permission) = permission {
        permission.end(path, &meta).map_err(|exposed| exposed.to_string())?;
    }
    let content = Content::read(&mut file, most).map_err(error)?;
    content.ok_or_else(|| format!("{} has {} bytes; at most {most} are read", path.display(), meta.len()))
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

    #[test]
    fn a_signature_that_comes_changes_or_goes_is_a_change_of_its_file() {
        let root = tempfile::tempdir().unwrap();
        let (file, signature) = (root.path().join("a.wasm"), root.path().join("a.wasm.minisig"));
        std::fs::write(&file, "a").unwrap();
        let mut unsigned = Directory::new(root.path().to_owned(), "wasm");
        let mut signed = Directory::new(root.path().to_owned(), "wasm").with_signatures(true);
        let seen = |directory: &mut Directory| {
            directory.changes().unwrap().changed.pop().map(|file| file.signature().map(Result::unwrap))
        };
        assert_eq!((seen(&mut unsigned), seen(&mut signed)), (Some(None), Some(None)));
        for text in ["one", "another"] {
            std::fs::write(&signature, text).unwrap();
            assert_eq!((seen(&mut unsigned), seen(&mut signed)), (None, Some(Some(text.into()))));
        }
        std::fs::remove_file(&signature).unwrap();
        assert_eq!((seen(&mut unsigned), seen(&mut signed)), (None, Some(None)));
        assert_eq!(seen(&mut signed), None);
        signed.forget("a");
        assert_eq!(seen(&mut signed), Some(None));
    }

    #[test]
    fn what_others_may_write_is_not_read() {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        let root = tempfile::tempdir().unwrap();
        let (file, elsewhere) = (root.path().join("a.wasm"), root.path().join("elsewhere"));
        std::fs::write(&file, "a").unwrap();
        std::fs::write(&elsewhere, "b").unwrap();
        std::os::unix::fs::symlink(&elsewhere, root.path().join("b.wasm")).unwrap();
        let mut directory = Directory::new(root.path().to_owned(), "wasm");
        assert_eq!(stems(&directory.changes().unwrap()), ["a", "b"]);
        for (path, stem) in [(&file, "a"), (&elsewhere, "b")] {
            mode(path, 0o666);
            let changes = directory.changes().unwrap();
            assert_eq!(stems(&changes), [stem]);
            let words = changes.changed[0].content().unwrap_err();
            assert!(words.contains("(mode 0666)") && words.contains("chmod go-w"), "{words}");
            mode(path, 0o644);
            assert!(directory.changes().unwrap().changed[0].content().is_ok());
        }
        mode(root.path(), 0o777);
        std::fs::write(root.path().join("c.wasm"), "c").unwrap();
        assert!(directory.changes().is_none());
        let problem = directory.problem().unwrap();
        assert!(problem.contains("(mode 0777)") && problem.contains("what runs keeps running"), "{problem}");
        mode(root.path(), 0o755);
        assert_eq!(stems(&directory.changes().unwrap()), ["c"]);
        assert_eq!(directory.problem(), None);
    }

    #[test]
    fn what_is_too_large_is_not_read() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("a");
        std::fs::write(&file, "12345").unwrap();
        assert_eq!(*read(&file, 5, None).unwrap(), *b"12345");
        assert!(read(&file, 4, None).unwrap_err().contains("at most 4"));
    }
}
