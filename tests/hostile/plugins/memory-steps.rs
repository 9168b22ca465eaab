//! Takes a little more memory with each call. It must be stopped at its limit.
use std::sync::Mutex;

use hostile::*;

static HOARD: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

struct Plugin;

impl Hostile for Plugin {
    fn configure(_: String) -> Result<Subscription, String> {
        Ok(every(5))
    }
    fn detect(_: Batch) -> Vec<Finding> {
        if let Ok(mut hoard) = HOARD.lock() {
            hoard.push(std::hint::black_box(vec![1_u8; 256 << 10]));
        }
        vec![]
    }
}

export!(Plugin);
