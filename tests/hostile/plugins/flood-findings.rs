//! Finds 256 new faults with each call, ten times a second. Its neighbour must be healed all the same: a storm that one policy
//! alone makes up is no reason to stop others.
use hostile::*;

struct Plugin;

impl Hostile for Plugin {
    fn detect(_: Batch) -> Vec<Finding> {
        let call = count();
        (0..256).map(|n| present(format!("flood-{call}-{n}"))).collect()
    }
}

export!(Plugin);
