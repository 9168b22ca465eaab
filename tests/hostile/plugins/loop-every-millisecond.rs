//! Wants to be called each millisecond and uses nearly all the CPU time it may, never too much. It must not cost its
//! neighbour a verdict.
use hostile::*;

struct Plugin;

impl Hostile for Plugin {
    fn configure(_: String) -> Result<Subscription, String> {
        Ok(every(1))
    }
    fn detect(_: Batch) -> Vec<Finding> {
        for n in 0..20_000_000_u32 {
            std::hint::black_box(n);
        }
        if first() { vec![present("scratch")] } else { vec![] }
    }
}

export!(Plugin);
