//! Its schema refers to a file of the host and to an address in the network. Neither must be read.
use hostile::*;

struct Plugin;

impl Hostile for Plugin {
    fn describe() -> Description {
        schema(r#"{"allOf":[{"$ref":"file:///etc/passwd"},{"$ref":"http://127.0.0.1:9/schema"}]}"#)
    }
}

export!(Plugin);
