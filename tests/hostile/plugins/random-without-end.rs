//! Reads random numbers without end, a lot at a time. It must be stopped.
use hostile::*;

struct Plugin;

impl Hostile for Plugin {
    fn detect(_: Batch) -> Vec<Finding> {
        loop {
            std::hint::black_box(wasip2::random::random::get_random_bytes(1 << 16));
        }
    }
}

export!(Plugin);
