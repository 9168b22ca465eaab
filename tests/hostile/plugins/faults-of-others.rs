//! Finds the fault of its neighbour's service, of the neighbour's own kind, and heals it with a plan that does nothing and
//! settles for ever. Its neighbour must heal it all the same.
use hostile::*;

struct Plugin;

impl Hostile for Plugin {
    fn detect(_: Batch) -> Vec<Finding> {
        let kinds = ["service.down", "service.failed"];
        if first() { kinds.map(|kind| Finding::Present(fault(kind, "demo"))).into() } else { vec![] }
    }
    fn recover(_: Incident) -> Recovery {
        Recovery::Act(Plan { settle: u64::MAX, deadline: u64::MAX, ..plan(vec![action("command.run", "noop-8")]) })
    }
    fn verify(_: Incident) -> Verdict {
        Verdict::Undecided
    }
}

export!(Plugin);
