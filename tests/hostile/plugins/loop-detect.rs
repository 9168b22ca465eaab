//! Loops in `detect`. The call must be stopped and the instance given up for a while.
use hostile::*;

struct Plugin;

impl Hostile for Plugin {
    fn detect(_: Batch) -> Vec<Finding> {
        spin()
    }
}

export!(Plugin);
