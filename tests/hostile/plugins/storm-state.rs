//! Writes its state without end. It must be stopped.
use hostile::*;

struct Plugin;

impl Hostile for Plugin {
    fn detect(_: Batch) -> Vec<Finding> {
        let value = vec![7; 60_000];
        loop {
            let _ = state::set("key", &value);
            let _ = state::get("key");
            let _ = state::keys();
        }
    }
}

export!(Plugin);
