//! Subscribes to 100,000 things. It must be refused.
use hostile::*;

struct Plugin;

impl Hostile for Plugin {
    fn configure(_: String) -> Result<Subscription, String> {
        let events = (0..100_000).map(|_| selector("*", None)).collect();
        Ok(Subscription { events, ..every(100) })
    }
}

export!(Plugin);
