//! Plans to start, stop, start and stop one service that it was granted. It must be done in that order, and no other service be
//! touched.
use hostile::*;

struct Plugin;

impl Hostile for Plugin {
    fn recover(_: Incident) -> Recovery {
        let verbs =
            ["service.start", "service.stop", "service.start", "service.stop", "service.restart", "service.stop"];
        Recovery::Act(plan(verbs.map(|verb| action(verb, "scratch")).into()))
    }
}

export!(Plugin);
