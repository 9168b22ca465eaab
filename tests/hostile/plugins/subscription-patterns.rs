//! Subscribes with a thousand long patterns of stars, which match slowly, to everything. Its neighbour must be told in time.
use hostile::*;

struct Plugin;

impl Hostile for Plugin {
    fn configure(_: String) -> Result<Subscription, String> {
        let pattern = "*e".repeat(200) + "*x";
        let matching = vec![text("service.active_state", pattern.clone()), text("subject", pattern)];
        let all = || (0..500).map(|_| Selector { matching: matching.clone(), ..selector("*", None) }).collect();
        Ok(Subscription { events: all(), metrics: all(), every: 100 })
    }
}

export!(Plugin);
