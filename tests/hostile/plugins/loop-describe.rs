//! Loops in `describe`. It must not load, and the agent must say that it took too long.
use hostile::*;

struct Plugin;

impl Hostile for Plugin {
    fn describe() -> Description {
        spin()
    }
}

export!(Plugin);
