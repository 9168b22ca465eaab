//! Subscribes with an expression that compiles to more than memory holds. It must be refused.
use hostile::*;

struct Plugin;

impl Hostile for Plugin {
    fn configure(_: String) -> Result<Subscription, String> {
        Ok(Subscription { events: vec![selector("*", Some(r"((\pL{1000}){1000}){1000}".into()))], ..every(100) })
    }
}

export!(Plugin);
