use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension, params};

/// Longest key, in bytes.
const MAX_KEY: usize = 128;
/// Longest value, in bytes.
const MAX_VALUE: usize = 64 * 1024;
/// Most keys of one policy.
const MAX_KEYS: u32 = 256;

/// The plugins' durable state: a small map for each policy. What was set outlives plugin and agent when a call returns; a
/// power cut may take back the last of it.
#[derive(Debug)]
pub struct PluginState(Mutex<Connection>);

impl PluginState {
    pub(super) fn new(connection: Connection) -> Self {
        Self(Mutex::new(connection))
    }

    /// The value of a key.
    pub fn get(&self, policy: &str, key: &str) -> Result<Option<Vec<u8>>, String> {
        let connection = self.connection();
        let mut select = connection
            .prepare_cached("SELECT value FROM plugin_state WHERE policy = ?1 AND key = ?2")
            .map_err(|error| error.to_string())?;
        select.query_row([policy, key], |row| row.get(0)).optional().map_err(|error| error.to_string())
    }

    /// Stores a value, within the limits.
    pub fn set(&self, policy: &str, key: &str, value: &[u8]) -> Result<(), String> {
        if key.len() > MAX_KEY {
            return Err(format!("a key of {} bytes is longer than {MAX_KEY}", key.len()));
        }
        if value.len() > MAX_VALUE {
            return Err(format!("a value of {} bytes is longer than {MAX_VALUE}", value.len()));
        }
        let connection = self.connection();
        // A key that is there may be written again when the map is full.
        let stored = connection
            .prepare_cached(
                "INSERT INTO plugin_state (policy, key, value)
                 SELECT ?1, ?2, ?3 WHERE (SELECT count(*) FROM plugin_state WHERE policy = ?1 AND key <> ?2) < ?4
                 ON CONFLICT (policy, key) DO UPDATE SET value = excluded.value",
            )
            .and_then(|mut insert| insert.execute(params![policy, key, value, MAX_KEYS]))
            .map_err(|error| error.to_string())?;
        if stored == 0 { Err(format!("there are {MAX_KEYS} keys already")) } else { Ok(()) }
    }

    /// Forgets a key.
    pub fn delete(&self, policy: &str, key: &str) -> Result<(), String> {
        self.connection()
            .prepare_cached("DELETE FROM plugin_state WHERE policy = ?1 AND key = ?2")
            .and_then(|mut delete| delete.execute([policy, key]))
            .map(|_| ())
            .map_err(|error| error.to_string())
    }

    /// Every key, in order.
    pub fn keys(&self, policy: &str) -> Result<Vec<String>, String> {
        let connection = self.connection();
        let keys = connection
            .prepare_cached("SELECT key FROM plugin_state WHERE policy = ?1 ORDER BY key")
            .and_then(|mut select| select.query_map([policy], |row| row.get(0))?.collect());
        keys.map_err(|error: rusqlite::Error| error.to_string())
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
