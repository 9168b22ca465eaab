//! Subscribes to a log with expressions that are just small enough, and slow for the lines that come. Others must have their
//! signals meanwhile.
use hostile::*;

struct Plugin;

impl Hostile for Plugin {
    fn configure(_: String) -> Result<Subscription, String> {
        let slow = |n| selector("log.record", Some(format!(r"(x|[ab]{{1,40}}){{1,40}}[yz]{{{n},9}}c")));
        Ok(Subscription { events: (1..5).map(slow).collect(), ..every(100) })
    }
}

export!(Plugin);
