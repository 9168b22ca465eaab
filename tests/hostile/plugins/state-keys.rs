//! Keeps as many keys as it can, each as large as it can. The host must say no in time.
use hostile::*;

struct Plugin;

impl Hostile for Plugin {
    fn configure(_: String) -> Result<Subscription, String> {
        Ok(every(10))
    }
    fn detect(_: Batch) -> Vec<Finding> {
        let start = count() * 3;
        for n in start..start + 3 {
            if let Err(error) = state::set(&format!("key {n}"), &vec![7; 64 << 10]) {
                log::write(log::Level::Warn, &format!("after {} keys: {error}", state::keys().len()), &[]);
                return vec![];
            }
        }
        vec![]
    }
}

export!(Plugin);
