//! Asks for all random bytes there can be at one stroke. It must be stopped before the host makes any.
use hostile::*;

struct Plugin;

impl Hostile for Plugin {
    fn detect(_: Batch) -> Vec<Finding> {
        std::hint::black_box(wasip2::random::random::get_random_bytes(u64::MAX));
        vec![]
    }
}

export!(Plugin);
