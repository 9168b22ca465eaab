//! Its schema is no JSON. It must not start.
use hostile::*;

struct Plugin;

impl Hostile for Plugin {
    fn describe() -> Description {
        schema("}{ not JSON \0")
    }
}

export!(Plugin);
