//! Finds the same fault again with each call, each time with as much and other evidence as it can: to wear out the disk. Its neighbour
//! must be healed all the same.
use hostile::*;

struct Plugin;

impl Hostile for Plugin {
    fn configure(_: String) -> Result<Subscription, String> {
        Ok(every(1))
    }
    fn detect(_: Batch) -> Vec<Finding> {
        let page = format!("{} {}", count(), "e".repeat(4000));
        let evidence = (0..60).map(|n| text(&n.to_string(), page.clone())).collect();
        vec![Finding::Present(Fault { evidence, ..fault("hostile.fault", "scratch") })]
    }
    fn recover(_: Incident) -> Recovery {
        Recovery::Escalate("see for yourself".into())
    }
}

export!(Plugin);
