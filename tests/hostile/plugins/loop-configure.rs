//! Loops in `configure`. It must not start, and the agent must say why.
use hostile::*;

struct Plugin;

impl Hostile for Plugin {
    fn configure(_: String) -> Result<Subscription, String> {
        spin()
    }
}

export!(Plugin);
