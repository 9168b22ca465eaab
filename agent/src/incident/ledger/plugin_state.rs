use std::ops::{Deref, DerefMut};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

/// What a policy's plugin may keep, and how long it may wait for that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Most keys.
    pub keys: usize,
    /// Most bytes of one value.
    pub value: usize,
    /// Most bytes of keys and values together.
    pub bytes: usize,
    /// How long to wait while others read or write.
    pub patience: Duration,
}

impl Quota {
    /// Longest key, in bytes.
    pub const KEY: usize = 128;
}

impl Default for Quota {
    fn default() -> Self {
        Self { keys: 256, value: 64 << 10, bytes: 4 << 20, patience: Duration::from_millis(500) }
    }
}

/// The plugins' durable state: a small map for each policy. What was set outlives plugin and agent when a call returns; a
/// power cut may take back the last of it.
#[derive(Debug)]
pub struct PluginState {
    /// Not there while somebody uses it: whoever waits for it can give up, which waiting for a lock cannot.
    connection: Mutex<Option<Connection>>,
    back: Condvar,
}

/// A version of a plugin, as it describes itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateOwner {
    /// Its name.
    pub plugin: String,
    /// Its version.
    pub version: String,
}

impl PluginState {
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection: Mutex::new(Some(connection)), back: Condvar::new() }
    }

    /// A copy of what one policy keeps, in memory: what is changed there is forgotten with it.
    pub fn draft(&self, policy: &str, quota: &Quota) -> Result<Self, String> {
        let problem = |error: rusqlite::Error| error.to_string();
        let copy = Connection::open_in_memory().map_err(problem)?;
        copy.execute_batch(
            "CREATE TABLE plugin_state (policy TEXT, key TEXT, value BLOB, PRIMARY KEY (policy, key)) WITHOUT ROWID;
             CREATE TABLE plugin_state_owner (policy TEXT PRIMARY KEY, plugin TEXT, version TEXT) WITHOUT ROWID",
        )
        .map_err(problem)?;
        for key in self.keys(policy, quota)? {
            let value = self.get(policy, &key, quota)?.unwrap_or_default();
            copy.execute("INSERT INTO plugin_state VALUES (?1, ?2, ?3)", params![policy, key, value])
                .map_err(problem)?;
        }
        let copy = Self::new(copy);
        if let Some(owner) = self.owner(policy, quota)? {
            copy.hand_over(policy, &owner, None, quota)?;
        }
        Ok(copy)
    }

    /// Which version used a policy's state last.
    pub fn owner(&self, policy: &str, quota: &Quota) -> Result<Option<StateOwner>, String> {
        let connection = self.borrow(quota.patience)?;
        let owner = connection
            .prepare_cached("SELECT plugin, version FROM plugin_state_owner WHERE policy = ?1")
            .and_then(|mut select| {
                let read = |row: &rusqlite::Row<'_>| Ok(StateOwner { plugin: row.get(0)?, version: row.get(1)? });
                select.query_row([policy], read).optional()
            });
        owner.map_err(|error| error.to_string())
    }

    /// Gives a policy's state to a version, with what it has made of it in a draft, if anything: all of that or nothing.
    pub fn hand_over(
        &self,
        policy: &str,
        owner: &StateOwner,
        converted: Option<&Self>,
        quota: &Quota,
    ) -> Result<(), String> {
        let mut rows = Vec::new();
        if let Some(draft) = converted {
            for key in draft.keys(policy, quota)? {
                let value = draft.get(policy, &key, quota)?.unwrap_or_default();
                rows.push((key, value));
            }
        }
        let mut connection = self.borrow(quota.patience)?;
        let replace = |connection: &mut Connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            if converted.is_some() {
                transaction.execute("DELETE FROM plugin_state WHERE policy = ?1", [policy])?;
            }
            for (key, value) in &rows {
                transaction.execute("INSERT INTO plugin_state VALUES (?1, ?2, ?3)", params![policy, key, value])?;
            }
            transaction.execute(
                "INSERT INTO plugin_state_owner (policy, plugin, version) VALUES (?1, ?2, ?3)
                 ON CONFLICT (policy) DO UPDATE SET plugin = excluded.plugin, version = excluded.version",
                [policy, &owner.plugin, &owner.version],
            )?;
            transaction.commit()
        };
        replace(&mut connection).map_err(|error| error.to_string())
    }

    /// The value of a key.
    pub fn get(&self, policy: &str, key: &str, quota: &Quota) -> Result<Option<Vec<u8>>, String> {
        let connection = self.borrow(quota.patience)?;
        let mut select = connection
            .prepare_cached("SELECT value FROM plugin_state WHERE policy = ?1 AND key = ?2")
            .map_err(|error| error.to_string())?;
        select.query_row([policy, key], |row| row.get(0)).optional().map_err(|error| error.to_string())
    }

    /// Stores a value, within the quota.
    pub fn set(&self, policy: &str, key: &str, value: &[u8], quota: &Quota) -> Result<(), String> {
        if key.len() > Quota::KEY {
            return Err(format!("a key of {} bytes is longer than {}", key.len(), Quota::KEY));
        }
        if value.len() > quota.value {
            return Err(format!("a value of {} bytes is longer than {}", value.len(), quota.value));
        }
        let connection = self.borrow(quota.patience)?;
        // A key that is there may be written again when the map is full. SQLite tells a value's length without reading it.
        let (keys, bytes): (i64, i64) = connection
            .prepare_cached(
                "SELECT count(*), coalesce(sum(length(CAST(key AS BLOB)) + length(value)), 0)
                 FROM plugin_state WHERE policy = ?1 AND key <> ?2",
            )
            .and_then(|mut select| select.query_row([policy, key], |row| Ok((row.get(0)?, row.get(1)?))))
            .map_err(|error| error.to_string())?;
        let count = |number| usize::try_from(number).unwrap_or(usize::MAX);
        let (keys, bytes) = (count(keys), count(bytes).saturating_add(key.len() + value.len()));
        if keys >= quota.keys {
            return Err(format!("there are {keys} keys already; at most {}", quota.keys));
        }
        if bytes > quota.bytes {
            return Err(format!("there would be {bytes} bytes in all; at most {}", quota.bytes));
        }
        connection
            .prepare_cached(
                "INSERT INTO plugin_state (policy, key, value) VALUES (?1, ?2, ?3)
                 ON CONFLICT (policy, key) DO UPDATE SET value = excluded.value",
            )
            .and_then(|mut insert| insert.execute(params![policy, key, value]))
            .map(|_| ())
            .map_err(|error| error.to_string())
    }

    /// Forgets a key.
    pub fn delete(&self, policy: &str, key: &str, quota: &Quota) -> Result<(), String> {
        self.borrow(quota.patience)?
            .prepare_cached("DELETE FROM plugin_state WHERE policy = ?1 AND key = ?2")
            .and_then(|mut delete| delete.execute([policy, key]))
            .map(|_| ())
            .map_err(|error| error.to_string())
    }

    /// Every key, in order.
    pub fn keys(&self, policy: &str, quota: &Quota) -> Result<Vec<String>, String> {
        let connection = self.borrow(quota.patience)?;
        let keys = connection
            .prepare_cached("SELECT key FROM plugin_state WHERE policy = ?1 ORDER BY key")
            .and_then(|mut select| select.query_map([policy], |row| row.get(0))?.collect());
        keys.map_err(|error: rusqlite::Error| error.to_string())
    }

    /// The connection, once nobody else has it. A disk that stands still holds up the one who waits for it, not all others.
    fn borrow(&self, patience: Duration) -> Result<Borrowed<'_>, String> {
        let lock = self.lock();
        let (mut lock, _) = self
            .back
            .wait_timeout_while(lock, patience, |connection| connection.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        let late = || format!("the state was in use for longer than {} ms", patience.as_millis());
        let borrowed = Borrowed { connection: Some(lock.take().ok_or_else(late)?), of: self };
        drop(lock);
        // The engine's own writes are waited for just as long.
        borrowed.busy_timeout(patience).map_err(|error| error.to_string())?;
        Ok(borrowed)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Connection>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The connection in use, given back when this is dropped.
struct Borrowed<'a> {
    connection: Option<Connection>,
    of: &'a PluginState,
}

impl Deref for Borrowed<'_> {
    type Target = Connection;

    #[expect(clippy::expect_used, reason = "it is only taken when this is dropped")]
    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("a connection")
    }
}

impl DerefMut for Borrowed<'_> {
    #[expect(clippy::expect_used, reason = "it is only taken when this is dropped")]
    fn deref_mut(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("a connection")
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        *self.of.lock() = self.connection.take();
        self.of.back.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::ledger::Ledger;

    #[test]
    fn a_draft_begins_with_what_is_kept_and_changes_nothing_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let state = Ledger::open(dir.path()).unwrap().plugin_state().unwrap();
        let quota = Quota::default();
        state.set("web", "a", b"1", &quota).unwrap();
        state.set("other", "b", b"2", &quota).unwrap();
        let draft = state.draft("web", &quota).unwrap();
        assert_eq!(draft.keys("web", &quota).unwrap(), ["a"]);
        assert_eq!(draft.get("other", "b", &quota).unwrap(), None);
        draft.set("web", "a", b"3", &quota).unwrap();
        draft.set("web", "c", b"4", &quota).unwrap();
        draft.delete("web", "a", &quota).unwrap();
        assert_eq!(draft.keys("web", &quota).unwrap(), ["c"]);
        assert_eq!(state.get("web", "a", &quota).unwrap().as_deref(), Some(&b"1"[..]));
        assert_eq!(state.keys("web", &quota).unwrap(), ["a"]);
    }

    #[test]
    fn a_state_is_handed_over_as_a_whole() {
        let dir = tempfile::tempdir().unwrap();
        let state = Ledger::open(dir.path()).unwrap().plugin_state().unwrap();
        let quota = Quota::default();
        let owner = |version: &str| StateOwner { plugin: "p".into(), version: version.into() };
        state.set("web", "a", b"1", &quota).unwrap();
        state.set("other", "a", b"1", &quota).unwrap();
        assert_eq!(state.owner("web", &quota).unwrap(), None);
        state.hand_over("web", &owner("1.0"), None, &quota).unwrap();
        assert_eq!(state.keys("web", &quota).unwrap(), ["a"]);
        let draft = state.draft("web", &quota).unwrap();
        assert_eq!(draft.owner("web", &quota).unwrap(), Some(owner("1.0")));
        draft.delete("web", "a", &quota).unwrap();
        draft.set("web", "b", b"2", &quota).unwrap();
        state.hand_over("web", &owner("2.0"), Some(&draft), &quota).unwrap();
        assert_eq!(state.keys("web", &quota).unwrap(), ["b"]);
        assert_eq!(state.keys("other", &quota).unwrap(), ["a"]);
        assert_eq!(state.owner("web", &quota).unwrap(), Some(owner("2.0")));
    }

    #[test]
    fn who_cannot_have_it_in_time_is_told_so_and_who_comes_later_gets_it() {
        let dir = tempfile::tempdir().unwrap();
        let state = Ledger::open(dir.path()).unwrap().plugin_state().unwrap();
        let quota = Quota { patience: Duration::from_millis(20), ..Quota::default() };
        let stuck = state.borrow(quota.patience).unwrap();
        let error = state.set("web", "a", b"1", &quota).unwrap_err();
        assert!(error.contains("in use for longer than 20 ms"), "{error}");
        drop(stuck);
        state.set("web", "a", b"1", &quota).unwrap();
        // The engine's connection writes and does not come to an end.
        let other = Connection::open(dir.path().join("ledger.sqlite")).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let error = state.set("web", "a", b"2", &quota).unwrap_err();
        assert!(error.contains("locked"), "{error}");
        assert_eq!(state.get("web", "a", &quota).unwrap().as_deref(), Some(&b"1"[..]));
    }
}
