//! Takes handles from the host, for which the host's own memory pays, and gives none back; slowly enough not to be stopped for
//! it. It must be stopped.
use hostile::*;

struct Plugin;

impl Hostile for Plugin {
    fn configure(_: String) -> Result<Subscription, String> {
        Ok(every(1))
    }
    fn detect(_: Batch) -> Vec<Finding> {
        for _ in 0..1000 {
            std::mem::forget(wasip2::clocks::monotonic_clock::subscribe_duration(u64::MAX));
        }
        vec![]
    }
}

export!(Plugin);
