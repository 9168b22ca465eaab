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
    imp::query(metric, &matching, u64::try_from(window.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(target_family = "wasm")]
use crate::bindings::salve::plugin::history as imp;

#[cfg(not(target_family = "wasm"))]
pub(crate) mod imp {
    use std::cell::RefCell;

    use super::Past;
    use crate::{Attribute, Attributes, Value};

    thread_local! {
        static HISTORY: RefCell<Vec<Past>> = const { RefCell::new(Vec::new()) };
    }

    pub(crate) fn set(series: Vec<Past>) {
        HISTORY.set(series);
    }

    pub(crate) fn query(metric: &str, matching: &[Attribute], window: u64) -> Vec<Past> {
        let fits = |past: &Past| {
            let has = |wanted: &Attribute| match (&wanted.value, past.get(&wanted.key)) {
                (Value::Text(pattern), Some(Value::Text(text))) => like(pattern, text),
                _ => false,
            };
            like(metric, &past.metric) && matching.iter().all(has)
        };
        HISTORY.with_borrow(|all| {
            let now = all.iter().flat_map(|past| &past.samples).map(|(at, _)| *at).max().unwrap_or(0);
            let from = now.saturating_sub(window.saturating_mul(1_000_000));
            let within = |past: &Past| {
                let samples = past.samples.iter().filter(|(at, _)| *at >= from).copied().collect();
                Past { samples, ..past.clone() }
            };
            all.iter().filter(|past| fits(past)).map(within).filter(|past| !past.samples.is_empty()).collect()
        })
    }

    /// Whether text is as a pattern in which `*` stands for anything and `?` for one sign.
    fn like(pattern: &str, text: &str) -> bool {
        let mut signs = pattern.chars();
        match signs.next() {
            None => text.is_empty(),
            Some('*') => {
                let rest = signs.as_str();
                text.char_indices()
                    .map(|(at, _)| at)
                    .chain([text.len()])
                    .any(|at| text.get(at..).is_some_and(|t| like(rest, t)))
            }
            Some(sign) => {
                let mut others = text.chars();
                others.next().is_some_and(|other| sign == '?' || sign == other) && like(signs.as_str(), others.as_str())
            }
        }
    }
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
