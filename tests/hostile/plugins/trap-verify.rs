//! Traps in `verify` alone, after its plan was carried out. Its incident must not be taken for healed.
use hostile::*;

struct Plugin;

impl Hostile for Plugin {
    fn verify(_: Incident) -> Verdict {
        panic!("never mind the verdict")
    }
}

export!(Plugin);
