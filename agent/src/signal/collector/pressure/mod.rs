//! Pressure: the share of time in which tasks stand still because CPU, memory or I/O is short (the kernel's PSI,
//! Documentation/accounting/psi.rst), of the host and of single units.
//!
//! - `system.pressure.stalled_ratio`, at the interval: of the host, and of the units that a selector names by
//!   `service.name`.
//! - `pressure.stalled`, pushed: a selector says with `stall` (seconds) how long tasks must have stood still within
//!   `window` (seconds, 2 unless it says so), and the kernel is asked to wake the agent then. Without `stall` a selector
//!   gets the events that others ask for. `system.pressure.kind` is `some` unless it says `full`.
//!
//! Without `CAP_SYS_RESOURCE` the kernel takes only windows that are a multiple of 2 s. Where it takes none, the time
//! that tasks have stood still is read at the interval, and the same events are made of it.

mod event;
mod meter;
mod metric;
mod parse;
mod trigger;
mod unit;

use std::fmt;
use std::path::{Path, PathBuf};

use super::Context;

/// The metric.
const RATIO: &str = "system.pressure.stalled_ratio";
/// The event.
const STALLED: &str = "pressure.stalled";
/// The attribute that names a unit.
const SERVICE: &str = "service.name";
/// The attribute that says who stood still: `some` tasks or, in `full`, all of them at once.
const KIND: &str = "system.pressure.kind";
/// What can be short.
const RESOURCES: [&str; 3] = ["cpu", "memory", "io"];

/// Tells the pressure on the host and its units to whoever wants it; ends with the task.
pub async fn run(context: Context) {
    tokio::join!(metric::run(&context), event::run(&context));
}

/// What is under pressure.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// The whole host.
    Host,
    /// A unit, by its name, and its directory in the cgroup tree.
    Unit(String, PathBuf),
}

impl Place {
    /// Where the kernel tells how short the resource is.
    fn file(&self, root: &Path, resource: &str) -> PathBuf {
        match self {
            Self::Host => root.join("proc/pressure").join(resource),
            Self::Unit(_, directory) => directory.join(format!("{resource}.pressure")),
        }
    }

    /// The unit's name.
    fn unit(&self) -> Option<&str> {
        match self {
            Self::Host => None,
            Self::Unit(name, _) => Some(name),
        }
    }
}

/// As a source is called: `pressure`, `pressure/nginx.service`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.unit() {
            None => f.write_str("pressure"),
            Some(unit) => write!(f, "pressure/{unit}"),
        }
    }
}

#[cfg(test)]
mod tests;
