//! Sleeps for an hour. It must be stopped at once.
use hostile::*;

struct Plugin;

impl Hostile for Plugin {
    #[expect(clippy::disallowed_methods, reason = "this is the deed")]
    fn detect(_: Batch) -> Vec<Finding> {
        std::thread::sleep(std::time::Duration::from_secs(3600));
        vec![]
    }
}

export!(Plugin);
