//! Calls `log` without end. It must be stopped, and few of its lines must reach the log.
use hostile::*;

struct Plugin;

impl Hostile for Plugin {
    fn detect(_: Batch) -> Vec<Finding> {
        loop {
            log::write(log::Level::Info, "storm", &[]);
        }
    }
}

export!(Plugin);
