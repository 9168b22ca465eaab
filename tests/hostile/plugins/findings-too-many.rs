//! Answers with 1,000 findings at once. The answer must be refused.
use hostile::*;

struct Plugin;

impl Hostile for Plugin {
    fn detect(_: Batch) -> Vec<Finding> {
        (0..1_000).map(|n| present(format!("many-{n}"))).collect()
    }
}

export!(Plugin);
