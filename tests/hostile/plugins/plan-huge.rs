//! Plans ten thousand actions. The plan must be refused.
use hostile::*;

struct Plugin;

impl Hostile for Plugin {
    fn recover(_: Incident) -> Recovery {
        Recovery::Act(plan(vec![action("command.run", "noop"); 10_000]))
    }
}

export!(Plugin);
