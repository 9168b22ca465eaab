//! A small durable map of the policy's own: it survives reload, upgrade and a crash of agent or plugin; a power cut may
//! take back the last writes.
//!
//! Limits: keys of 128 bytes, values of 64 KiB, 256 keys, 4 MiB in all. In native tests it lives in memory, one map per thread.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The value of `key`, as JSON read into `T`. `None` if there is none or it is not a `T`: state that an older version
/// wrote in another shape counts as absent.
pub fn get<T: DeserializeOwned>(key: &str) -> Option<T> {
    serde_json::from_slice(&imp::get(key)?).ok()
}

/// Stores `value` under `key`, as JSON. Fails beyond the limits, saying which.
pub fn set<T: Serialize>(key: &str, value: &T) -> Result<(), String> {
    imp::set(key, &serde_json::to_vec(value).map_err(|error| error.to_string())?)
}

/// Forgets `key`; fine if there is none.
pub fn delete(key: &str) -> Result<(), String> {
    imp::delete(key)
}

/// Every key, in order.
pub fn keys() -> Vec<String> {
    imp::keys()
}

#[cfg(target_family = "wasm")]
use crate::bindings::salve::plugin::state as imp;

#[cfg(not(target_family = "wasm"))]
mod imp {
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    thread_local! {
        static STATE: RefCell<BTreeMap<String, Vec<u8>>> = const { RefCell::new(BTreeMap::new()) };
    }

    pub(super) fn get(key: &str) -> Option<Vec<u8>> {
        STATE.with_borrow(|state| state.get(key).cloned())
    }

    pub(super) fn set(key: &str, value: &[u8]) -> Result<(), String> {
        STATE.with_borrow_mut(|state| state.insert(key.to_owned(), value.to_vec()));
        Ok(())
    }

    pub(super) fn delete(key: &str) -> Result<(), String> {
        STATE.with_borrow_mut(|state| state.remove(key));
        Ok(())
    }

    pub(super) fn keys() -> Vec<String> {
        STATE.with_borrow(|state| state.keys().cloned().collect())
    }
}
