//! Its schema is ten megabytes long. It must not load.
use hostile::*;

struct Plugin;

impl Hostile for Plugin {
    fn describe() -> Description {
        schema(format!("{{\"description\":\"{}\"}}", "x".repeat(10 << 20)))
    }
}

export!(Plugin);
