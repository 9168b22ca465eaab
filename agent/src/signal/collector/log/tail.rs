//! One file that is read as it grows.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::join::Joiner;
use super::lines::Lines;
use super::watch::Watch;
use super::{FileSpec, Filter};

/// How much of a file's beginning tells it from others.
const PREFIX: usize = 1024;
/// How much is read at once.
const CHUNK: u64 = 256 * 1024;
/// How much of one file is read before the others have their turn.
const TURN: u64 = 32 << 20;

/// How far the clock that files are stamped with is behind at most: a tick, with room to spare.
const CLOCK_LAG: u64 = 20_000_000;

/// Which file, whatever it is called: device, inode and, where the file system knows it, when the inode was made, because
/// inodes are used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    /// Nanoseconds since the Unix epoch.
    #[serde(default)]
    born: Option<u64>,
}

impl Identity {
    pub(super) fn of(metadata: &Metadata) -> Self {
        let born = metadata.created().ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok());
        let born = born.and_then(|born| u64::try_from(born.as_nanos()).ok());
        Self { device: metadata.dev(), inode: metadata.ino(), born }
    }

    /// When it was made, in nanoseconds since the Unix epoch, where that is known.
    pub(super) fn born(&self) -> Option<u64> {
        self.born
    }

    /// Whether it was made after this moment, in nanoseconds since the Unix epoch, as far as that can be told.
    pub(super) fn is_younger(&self, than: u64) -> bool {
        // The kernel's clock for files lags a little behind.
        self.born.is_some_and(|born| born + CLOCK_LAG > than)
    }
}

/// How far a file was read, to be found again by a later agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// Under which name it was found.
    pub(super) path: PathBuf,
    pub(super) identity: Identity,
    /// SHA-256 of its first `length` bytes, in hexadecimal digits.
    digest: String,
    length: usize,
    /// What is before was read.
    offset: u64,
    /// The line at the offset was too long, and its beginning was read.
    #[serde(default)]
    skipping: bool,
}

/// How far the files of a log were read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Left {
    /// When this was noted, in nanoseconds since the Unix epoch.
    pub(super) at: u64,
    pub(super) files: Vec<Place>,
}

/// Where to begin in a file that is opened.
#[derive(Debug, Clone, Copy)]
pub(super) enum Begin<'a> {
    Start,
    End,
    /// Where an earlier agent left it, if it is still the same.
    Place(&'a Place),
}

/// What reading came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// Everything is read.
    Done,
    /// There is more.
    More,
}

/// A file that is read as it grows.
#[derive(Debug)]
pub(super) struct Tail {
    /// The name under which it was found.
    pub(super) path: PathBuf,
    pub(super) identity: Identity,
    file: File,
    /// Its first bytes, and their digest.
    prefix: Vec<u8>,
    digest: String,
    position: u64,
    lines: Lines,
    joiner: Option<Joiner>,
    pub(super) watch: Option<Watch>,
    /// When something was last read of it.
    pub(super) last: Duration,
    /// Whether its name is gone or another file's.
    pub(super) is_retired: bool,
    /// Whether it has no name at all any more.
    pub(super) is_deleted: bool,
}

impl Tail {
    /// Opens a regular file. Others are refused without being opened: a pipe would have to be waited for.
    pub(super) fn open(path: &Path, begin: Begin<'_>, spec: &FileSpec, now: Duration) -> io::Result<Self> {
        let check = |metadata: Metadata| match metadata.is_file() {
            true => Ok(metadata),
            false => Err(io::Error::other("it is no regular file")),
        };
        check(std::fs::metadata(path)?)?;
        let file = OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)?;
        let metadata = check(file.metadata()?)?;
        let mut tail = Self {
            path: path.to_owned(),
            identity: Identity::of(&metadata),
            file,
            prefix: Vec::new(),
            digest: String::new(),
            position: 0,
            lines: Lines::new(spec.max_line, false),
            joiner: spec.multiline.clone().map(Joiner::new),
            watch: None,
            last: now,
            is_retired: false,
            is_deleted: false,
        };
        tail.read_prefix()?;
        match begin {
            Begin::Place(place) if tail.begins_as(place) && place.offset <= metadata.len() => {
                tail.position = place.offset;
                tail.lines = Lines::new(spec.max_line, place.skipping);
            }
            Begin::Start | Begin::Place(_) => {}
            Begin::End => tail.seek_end(metadata.len())?,
        }
        Ok(tail)
    }

    /// The file, to be watched.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Its name is gone or another file's: what its writer still has to say is read for a while.
    pub(super) fn retire(&mut self, now: Duration) {
        self.is_retired = true;
        self.last = now;
        self.look();
    }

    /// Looks whether it has a name left.
    pub(super) fn look(&mut self) {
        self.is_deleted = self.file.metadata().is_ok_and(|metadata| metadata.nlink() == 0);
    }

    /// Reads what has come and calls `found` with each record that passes the filter. True if the file had been truncated and
    /// was begun again.
    pub(super) fn read(
        &mut self,
        now: Duration,
        filter: &mut Filter,
        mut found: impl FnMut(&[u8]),
    ) -> io::Result<(Progress, bool)> {
        let size = self.file.metadata()?.len();
        let was_truncated = size < self.position || !self.has_prefix()?;
        if was_truncated {
            self.finish(filter, &mut found);
            self.position = 0;
            self.prefix.clear();
        }
        if size == self.position {
            return Ok((Progress::Done, was_truncated));
        }
        if self.prefix.len() < PREFIX {
            self.read_prefix()?;
        }
        self.last = now;
        // No further than was looked: behind that, the file may be another one by now.
        let until = size.min(self.position + TURN);
        let mut buffer = vec![0; usize::try_from((size - self.position).min(CHUNK)).unwrap_or(PREFIX)];
        loop {
            let room = usize::try_from(size - self.position).unwrap_or(usize::MAX).min(buffer.len());
            buffer.truncate(room);
            let count = match self.file.read_at(&mut buffer, self.position) {
                Ok(0) => return Ok((Progress::Done, was_truncated)),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let Self { lines, joiner, .. } = self;
            lines.feed(buffer.get(..count).unwrap_or_default(), |whole| {
                sift(whole, joiner.as_mut(), now, filter, &mut found);
            });
            self.position += count as u64;
            if self.position >= until {
                let progress = if self.position < size { Progress::More } else { Progress::Done };
                return Ok((progress, was_truncated));
            }
        }
    }

    /// When a record of several lines is complete if no further line comes.
    pub(super) fn due(&self) -> Option<Duration> {
        self.joiner.as_ref().and_then(Joiner::due)
    }

    /// Hands out a record of several lines that nothing was added to for long enough.
    pub(super) fn flush(&mut self, now: Duration, filter: &Filter, mut found: impl FnMut(&[u8])) {
        let is_due = self.due().is_some_and(|due| due <= now);
        if let Some(joiner) = self.joiner.as_mut().filter(|_| is_due) {
            joiner.finish(|record| pass(record, filter, &mut found));
        }
    }

    /// Nothing will come any more: hands out what is incomplete.
    pub(super) fn finish(&mut self, filter: &mut Filter, mut found: impl FnMut(&[u8])) {
        let Self { lines, joiner, last, .. } = self;
        lines.finish(|whole| sift(whole, joiner.as_mut(), *last, filter, &mut found));
        if let Some(joiner) = joiner {
            joiner.finish(|record| pass(record, filter, &mut found));
        }
    }

    /// How far everything was handed out.
    pub(super) fn place(&self) -> Place {
        let kept = self.lines.kept() + self.joiner.as_ref().map_or(0, Joiner::kept);
        Place {
            path: self.path.clone(),
            identity: self.identity,
            digest: self.digest.clone(),
            length: self.prefix.len(),
            offset: self.position.saturating_sub(kept as u64),
            skipping: self.lines.is_skipping(),
        }
    }

    /// Begins at the end; a line under way there is passed over, for its beginning is not known.
    fn seek_end(&mut self, size: u64) -> io::Result<()> {
        self.position = size;
        let mut last = [b'\n'];
        if size > 0 {
            self.file.read_at(&mut last, size - 1)?;
        }
        if last != [b'\n'] {
            self.lines = Lines::new(self.lines.limit(), true);
        }
        Ok(())
    }

    fn read_prefix(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; PREFIX];
        let count = self.file.read_at(&mut buffer, 0)?;
        buffer.truncate(count);
        self.digest = digest(&buffer);
        self.prefix = buffer;
        Ok(())
    }

    /// Whether it still begins as it did: a file may be truncated and have grown beyond the old size since.
    fn has_prefix(&self) -> io::Result<bool> {
        let mut buffer = [0; PREFIX];
        let Some(buffer) = buffer.get_mut(..self.prefix.len()) else { return Ok(true) };
        let count = self.file.read_at(buffer, 0)?;
        Ok(buffer.get(..count) == Some(&self.prefix))
    }

    fn begins_as(&self, place: &Place) -> bool {
        self.identity == place.identity
            && self.prefix.get(..place.length).is_some_and(|prefix| digest(prefix) == place.digest)
    }
}

/// Hands out the records of whole lines that pass.
fn sift(whole: &[u8], joiner: Option<&mut Joiner>, now: Duration, filter: &mut Filter, found: &mut impl FnMut(&[u8])) {
    match joiner {
        None => filter.scan(whole, found),
        Some(joiner) => joiner.feed(whole, now, |record| pass(record, filter, found)),
    }
}

fn pass(record: &[u8], filter: &Filter, found: &mut impl FnMut(&[u8])) {
    if filter.takes(&String::from_utf8_lossy(record)) {
        found(record);
    }
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
