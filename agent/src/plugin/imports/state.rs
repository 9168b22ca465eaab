use std::time::Instant;

use super::Host;
use super::contract::state::Host as State;
use crate::incident::ledger::{PluginState, Quota};

/// Where a plugin is only inspected, its state is empty and takes nothing.
const INSPECTED: &str = "there is no state while a plugin is inspected";

impl State for Host {
    fn get(&mut self, key: String) -> wasmtime::Result<Option<Vec<u8>>> {
        // The contract knows no failure here, and a plugin must not take one for an empty map: it traps.
        let found = self.kept(|state, policy, quota| state.get(policy, &key, quota))?;
        found.unwrap_or(Ok(None)).map_err(wasmtime::Error::msg)
    }

    fn set(&mut self, key: String, value: Vec<u8>) -> wasmtime::Result<Result<(), String>> {
        let done = self.kept(|state, policy, quota| state.set(policy, &key, &value, quota))?;
        Ok(done.unwrap_or_else(|| Err(INSPECTED.to_owned())))
    }

    fn delete(&mut self, key: String) -> wasmtime::Result<Result<(), String>> {
        let done = self.kept(|state, policy, quota| state.delete(policy, &key, quota))?;
        Ok(done.unwrap_or_else(|| Err(INSPECTED.to_owned())))
    }

    fn keys(&mut self) -> wasmtime::Result<Vec<String>> {
        let found = self.kept(|state, policy, quota| state.keys(policy, quota))?;
        found.unwrap_or(Ok(Vec::new())).map_err(wasmtime::Error::msg)
    }
}

impl Host {
    /// Works on what the policy's plugin keeps, within its limits; none where a plugin is only inspected.
    fn kept<T>(&mut self, work: impl FnOnce(&PluginState, &str, &Quota) -> T) -> wasmtime::Result<Option<T>> {
        let Some(state) = self.interfaces.state.clone() else { return Ok(None) };
        self.timed(|host, deadline| {
            let quota = Quota {
                keys: host.limits.state_keys,
                value: host.limits.state_value,
                bytes: host.limits.state_bytes,
                patience: deadline.saturating_duration_since(Instant::now()),
            };
            Ok(Some(work(&state, &host.policy, &quota)))
        })
    }
}
