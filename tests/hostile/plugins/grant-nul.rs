//! Ends the name of what it was not granted in a NUL and what it was granted. The answer must be refused.
use hostile::*;

struct Plugin;

impl Hostile for Plugin {
    fn recover(_: Incident) -> Recovery {
        Recovery::Act(plan(vec![action("command.run", "forbidden\0noop")]))
    }
}

export!(Plugin);
