//! Its plans want to settle, and to be judged, for ever: it takes every place for plans that the host has. Its neighbour must be
//! healed all the same.
use hostile::*;

struct Plugin;

impl Hostile for Plugin {
    fn detect(_: Batch) -> Vec<Finding> {
        if first() { (0..8).map(|n| present(format!("place-{n}"))).collect() } else { vec![] }
    }
    fn recover(incident: Incident) -> Recovery {
        let command = incident.fault.target.replace("place", "noop");
        Recovery::Act(Plan { settle: u64::MAX, deadline: u64::MAX, ..plan(vec![action("command.run", command)]) })
    }
    fn verify(_: Incident) -> Verdict {
        Verdict::Undecided
    }
}

export!(Plugin);
