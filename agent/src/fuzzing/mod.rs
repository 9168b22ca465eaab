//! What the agent reads from others, as functions that take any bytes: for the fuzzer (`cargo xtask fuzz`, where `tests/fuzz`
//! calls them), and for a bounded run with the tests. Only there, and no part of the agent.
//!
//! A target fails by a panic: of the code under test, or of an assertion about what it made of the bytes.

mod bytes;
mod component;
mod config;
#[cfg(test)]
mod tests;

pub(crate) use bytes::Bytes;
pub use component::{compiler_holds, component};
pub use config::{config, pattern};

pub use crate::control::fuzz::api;
pub use crate::plugin::contract_fuzz::contract;
pub use crate::signal::collector::kernel::fuzz::kernel;
pub use crate::signal::collector::log::fuzz::lines;
pub use crate::signal::collector::log::journal::fuzz::journal;
pub use crate::signal::collector::scrape::fuzz::exposition;

/// A function that takes any bytes.
pub type Target = fn(&[u8]);

/// The targets by the names of their corpora.
pub const TARGETS: [(&str, Target); 9] = [
    ("api", api),
    ("component", component),
    ("config", config),
    ("contract", contract),
    ("exposition", exposition),
    ("journal", journal),
    ("kernel", kernel),
    ("lines", lines),
    ("pattern", pattern),
];
