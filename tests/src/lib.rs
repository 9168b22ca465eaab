//! The lab in which Salve is tried: real hosts booted in namespaces ([`lab`]), the agent run on them ([`agent`]),
//! and the few tools that tests and benchmarks of both share.
//!
//! Nothing here is part of the product. A helper that fails inside a test should stop that test at the line which
//! called it and say why, so panicking is its purpose and not a defect:
#![allow(clippy::panic)]

pub mod agent;
pub mod forge;
pub mod lab;
pub mod notices;
pub mod plugin;
pub mod process;
pub mod readme;
pub mod reaper;
pub mod receiver;
pub mod run;
pub mod stack;
pub mod stock;
pub mod stress;
pub mod wait;
