use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::OFlags;
use sha2::{Digest, Sha256};

use crate::clock::Timestamp;
use crate::config::WatchedFile;
use crate::signal::{Attribute, Value};

/// The largest file that is summed up: 64 MiB take about a quarter of a second.
pub(super) const MAX_SUMMED: u64 = 64 << 20;

/// What came of a look.
#[derive(Debug)]
pub(super) struct Look {
    /// What was seen, or why nothing was.
    pub(super) result: Result<Seen, String>,
    /// Whether changes will be told.
    pub(super) watched: Result<(), String>,
}

/// How a file is at one moment; nothing, if it is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen(Option<Present>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Present {
    kind: &'static str,
    size: u64,
    modified: Timestamp,
    /// Device, inode and the time of the last change of either content or metadata: which file this is.
    identity: (u64, u64, i64, i64),
    checksum: Option<String>,
}

/// Looks at a file, after `attach` has been given the path to watch, so that no change falls between the two. `before` is
/// what was seen last: what has not changed is not summed up again.
pub(super) fn look(
    file: &WatchedFile,
    before: Option<&Seen>,
    attach: impl FnOnce(&Path) -> Result<(), String>,
) -> Look {
    let watched = attach(&file.path);
    Look { result: see(file, before).map_err(|error| error.to_string()), watched }
}

fn see(file: &WatchedFile, before: Option<&Seen>) -> io::Result<Seen> {
    let meta = match fs::metadata(&file.path) {
        Ok(meta) => meta,
        // A path through something that is no directory leads nowhere, and so does a link to nothing.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Seen(None));
        }
        Err(error) => return Err(error),
    };
    let mut present = Present::new(&meta);
    if file.checksum && meta.is_file() && present.size <= MAX_SUMMED {
        let same = before.and_then(|before| before.0.as_ref()).filter(|before| before.identity == present.identity);
        present.checksum = match same.and_then(|before| before.checksum.clone()) {
            Some(checksum) => Some(checksum),
            None => Some(sum(&file.path)?),
        };
    }
    Ok(Seen(Some(present)))
}

/// The SHA-256 of the content, of at most [`MAX_SUMMED`] bytes even if it grows meanwhile.
fn sum(path: &Path) -> io::Result<String> {
    // What has become a pipe since it was looked at must not be waited for.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file: File = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let mut file = file.take(MAX_SUMMED);
    let (mut digest, mut buffer) = (Sha256::new(), vec![0; 64 << 10]);
    loop {
        let count = file.read(&mut buffer)?;
        match buffer.get(..count) {
            Some([]) | None => break,
            Some(read) => digest.update(read),
        }
    }
    Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

impl Present {
    fn new(meta: &Metadata) -> Self {
        let kind = meta.file_type();
        let kind = match () {
            () if kind.is_file() => "file",
            () if kind.is_dir() => "directory",
            () if kind.is_socket() => "socket",
            () if kind.is_fifo() => "fifo",
            () if kind.is_block_device() => "block-device",
            () => "character-device",
        };
        let modified = meta.modified().ok().and_then(|time: SystemTime| time.duration_since(UNIX_EPOCH).ok());
        let nanos = u64::try_from(modified.unwrap_or(Duration::ZERO).as_nanos()).unwrap_or(u64::MAX);
        Self {
            kind,
            size: meta.len(),
            modified: Timestamp::from_nanos(nanos),
            identity: (meta.dev(), meta.ino(), meta.ctime(), meta.ctime_nsec()),
            checksum: None,
        }
    }
}

impl Seen {
    /// In bytes, of what is there.
    pub(super) fn size(&self) -> Option<f64> {
        self.0.as_ref().map(|present| present.size as f64)
    }

    /// Seconds since it was last written, 0 for times to come.
    pub(super) fn age(&self, now: Timestamp) -> Option<f64> {
        self.0.as_ref().map(|present| now.since(present.modified).as_secs_f64())
    }

    /// All but its age, which changes by itself.
    pub(super) fn attributes(&self, path: &Path) -> Vec<Attribute> {
        let mut attributes =
            vec![Attribute::new("file.path", super::text(path)), Attribute::new("file.exists", self.0.is_some())];
        if let Some(Present { kind, size, modified, checksum, .. }) = &self.0 {
            let size = Value::Integer((*size).try_into().unwrap_or(i64::MAX));
            attributes.push(Attribute::new("file.type", *kind));
            attributes.push(Attribute::new("file.size", size));
            attributes.push(Attribute::new("file.mtime", modified.to_string()));
            attributes.extend(checksum.as_deref().map(|sum| Attribute::new("file.checksum", sum)));
        }
        attributes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &Path) -> WatchedFile {
        WatchedFile { path: path.to_owned(), rescan: Duration::from_secs(60), checksum: true }
    }

    fn see(path: &Path, before: Option<&Seen>) -> Result<Seen, String> {
        look(&file(path), before, |_| Ok(())).result
    }

    fn attribute(seen: &Seen, key: &str) -> Option<String> {
        let attributes = seen.attributes(Path::new("/x"));
        attributes.into_iter().find(|it| it.key == key).map(|it| it.value.to_string())
    }

    #[test]
    fn a_file_is_seen_with_its_sum() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f");
        fs::write(&path, "abc").unwrap();
        let seen = see(&path, None).unwrap();
        // FIPS 180-2, appendix B.1.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(attribute(&seen, "file.checksum").as_deref(), Some(abc));
        assert_eq!(attribute(&seen, "file.size").as_deref(), Some("3"));
        assert_eq!(attribute(&seen, "file.type").as_deref(), Some("file"));
        // What is known is taken from there, what has changed is not.
        let mut forged = seen.clone();
        forged.0.as_mut().unwrap().checksum = Some("known".into());
        assert_eq!(attribute(&see(&path, Some(&forged)).unwrap(), "file.checksum").as_deref(), Some("known"));
        fs::rename(&path, directory.path().join("old")).unwrap();
        fs::write(&path, "abc").unwrap();
        assert_eq!(attribute(&see(&path, Some(&forged)).unwrap(), "file.checksum").as_deref(), Some(abc));
    }

    #[test]
    fn what_is_no_regular_file_or_too_large_is_not_summed_up() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(attribute(&see(directory.path(), None).unwrap(), "file.type").as_deref(), Some("directory"));
        let huge = directory.path().join("huge");
        File::create(&huge).unwrap().set_len(MAX_SUMMED + 1).unwrap();
        let seen = see(&huge, None).unwrap();
        assert_eq!((attribute(&seen, "file.checksum"), seen.size()), (None, Some((MAX_SUMMED + 1) as f64)));
        let null = see(Path::new("/dev/null"), None).unwrap();
        assert_eq!(attribute(&null, "file.type").as_deref(), Some("character-device"));
        assert_eq!(attribute(&null, "file.checksum"), None);
    }

    #[test]
    fn what_is_not_there_is_no_error_and_what_cannot_be_read_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("no/such/file");
        let seen = see(&path, None).unwrap();
        assert_eq!(attribute(&seen, "file.exists").as_deref(), Some("false"));
        assert_eq!((seen.size(), seen.age(Timestamp::default())), (None, None));
        fs::write(directory.path().join("no"), "a file").unwrap();
        assert_eq!(see(&path, None).unwrap(), Seen(None));
        let dangling = directory.path().join("dangling");
        std::os::unix::fs::symlink("nowhere", &dangling).unwrap();
        assert_eq!(see(&dangling, None).unwrap(), Seen(None));
        let circle = directory.path().join("circle");
        std::os::unix::fs::symlink("circle", &circle).unwrap();
        assert!(see(&circle, None).unwrap_err().contains("symbolic links"));
    }
}
