//! Behaves for a thousand calls, and then loops. It must be stopped then, too.
use hostile::*;

struct Plugin;

impl Hostile for Plugin {
    fn configure(_: String) -> Result<Subscription, String> {
        Ok(every(1))
    }
    fn detect(_: Batch) -> Vec<Finding> {
        if count() >= 1000 { spin() } else { vec![] }
    }
}

export!(Plugin);
