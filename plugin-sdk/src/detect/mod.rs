//! Detectors: small pieces that say when signals amount to a fault.

mod log_count;

pub use log_count::{Change, LogCount, LogRule};
