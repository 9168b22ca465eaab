//! Finds another fault with each call and clears the one before. Its neighbour must be healed all the same.
use hostile::*;

struct Plugin;

impl Hostile for Plugin {
    fn configure(_: String) -> Result<Subscription, String> {
        Ok(every(10))
    }
    fn detect(_: Batch) -> Vec<Finding> {
        let call = count();
        let before = call.wrapping_sub(1);
        vec![cleared(format!("flap-{before}")), present(format!("flap-{call}"))]
    }
    fn recover(_: Incident) -> Recovery {
        Recovery::Wait(1)
    }
}

export!(Plugin);
