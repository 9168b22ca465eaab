//! Ends its process, with success. It must end nothing but itself.
use hostile::*;

struct Plugin;

impl Hostile for Plugin {
    #[expect(clippy::disallowed_methods, reason = "this is the deed")]
    fn detect(_: Batch) -> Vec<Finding> {
        std::process::exit(0)
    }
}

export!(Plugin);
