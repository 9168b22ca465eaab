//! Has something done as often as it can, and then says that there is a fault still. Its neighbour must be healed all the same: what
//! one policy does without end must not stop others.
use hostile::*;

struct Plugin;

impl Hostile for Plugin {
    fn configure(_: String) -> Result<Subscription, String> {
        Ok(every(10))
    }
    fn detect(_: Batch) -> Vec<Finding> {
        vec![present(format!("again-{}", count()))]
    }
    fn recover(_: Incident) -> Recovery {
        Recovery::Act(plan(vec![action("command.run", "noop"); 16]))
    }
    fn verify(_: Incident) -> Verdict {
        Verdict::Unhealthy("again".into())
    }
}

export!(Plugin);
