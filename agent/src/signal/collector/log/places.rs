//! How far each log was read, kept over the agent's restarts.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::tail::Left;

/// The file in the state directory.
const FILE: &str = "logs.json";
/// The least time between two writings.
const PACE: Duration = Duration::from_secs(1);

/// How far each log was read. Written at most once a second, by a rename and without a sync: an agent that is killed reads
/// again what came in its last second, a host that loses power perhaps more, and neither misses a line.
#[derive(Debug)]
pub struct Places {
    file: PathBuf,
    table: Mutex<Table>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Table {
    saved: Saved,
    is_dirty: bool,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Saved {
    files: BTreeMap<String, Left>,
    cursors: BTreeMap<String, String>,
}

impl Places {
    /// Reads what an earlier agent left in the state directory. A file that cannot be read is told in the log: logs are then
    /// read as if they were seen for the first time.
    pub fn open(state: &Path) -> Self {
        let file = state.join(FILE);
        let read = match std::fs::read(&file) {
            Ok(text) => serde_json::from_slice(&text).map_err(io::Error::from),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Saved::default()),
            Err(error) => Err(error),
        };
        let saved = read.unwrap_or_else(|error| {
            tracing::warn!("{} cannot be read, every log is taken for a new one: {error}", file.display());
            Saved::default()
        });
        Self { file, table: Mutex::new(Table { saved, is_dirty: false }), changed: Notify::new() }
    }

    /// Where the files of a log were left; none if it was never read.
    pub(super) fn files(&self, log: &str) -> Option<Left> {
        self.table().saved.files.get(log).cloned()
    }

    /// How far the files of a log are read now; none if nobody reads it any more.
    pub(super) fn put_files(&self, log: &str, places: Option<Left>) {
        let mut table = self.table();
        if let (Some(places), Some(old)) = (&places, table.saved.files.get_mut(log))
            && old.files == places.files
        {
            old.at = places.at;
            return;
        }
        match places {
            Some(places) => drop(table.saved.files.insert(log.to_owned(), places)),
            None => drop(table.saved.files.remove(log)),
        }
        self.touch(table);
    }

    /// The last record of the journal that was read for a use of it.
    pub(super) fn cursor(&self, log: &str) -> Option<String> {
        self.table().saved.cursors.get(log).cloned()
    }

    /// The record that is the last now; none to begin at the journal's end the next time.
    pub(super) fn put_cursor(&self, log: &str, cursor: Option<String>) {
        let mut table = self.table();
        match cursor {
            Some(cursor) => drop(table.saved.cursors.insert(log.to_owned(), cursor)),
            None => drop(table.saved.cursors.remove(log)),
        }
        self.touch(table);
    }

    /// Forgets logs that the configuration does not name any more.
    pub(super) fn retain(&self, is_known: impl Fn(&str) -> bool) {
        let mut table = self.table();
        table.saved.files.retain(|name, _| is_known(name));
        table.saved.cursors.retain(|name, _| is_known(name));
    }

    /// Writes what has changed, as it changes; ends with the task.
    pub(super) async fn keep(&self) {
        loop {
            self.changed.notified().await;
            self.save();
            tokio::time::sleep(PACE).await;
        }
    }

    /// Writes what has changed since it was last written: to be called when the agent stops.
    pub fn save(&self) {
        let mut table = self.table();
        if !std::mem::take(&mut table.is_dirty) {
            return;
        }
        let saved = table.saved.clone();
        drop(table);
        if let Err(error) = self.write(&saved) {
            tracing::warn!(
                "{} cannot be written, lines may be read again after a restart: {error}",
                self.file.display()
            );
            self.table().is_dirty = true;
        }
    }

    fn write(&self, saved: &Saved) -> io::Result<()> {
        let new = self.file.with_extension("json.new");
        std::fs::write(&new, serde_json::to_vec(saved)?)?;
        std::fs::rename(new, &self.file)
    }

    fn touch(&self, mut table: MutexGuard<'_, Table>) {
        table.is_dirty = true;
        drop(table);
        self.changed.notify_one();
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_saved_is_there_again_and_damage_is_survived() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places::open(dir.path());
        places.put_cursor("journal", Some("s=1".to_owned()));
        places.put_files("app", Some(Left::default()));
        places.put_files("old", Some(Left::default()));
        places.retain(|name| name != "old");
        places.save();
        let again = Places::open(dir.path());
        assert_eq!((again.cursor("journal").as_deref(), again.files("app")), (Some("s=1"), Some(Left::default())));
        assert_eq!(again.files("old"), None);
        std::fs::write(dir.path().join(FILE), "{\"files\":").unwrap();
        assert_eq!(Places::open(dir.path()).cursor("journal"), None);
    }

    #[test]
    fn a_state_directory_that_is_gone_is_told_and_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        let places = Places::open(&state);
        places.put_cursor("journal", Some("s=1".to_owned()));
        places.save();
        std::fs::create_dir(&state).unwrap();
        places.save();
        assert_eq!(Places::open(&state).cursor("journal").as_deref(), Some("s=1"));
    }
}
