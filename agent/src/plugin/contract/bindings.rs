//! The contract as wasmtime generates it. The only place of the agent with unsafe code, all of it generated.
#![allow(unsafe_code, missing_docs, unreachable_pub, rust_2018_idioms, clippy::all)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::undocumented_unsafe_blocks)]

wasmtime::component::bindgen!({
    path: "../wit/0.1",
    world: "plugin",
    imports: { default: trappable },
});
