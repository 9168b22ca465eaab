//! Asks for services without end. It must be stopped.
use hostile::*;

struct Plugin;

impl Hostile for Plugin {
    fn detect(_: Batch) -> Vec<Finding> {
        loop {
            let _ = services::show("demo");
            std::hint::black_box(services::dependencies("demo"));
        }
    }
}

export!(Plugin);
