//! Its schema refers to itself: who follows it never ends. It must not start.
use hostile::*;

struct Plugin;

impl Hostile for Plugin {
    fn describe() -> Description {
        schema(r##"{"allOf":[{"$ref":"#"}]}"##)
    }
}

export!(Plugin);
