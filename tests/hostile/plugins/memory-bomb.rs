//! Takes memory without end in one call. It must be stopped at its limit.
use hostile::*;

struct Plugin;

impl Hostile for Plugin {
    fn detect(_: Batch) -> Vec<Finding> {
        let mut hoard = Vec::new();
        loop {
            hoard.push(std::hint::black_box(vec![1_u8; 1 << 20]));
        }
    }
}

export!(Plugin);
