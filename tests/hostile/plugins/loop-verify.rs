//! Loops in `verify`. The call must be stopped and the instance given up for a while.
use hostile::*;

struct Plugin;

impl Hostile for Plugin {
    fn verify(_: Incident) -> Verdict {
        spin()
    }
}

export!(Plugin);
