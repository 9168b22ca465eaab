//! Native code that was made before, in a private directory.
//!
//! Native code is what the agent runs unchecked, so an entry counts only if it carries a seal (HMAC-SHA-256 over the plugin's
//! digest and the code) that nobody can make who does not have the agent's key. Entries are written under another name and
//! renamed, and never changed in place: a file that is mapped must not change.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use hmac::{Hmac, KeyInit, Mac};
use rustix::process::geteuid;
use sha2::Sha256;
use tempfile::{Builder, NamedTempFile};

use super::super::limits;
use super::Native;

/// The directory's name in the state directory.
const DIRECTORY: &str = "native";
/// The key's, in the state directory: it seals entries and never leaves the directory.
const KEY: &str = "native.key";
/// The ending of an entry; one under way has another.
const ENDING: &str = "native";
/// Bytes of the seal, which is the end of an entry.
const SEAL: usize = 32;

/// Native code by the digest of what it was made from.
#[derive(Debug)]
pub(super) struct Cache {
    directory: PathBuf,
    key: [u8; 32],
    /// Bytes of all entries together.
    max: u64,
}

/// An entry that is being written.
pub(super) struct Entry {
    digest: String,
    file: NamedTempFile,
}

impl Entry {
    pub(super) fn file(&self) -> &File {
        self.file.as_file()
    }

    pub(super) fn into_file(self) -> io::Result<File> {
        Ok(self.file.into_file())
    }
}

impl Cache {
    /// The cache in this state directory. Fails where somebody else could write to it.
    pub(super) fn open(state: &Path) -> Result<Self, String> {
        let directory = state.join(DIRECTORY);
        let made = DirBuilder::new().mode(0o700).recursive(true).create(&directory);
        made.map_err(|error| format!("{}: {error}", directory.display()))?;
        private(&directory, true)?;
        let key = key(&state.join(KEY))?;
        let cache = Self { directory, key, max: limits::NATIVE_CACHE };
        cache.tidy(None);
        Ok(cache)
    }

    /// What is kept for this digest, if its seal is whole. Anything else under that name is removed.
    pub(super) fn get(&self, digest: &str) -> Option<File> {
        let path = self.path(digest);
        let mut file = OpenOptions::new()
            .read(true)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
            .open(&path)
            .ok()?;
        match self.is_sealed(digest, &mut file) {
            Ok(true) => {
                // What is used is kept longest.
                let _ = file.set_modified(SystemTime::now());
                Some(file)
            }
            wrong => {
                let why = wrong.err().map_or_else(|| "its seal is broken".into(), |error| error.to_string());
                tracing::warn!("{} is dropped and made anew: {why}", path.display());
                let _ = std::fs::remove_file(&path);
                None
            }
        }
    }

    /// A place for native code.
    pub(super) fn begin(&self, digest: &str) -> io::Result<Native> {
        let file = Builder::new()
            .prefix(".")
            .suffix(".part")
            .permissions(Permissions::from_mode(0o600))
            .tempfile_in(&self.directory)?;
        Ok(Native::Cached(Entry { digest: digest.to_owned(), file }))
    }

    /// Seals what was written and keeps it; what cannot be kept can be used all the same.
    pub(super) fn keep(&self, native: Native) -> io::Result<File> {
        let Native::Cached(mut entry) = native else { return native.into_file() };
        let sealed = entry.file.rewind().and_then(|()| self.seal(&entry.digest, entry.file.as_file_mut(), u64::MAX));
        let seal = sealed?.finalize().into_bytes();
        let file = entry.file.as_file_mut();
        // Not synced, which takes longer than all else: what a power cut leaves of it does not carry the seal.
        let kept = file.write_all(&seal);
        let (path, digest) = (self.path(&entry.digest), entry.digest.clone());
        let file = match kept {
            Ok(()) => match entry.file.persist(&path) {
                Ok(file) => file,
                Err(error) => self.unkept(&error.error, error.file.into_file()),
            },
            Err(error) => self.unkept(&error, entry.file.into_file()),
        };
        self.tidy(Some(&digest));
        // Opened anew: a file that is open for writing may not be mapped to run everywhere.
        Ok(File::open(&path).unwrap_or(file))
    }

    fn unkept(&self, error: &io::Error, file: File) -> File {
        tracing::warn!("native code is not kept in {}: {error}", self.directory.display());
        file
    }

    fn path(&self, digest: &str) -> PathBuf {
        self.directory.join(digest).with_extension(ENDING)
    }

    fn is_sealed(&self, digest: &str, file: &mut File) -> io::Result<bool> {
        let meta = file.metadata()?;
        let Some(length) = meta.len().checked_sub(SEAL as u64) else { return Ok(false) };
        if !meta.is_file() || meta.uid() != geteuid().as_raw() {
            return Ok(false);
        }
        let mac = self.seal(digest, file, length)?;
        let mut seal = [0; SEAL];
        file.read_exact(&mut seal)?;
        Ok(mac.verify_slice(&seal).is_ok())
    }

    /// The seal of a digest and so many bytes of a file.
    fn seal(&self, digest: &str, file: &mut File, length: u64) -> io::Result<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).map_err(io::Error::other)?;
        mac.update(digest.as_bytes());
        let mut rest = file.take(length);
        let mut buffer = vec![0; 64 << 10];
        loop {
            let count = rest.read(&mut buffer)?;
            match buffer.get(..count) {
                Some(read) if count > 0 => mac.update(read),
                _ => return Ok(mac),
            }
        }
    }

    /// Removes what is none of its own, what was left half written, and, beyond the limit, what was not used for longest;
    /// never the one that was just made.
    fn tidy(&self, newest: Option<&str>) {
        let Ok(listing) = std::fs::read_dir(&self.directory) else { return };
        let mut entries = Vec::new();
        for item in listing.flatten() {
            let path = item.path();
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let is_entry = path.extension().is_some_and(|ending| ending == ENDING) && stem.len() == 64;
            let Ok(meta) = item.metadata() else { continue };
            if is_entry && meta.is_file() {
                entries.push((meta.modified().unwrap_or(SystemTime::UNIX_EPOCH), meta.len(), stem, path));
            } else if newest.is_none() {
                // At the start alone: later, one may be under way.
                let _ = if meta.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
            }
        }
        entries.sort();
        let mut total: u64 = entries.iter().map(|(_, size, ..)| size).sum();
        for (_, size, stem, path) in entries {
            if total <= self.max {
                return;
            }
            if newest != Some(&*stem) && std::fs::remove_file(&path).is_ok() {
                total -= size;
            }
        }
    }
}

/// The key: made at the first start.
fn key(path: &Path) -> Result<[u8; 32], String> {
    let problem = |error: io::Error| format!("{}: {error}", path.display());
    if !path.exists() {
        let key: [u8; 32] = rand::random();
        let directory = path.parent().unwrap_or(Path::new("/"));
        let mut file =
            Builder::new().permissions(Permissions::from_mode(0o600)).tempfile_in(directory).map_err(problem)?;
        file.write_all(&key).and_then(|()| file.as_file().sync_all()).map_err(problem)?;
        file.persist_noclobber(path).map_err(|error| problem(error.error))?;
    }
    private(path, false)?;
    let bytes = std::fs::read(path).map_err(problem)?;
    bytes.try_into().map_err(|bytes: Vec<u8>| {
        format!("{} has {} bytes instead of 32; remove it, and a new one is made", path.display(), bytes.len())
    })
}

/// Whether only this user can get at it.
fn private(path: &Path, directory: bool) -> Result<(), String> {
    let shown = path.display();
    let meta = std::fs::symlink_metadata(path).map_err(|error| format!("{shown}: {error}"))?;
    let (mode, uid) = (meta.mode() & 0o7777, geteuid().as_raw());
    if meta.is_dir() != directory || meta.is_symlink() {
        return Err(format!("{shown} is something else; remove it"));
    }
    if meta.uid() != uid {
        return Err(format!(
            "{shown} belongs to user {}, not to {uid} that the agent runs as; `chown {uid} {shown}`",
            meta.uid()
        ));
    }
    if mode & 0o077 != 0 {
        return Err(format!("{shown} has mode {mode:04o}, so others can get at it; `chmod go= {shown}`"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    type Tamper<'a> = &'a dyn Fn(Vec<u8>) -> Vec<u8>;

    fn put(cache: &Cache, digest: &str, code: &[u8]) -> File {
        let native = cache.begin(digest).unwrap();
        let Native::Cached(mut entry) = native else { panic!("an entry of the cache") };
        entry.file.write_all(code).unwrap();
        cache.keep(Native::Cached(entry)).unwrap()
    }

    fn get(cache: &Cache, digest: &str) -> Option<Vec<u8>> {
        let mut file = cache.get(digest)?;
        let mut bytes = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut bytes).unwrap();
        bytes.truncate(bytes.len() - SEAL);
        Some(bytes)
    }

    fn digest(letter: char) -> String {
        letter.to_string().repeat(64)
    }

    #[test]
    fn what_is_kept_is_found_again_also_after_a_restart() {
        let state = tempfile::tempdir().unwrap();
        let cache = Cache::open(state.path()).unwrap();
        assert!(get(&cache, &digest('a')).is_none());
        put(&cache, &digest('a'), b"native");
        assert_eq!(get(&cache, &digest('a')).unwrap(), b"native");
        assert_eq!(get(&Cache::open(state.path()).unwrap(), &digest('a')).unwrap(), b"native");
        let mode = |name: &str| std::fs::metadata(state.path().join(name)).unwrap().mode() & 0o777;
        let entry = format!("{DIRECTORY}/{}.{ENDING}", digest('a'));
        assert_eq!([mode(DIRECTORY), mode(KEY), mode(&entry)], [0o700, 0o600, 0o600]);
    }

    #[test]
    fn what_was_tampered_with_is_dropped() {
        let state = tempfile::tempdir().unwrap();
        let cache = Cache::open(state.path()).unwrap();
        let path = cache.path(&digest('a'));
        let elsewhere = tempfile::tempdir().unwrap();
        let other = Cache::open(elsewhere.path()).unwrap();
        put(&other, &digest('a'), b"native");
        put(&cache, &digest('b'), b"native");
        let code = b"native code of some length";
        let tamper: [(&str, Tamper<'_>); 6] = [
            ("a flipped bit", &|mut it| {
                it[3] ^= 1;
                it
            }),
            ("a broken seal", &|mut it| {
                *it.last_mut().unwrap() ^= 1;
                it
            }),
            ("a missing end", &|it| it[..it.len() - 1].to_vec()),
            ("nothing", &|_| Vec::new()),
            ("another agent's entry", &|_| std::fs::read(other.path(&digest('a'))).unwrap()),
            ("another plugin's entry", &|_| std::fs::read(cache.path(&digest('b'))).unwrap()),
        ];
        for (what, tamper) in tamper {
            put(&cache, &digest('a'), code);
            let tampered = tamper(std::fs::read(&path).unwrap());
            std::fs::write(&path, tampered).unwrap();
            assert!(get(&cache, &digest('a')).is_none(), "{what}");
            assert!(!path.exists(), "{what}");
        }
        put(&cache, &digest('a'), code);
        std::fs::rename(&path, elsewhere.path().join("moved")).unwrap();
        std::os::unix::fs::symlink(elsewhere.path().join("moved"), &path).unwrap();
        assert!(get(&cache, &digest('a')).is_none());
        assert_eq!(get(&cache, &digest('b')).unwrap(), b"native");
    }

    #[test]
    fn a_directory_or_key_that_others_can_get_at_is_not_used() {
        let state = tempfile::tempdir().unwrap();
        Cache::open(state.path()).unwrap();
        for (name, mode, sane) in [(DIRECTORY, 0o755, 0o700), (KEY, 0o640, 0o600)] {
            let path = state.path().join(name);
            std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let error = Cache::open(state.path()).unwrap_err();
            assert!(error.contains(&format!("mode {mode:04o}")) && error.contains("chmod go="), "{error}");
            std::fs::set_permissions(&path, Permissions::from_mode(sane)).unwrap();
        }
        std::fs::write(state.path().join(KEY), "short").unwrap();
        assert!(Cache::open(state.path()).unwrap_err().contains("5 bytes instead of 32"));
        std::fs::remove_file(state.path().join(KEY)).unwrap();
        std::os::unix::fs::symlink("/dev/zero", state.path().join(KEY)).unwrap();
        assert!(Cache::open(state.path()).unwrap_err().contains("something else"));
    }

    #[test]
    fn it_is_bounded_and_what_is_not_its_own_goes() {
        let state = tempfile::tempdir().unwrap();
        let mut cache = Cache::open(state.path()).unwrap();
        cache.max = 250;
        for (age, letter) in ['a', 'b', 'c'].into_iter().enumerate() {
            let file = put(&cache, &digest(letter), &[0; 50]);
            file.set_modified(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(age as u64)).unwrap();
        }
        // The oldest was used since.
        assert!(get(&cache, &digest('a')).is_some());
        put(&cache, &digest('d'), &[0; 50]);
        let kept = |cache: &Cache| ['a', 'b', 'c', 'd'].map(|letter| cache.path(&digest(letter)).exists());
        assert_eq!(kept(&cache), [true, false, true, true]);
        // One that is larger than all that is allowed is kept alone.
        cache.max = 60;
        put(&cache, &digest('b'), &[0; 500]);
        assert_eq!(kept(&cache), [false, true, false, false]);
        std::fs::write(cache.directory.join(".old.part"), "half").unwrap();
        std::fs::write(cache.directory.join("script.sh"), "foreign").unwrap();
        Cache::open(state.path()).unwrap();
        let names: Vec<_> = std::fs::read_dir(&cache.directory).unwrap().flatten().map(|it| it.file_name()).collect();
        assert_eq!(names, [std::ffi::OsString::from(format!("{}.{ENDING}", digest('b')))]);
    }
}
