use super::Host;
use super::contract::state::Host as State;

/// Where a plugin is only inspected, its state is empty and takes nothing.
const INSPECTED: &str = "there is no state while a plugin is inspected";

impl State for Host {
    fn get(&mut self, key: String) -> wasmtime::Result<Option<Vec<u8>>> {
        let Some(state) = &self.interfaces.state else {
            return Ok(None);
        };
        // The contract knows no failure here, and a plugin must not take one for an empty map: it traps.
        state.get(&self.policy, &key).map_err(wasmtime::Error::msg)
    }

    fn set(&mut self, key: String, value: Vec<u8>) -> wasmtime::Result<Result<(), String>> {
        let Some(state) = &self.interfaces.state else {
            return Ok(Err(INSPECTED.to_owned()));
        };
        Ok(state.set(&self.policy, &key, &value))
    }

    fn delete(&mut self, key: String) -> wasmtime::Result<Result<(), String>> {
        let Some(state) = &self.interfaces.state else {
            return Ok(Err(INSPECTED.to_owned()));
        };
        Ok(state.delete(&self.policy, &key))
    }

    fn keys(&mut self) -> wasmtime::Result<Vec<String>> {
        let Some(state) = &self.interfaces.state else {
            return Ok(Vec::new());
        };
        state.keys(&self.policy).map_err(wasmtime::Error::msg)
    }
}
