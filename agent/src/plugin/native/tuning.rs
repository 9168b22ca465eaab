//! The settings that native code is made under, for the agent and for `salve-compile`: code made under others does not load.

use wasmtime::{Config, WasmBacktraceDetails};

/// These settings.
pub(crate) fn config() -> Config {
    let mut config = Config::new();
    config.wasm_component_model(true);
    // Plugins are called one at a time; support for more makes each call three times dearer.
    config.concurrency_support(false);
    config.epoch_interruption(true);
    // Whatever the environment says: see `trace`.
    config.wasm_backtrace_details(WasmBacktraceDetails::Disable);
    config
}
