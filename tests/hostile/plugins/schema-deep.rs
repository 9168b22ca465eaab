//! Its schema is nested a hundred thousand times. It must not start.
use hostile::*;

struct Plugin;

impl Hostile for Plugin {
    fn describe() -> Description {
        let depth = 40_000;
        schema(format!("{}true{}", r#"{"not":"#.repeat(depth), "}".repeat(depth)))
    }
}

export!(Plugin);
