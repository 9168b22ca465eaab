//! The last good version of each plugin, kept in the state directory: it runs in the place of one that failed its trial, also
//! when the agent has been started again meanwhile.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::content::Content;
use super::directory::File;
use super::limits;
use super::trust::{digest, signature_of};

/// The directory's name in the state directory.
const DIRECTORY: &str = "versions";

/// What became of a version that failed its trial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rollback {
    /// SHA-256 of it.
    pub(super) failed: String,
    /// SHA-256 of what runs in its place.
    pub(super) good: String,
    /// What people are told.
    pub(super) reason: String,
}

/// A plugin's file with its signature, as it was when this was made, also if another takes its place.
pub(super) struct Original {
    file: fs::File,
    signature: Option<Vec<u8>>,
}

impl Original {
    /// None if it is gone.
    pub(super) fn of(path: &Path) -> Option<Self> {
        Some(Self { file: fs::File::open(path).ok()?, signature: fs::read(signature_of(path)).ok() })
    }
}

/// The versions that are kept. What cannot be kept is told in the log, and missed when the agent is started again.
#[derive(Debug)]
pub(super) struct Versions {
    directory: PathBuf,
}

impl Versions {
    /// Those in this state directory.
    pub(super) fn open(state: &Path) -> io::Result<Self> {
        let directory = state.join(DIRECTORY);
        DirBuilder::new().mode(0o700).recursive(true).create(&directory)?;
        Ok(Self { directory })
    }

    /// Whether this version is kept.
    pub(super) fn has(&self, stem: &str, digest: &str) -> bool {
        self.code(stem, digest).exists()
    }

    /// Keeps what is in a plugin's file in the place of what was kept before, if that is what runs: it may have been written over
    /// meanwhile.
    pub(super) fn keep(&self, stem: &str, original: Original, running: &str) {
        if let Err(error) = self.copy(stem, original, running) {
            let directory = self.directory.display();
            tracing::warn!(plugin = stem, sha256 = running, "no copy of it can be kept in {directory}: {error}");
        }
    }

    fn copy(&self, stem: &str, mut original: Original, running: &str) -> io::Result<()> {
        let bytes = Content::read(&mut original.file, limits::FILE)?;
        let Some(bytes) = bytes.filter(|bytes| *digest(bytes) == *running) else { return Ok(()) };
        let code = self.code(stem, running);
        if let Some(signature) = original.signature {
            write(&signature_of(&code), &signature)?;
        }
        write(&code, &bytes)?;
        self.remove(stem, |path| *path != code && *path != signature_of(&code))
    }

    /// Remembers a version that failed.
    pub(super) fn mark(&self, stem: &str, rollback: &Rollback) {
        let text = toml::to_string(rollback).map_err(io::Error::other);
        if let Err(error) = text.and_then(|text| write(&self.note(stem), text.as_bytes())) {
            let directory = self.directory.display();
            tracing::warn!(plugin = stem, "that it was rolled back cannot be kept in {directory}: {error}");
        }
    }

    /// The version of a plugin that failed last.
    pub(super) fn rollback(&self, stem: &str) -> Option<Rollback> {
        let text = fs::read_to_string(self.note(stem)).ok()?;
        toml::from_str(&text).ok()
    }

    /// A version that is kept, to be read as if it were in the place of this file.
    pub(super) fn instead_of(&self, file: &File, digest: &str) -> File {
        file.moved(self.code(&file.stem, digest))
    }

    /// The plugin is gone.
    pub(super) fn forget(&self, stem: &str) {
        let _ = self.remove(stem, |_| true);
        let _ = fs::remove_file(self.note(stem));
    }

    /// Removes what is kept of a plugin.
    fn remove(&self, stem: &str, which: impl Fn(&PathBuf) -> bool) -> io::Result<()> {
        let is_of = |path: &PathBuf| {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            name.rsplit_once('@').is_some_and(|(of, _)| of == stem)
        };
        let files = fs::read_dir(&self.directory)?.filter_map(|entry| Some(entry.ok()?.path()));
        files.filter(|path| is_of(path) && which(path)).try_for_each(fs::remove_file)
    }

    fn code(&self, stem: &str, digest: &str) -> PathBuf {
        self.directory.join(format!("{stem}@{digest}.wasm"))
    }

    fn note(&self, stem: &str) -> PathBuf {
        self.directory.join(format!("{stem}.toml"))
    }
}

/// Never a half of it, whatever happens.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".").suffix(".part").tempfile_in(directory)?;
    io::Write::write_all(&mut file, bytes)?;
    file.as_file().sync_data()?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory.join(DIRECTORY)).unwrap();
        let mut names: Vec<String> = entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn the_last_version_that_ran_is_kept_with_its_signature_and_no_other() {
        let root = tempfile::tempdir().unwrap();
        let versions = Versions::open(root.path()).unwrap();
        let file = root.path().join("a.wasm");
        fs::write(&file, "one").unwrap();
        fs::write(root.path().join("a.wasm.minisig"), "signature").unwrap();
        let (one, two) = (digest(b"one"), digest(b"two"));
        let original = || Original::of(&file).unwrap();
        versions.keep("a", original(), &two);
        assert!(files(root.path()).is_empty(), "it is not what runs");
        versions.keep("a", original(), &one);
        assert!(versions.has("a", &one) && !versions.has("a", &two));
        let before = original();
        fs::remove_file(&file).unwrap();
        fs::write(&file, "two").unwrap();
        versions.keep("b", before, &one);
        fs::remove_file(root.path().join("a.wasm.minisig")).unwrap();
        versions.keep("a", original(), &two);
        let expected = [format!("a@{two}.wasm"), format!("b@{one}.wasm"), format!("b@{one}.wasm.minisig")];
        assert_eq!(files(root.path()), expected);

        let rollback = Rollback { failed: "x".into(), good: two.to_string(), reason: "it \"trapped\"\nat once".into() };
        assert_eq!(versions.rollback("a"), None);
        versions.mark("a", &rollback);
        assert_eq!(Versions::open(root.path()).unwrap().rollback("a"), Some(rollback));
        versions.forget("a");
        assert_eq!(files(root.path()).len(), 2, "only b's");
    }
}
