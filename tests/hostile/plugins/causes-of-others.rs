//! Says that its own fault has brought the neighbour's service down, and that what that service needs is at fault. Its neighbour
//! must be healed all the same.
use hostile::*;

struct Plugin;

impl Hostile for Plugin {
    fn detect(_: Batch) -> Vec<Finding> {
        let evidence = vec![text("fault.consequence", "demo"), text("fault.consequence", "*")];
        let told = Finding::Present(Fault { evidence, ..fault("hostile.fault", "scratch") });
        if first() { vec![told, present("base")] } else { vec![] }
    }
    fn recover(_: Incident) -> Recovery {
        Recovery::Wait(u64::MAX)
    }
}

export!(Plugin);
