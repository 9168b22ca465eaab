//! Loops in `diagnose`. The call must be stopped and the instance given up for a while.
use hostile::*;

struct Plugin;

impl Hostile for Plugin {
    fn diagnose(_: Incident) -> Vec<Cause> {
        spin()
    }
}

export!(Plugin);
