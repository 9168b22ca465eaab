//! Asks for all of history without end. It must be stopped.
use hostile::*;

struct Plugin;

impl Hostile for Plugin {
    fn configure(_: String) -> Result<Subscription, String> {
        Ok(Subscription { metrics: vec![selector("system.*", None)], ..every(100) })
    }
    fn detect(_: Batch) -> Vec<Finding> {
        loop {
            std::hint::black_box(history::query("*", &[], u64::MAX));
        }
    }
}

export!(Plugin);
