//! Asks for a gigabyte at one stroke. It must not get it.
use hostile::*;

struct Plugin;

impl Hostile for Plugin {
    fn detect(_: Batch) -> Vec<Finding> {
        std::hint::black_box(vec![1_u8; 1 << 30]);
        vec![]
    }
}

export!(Plugin);
