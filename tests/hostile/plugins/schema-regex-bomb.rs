//! Its schema holds patterns that take for ever: to compile, and to match by going back and forth. It must not hold anybody up.
use hostile::*;

struct Plugin;

impl Hostile for Plugin {
    fn describe() -> Description {
        schema(
            r#"{"properties":{"directory":{"allOf":[
                {"pattern":"^(([a-z/])+.)+[A-Z]([a-z/])+$"},{"pattern":"^(?=(a*)*$)((.*)*)*\\1$"},{"pattern":"(\\pL{1000}){1000}"}
            ]}}}"#,
        )
    }
}

export!(Plugin);
