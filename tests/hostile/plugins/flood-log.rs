//! Writes thousands of long lines with each call, and returns in time. Most must be dropped, and be said to be.
use hostile::*;

struct Plugin;

impl Hostile for Plugin {
    fn detect(_: Batch) -> Vec<Finding> {
        let line = "flood ".repeat(600);
        for _ in 0..500 {
            log::write(log::Level::Warn, &line, &[text("key", "value")]);
        }
        vec![]
    }
}

export!(Plugin);
