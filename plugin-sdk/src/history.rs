//! What the metrics were. A plugin that calls this needs `read = ["history"]` in its policy, and does not load without.

use std::time::Duration;

use crate::{Attribute, Attributes};

pub use crate::bindings::salve::plugin::history::Past;

/// The series of `metric` whose text attributes have these values (`*` stands for anything in both), and their samples in
/// the `window` before this call: pairs of nanoseconds since the Unix epoch and value, the oldest first. Only series that
/// some policy subscribed to are known. The host keeps the samples themselves for an hour, unless it is told otherwise,
/// and for a day the mean of each minute; it tells of 256 series and 16384 samples at most, at even distances.
///
/// In native tests: what [`testing::set_history`](crate::testing::set_history) said.
///
/// ```no_run
/// use std::time::Duration;
/// use salve_plugin_sdk::history;
///
/// for past in history::query("system.filesystem.usage", &[("system.filesystem.state", "used")], Duration::from_secs(3600)) {
///     let (Some((from, first)), Some((to, last))) = (past.samples.first(), past.samples.last()) else { continue };
///     println!("{} grew by {} bytes in {} s", past.metric, last - first, (to - from) / 1_000_000_000);
/// }
/// ```
pub fn query(metric: &str, matching: &[(&str, &str)], window: Duration) -> Vec<Past> {
    let matching: Vec<_> = matching.iter().map(|(key, value)| Attribute::new(*key, *value)).collect();
    #[cfg(target_family = "wasm")]
    {
        let window = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
        crate::bindings::salve::plugin::history::query(metric, &matching, window)
    }
    #[cfg(not(target_family = "wasm"))]
    crate::testing::history(metric, &matching, window)
}

impl Attributes for Past {
    fn attributes(&self) -> &[Attribute] {
        &self.attributes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::set_history;

    const SECOND: u64 = 1_000_000_000;

    fn past(state: &str, seconds: std::ops::Range<u64>) -> Past {
        Past {
            metric: "system.memory.usage".into(),
            attributes: vec![Attribute::new("system.memory.state", state)],
            samples: seconds.map(|second| (second * SECOND, second as f64)).collect(),
        }
    }

    #[test]
    fn a_test_says_what_the_metrics_were() {
        set_history(vec![past("used", 0..101), past("free", 0..50), past("fresh", 100..101)]);
        let used = query("system.memory.*", &[("system.memory.state", "used")], Duration::from_secs(10));
        assert_eq!(used.len(), 1);
        assert_eq!(used[0].samples.len(), 11);
        assert_eq!(used[0].text("system.memory.state"), Some("used"));
        // Seen from the newest sample, the free memory was last told of 51 seconds ago.
        let all = |window| query("*", &[("system.memory.state", "fr*")], Duration::from_secs(window)).len();
        assert_eq!((all(60), all(50)), (2, 1));
        assert!(query("system.memory", &[], Duration::MAX).is_empty());
        assert!(query("*", &[("system.memory.kind", "*")], Duration::MAX).is_empty());
    }
}
