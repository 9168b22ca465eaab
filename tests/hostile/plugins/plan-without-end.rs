//! Has as much done as it can for a fault that it says to be gone, and finds again. Its neighbour must be healed all the same: what
//! one policy does without end must not stop others.
use hostile::*;

struct Plugin;

impl Hostile for Plugin {
    fn configure(_: String) -> Result<Subscription, String> {
        Ok(every(10))
    }
    fn detect(_: Batch) -> Vec<Finding> {
        vec![present("again")]
    }
    fn recover(_: Incident) -> Recovery {
        Recovery::Act(plan(vec![action("command.run", "noop"); 16]))
    }
}

export!(Plugin);
