//! Keeps a key and a value that are too long, and an odd key. The host must say no.
use hostile::*;

struct Plugin;

impl Hostile for Plugin {
    fn detect(_: Batch) -> Vec<Finding> {
        if first() {
            for (key, size) in
                [("k".repeat(1000), 1), ("key".into(), 1 << 19), ("\0'; DROP TABLE plugin_state; --".into(), 1)]
            {
                let said = format!("{:?}", state::set(&key, &vec![7; size]));
                log::write(log::Level::Warn, &said, &[]);
            }
        }
        vec![]
    }
}

export!(Plugin);
