//! Loops in `recover`. The call must be stopped and the instance given up for a while.
use hostile::*;

struct Plugin;

impl Hostile for Plugin {
    fn recover(_: Incident) -> Recovery {
        spin()
    }
}

export!(Plugin);
