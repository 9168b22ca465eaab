//! Has the host look through all its files without end. It must be stopped.
use hostile::*;

struct Plugin;

impl Hostile for Plugin {
    fn detect(_: Batch) -> Vec<Finding> {
        loop {
            let _ = files::largest("/**", u32::MAX);
            let _ = files::largest("/**/**/**/**/**/*{a,b,c}*", u32::MAX);
        }
    }
}

export!(Plugin);
