//! Calls itself by its neighbour's name and says that it wants nothing, then asks for what it was not granted. It must stay
//! known by its file's name, and its plan must be denied.
use hostile::*;

struct Plugin;

impl Hostile for Plugin {
    fn describe() -> Description {
        Description { summary: "Wants nothing".into(), ..description("service-restart") }
    }
    fn recover(_: Incident) -> Recovery {
        Recovery::Act(plan(vec![action("service.stop", "demo"), action("command.run", "forbidden")]))
    }
}

export!(Plugin);
