//! Subscribes with a thousand expressions, each of which is just small enough. It must be refused: together they are a gigabyte.
use hostile::*;

struct Plugin;

impl Hostile for Plugin {
    fn configure(_: String) -> Result<Subscription, String> {
        let events = (0..1000).map(|n| selector("*", Some(format!(r"(a*)*[^x]{{100}}{n}")))).collect();
        Ok(Subscription { events, ..every(100) })
    }
}

export!(Plugin);
