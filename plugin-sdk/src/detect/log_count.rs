use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::HumanDuration;

/// How many counters there may be, of all classes and groups together.
const MAX_COUNTERS: usize = 1024;
/// Up to this number counts are exact; beyond it what falls into one of so many parts of the window leaves it together.
const MARKS: usize = 64;
/// How much of a group's name is kept.
const MAX_GROUP: usize = 256;

/// How often is too often:
///
/// ```toml
/// [config.class.timeout]
/// at-least = 5
/// within = "1m"
/// clear-below = 1
/// hold-off = "5m"
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LogRule {
    /// Raised when there are so many within the window. 0 counts as 1.
    #[serde(default = "one")]
    pub at_least: u32,
    /// The window: a line counts for as long.
    pub within: HumanDuration,
    /// Cleared when there are fewer than so many within the window: 1, which is the default, means none for a whole window.
    /// More than `at-least` counts as `at-least`.
    #[serde(default = "one")]
    pub clear_below: u32,
    /// How long it stays as it is, at least, after it was raised or cleared.
    #[serde(default = "none")]
    pub hold_off: HumanDuration,
}

fn one() -> u32 {
    1
}

fn none() -> HumanDuration {
    HumanDuration(Duration::ZERO)
}

impl LogRule {
    /// Raised by so many within a window, cleared when there was none for a window.
    pub const fn new(at_least: u32, within: Duration) -> Self {
        Self { at_least, within: HumanDuration(within), clear_below: 1, hold_off: HumanDuration(Duration::ZERO) }
    }

    fn raise_at(&self) -> u64 {
        u64::from(self.at_least.max(1))
    }

    fn clear_below(&self) -> u64 {
        u64::from(self.clear_below).clamp(1, self.raise_at())
    }

    /// What is seen within so much time of each other is kept as one mark.
    fn resolution(&self) -> Duration {
        if self.raise_at() <= MARKS as u64 { Duration::ZERO } else { *self.within / MARKS as u32 }
    }
}

/// What a [`LogCount`] says of a class and group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogChange {
    /// The name of the class.
    pub class: String,
    /// The group; empty where lines are not grouped.
    pub group: String,
    /// Raised, or cleared.
    pub raised: bool,
    /// How many there were within the window: so many or more.
    pub count: u64,
}

/// Counts log lines by class, and within a class by group, each over a sliding window. Which class a line belongs to is
/// for the host's patterns to say; a group is what the plugin takes from it: the unit, the client, the line itself.
///
/// ```
/// # use std::time::Duration;
/// use salve_plugin_sdk::detect::{LogCount, LogRule};
///
/// let minute = Duration::from_secs(60);
/// let mut count = LogCount::new([("timeout", LogRule::new(2, minute))]);
/// assert_eq!(count.line(Duration::from_secs(10), "timeout", "web"), None);
/// let change = count.line(Duration::from_secs(20), "timeout", "web").unwrap();
/// assert!(change.raised && change.count == 2);
/// assert!(count.pass(Duration::from_secs(80)).is_empty());
/// assert!(!count.pass(Duration::from_secs(81))[0].raised);
/// ```
///
/// Memory is bounded: at most 65 marks for each of at most 1024 counters. Counts up to 64 are exact; where a rule asks for
/// more, a line may leave the window early by up to a 64th of it. When there are too many groups, that is forgotten which was
/// quiet for longest and is not raised, or, if all are, that one of them ([`forgotten`](Self::forgotten)).
#[derive(Debug, Clone, Default)]
pub struct LogCount {
    rules: BTreeMap<String, LogRule>,
    counters: BTreeMap<(String, String), Counter>,
    now: Duration,
    forgotten: u64,
}

#[derive(Debug, Clone, Default)]
struct Counter {
    /// When, and how many; the oldest first.
    marks: VecDeque<(Duration, u64)>,
    /// The sum over the marks.
    count: u64,
    last: Duration,
    raised: bool,
    changed: Option<Duration>,
}

impl LogCount {
    /// Counts lines of these classes.
    pub fn new<S: Into<String>>(rules: impl IntoIterator<Item = (S, LogRule)>) -> Self {
        Self { rules: rules.into_iter().map(|(class, rule)| (class.into(), rule)).collect(), ..Self::default() }
    }

    /// Takes in a line. `at` is since the Unix epoch; a time before that of an earlier call counts as that. A class that has
    /// no rule is not counted. Of a group's name the first 256 bytes tell it from others.
    pub fn line(&mut self, at: Duration, class: &str, group: &str) -> Option<LogChange> {
        let rule = *self.rules.get(class)?;
        self.now = self.now.max(at);
        let group = group.get(..group.floor_char_boundary(MAX_GROUP)).unwrap_or_default();
        let key = (class.to_owned(), group.to_owned());
        if !self.counters.contains_key(&key) && self.counters.len() >= MAX_COUNTERS {
            self.forget_one();
        }
        let counter = self.counters.entry(key).or_default();
        counter.add(self.now, &rule);
        let raised = counter.change(self.now, &rule)?;
        Some(LogChange { class: class.into(), group: group.into(), raised, count: counter.count })
    }

    /// Lets time pass without a line: what has become quiet is cleared, and forgotten once its hold-off is over. To be
    /// called with each batch.
    pub fn pass(&mut self, at: Duration) -> Vec<LogChange> {
        self.now = self.now.max(at);
        let (now, rules) = (self.now, &self.rules);
        let mut changes = Vec::new();
        self.counters.retain(|(class, group), counter| {
            let Some(rule) = rules.get(class) else { return false };
            counter.leave(now, rule);
            if let Some(raised) = counter.change(now, rule) {
                changes.push(LogChange { class: class.clone(), group: group.clone(), raised, count: counter.count });
            }
            counter.raised || counter.count > 0 || counter.is_held(now, rule)
        });
        changes
    }

    /// Clears a class and group because its fault is known to be gone, and lets go of its lines: only new ones raise it again,
    /// after its hold-off.
    pub fn clear(&mut self, at: Duration, class: &str, group: &str) {
        self.now = self.now.max(at);
        if let Some(counter) = self.counters.get_mut(&(class.to_owned(), group.to_owned())) {
            *counter = Counter { last: counter.last, changed: Some(self.now), ..Counter::default() };
        }
    }

    /// How many lines of a class and group are within the window now: exact up to the number that raises it, then so many
    /// or more.
    pub fn count(&self, class: &str, group: &str) -> u64 {
        self.counter(class, group).map_or(0, |counter| counter.count)
    }

    /// Whether a class and group is raised.
    pub fn is_raised(&self, class: &str, group: &str) -> bool {
        self.counter(class, group).is_some_and(|counter| counter.raised)
    }

    /// How many groups had to be forgotten because there were too many.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    fn counter(&self, class: &str, group: &str) -> Option<&Counter> {
        self.counters.get(&(class.to_owned(), group.to_owned()))
    }

    fn forget_one(&mut self) {
        let quietest = self.counters.iter().min_by_key(|(_, counter)| (counter.raised, counter.last));
        if let Some(key) = quietest.map(|(key, _)| key.clone()) {
            self.counters.remove(&key);
            self.forgotten += 1;
        }
    }
}

impl Counter {
    fn add(&mut self, now: Duration, rule: &LogRule) {
        self.leave(now, rule);
        self.last = now;
        self.count += 1;
        match self.marks.back_mut() {
            Some((at, count)) if now.saturating_sub(*at) <= rule.resolution() => *count += 1,
            _ => self.marks.push_back((now, 1)),
        }
        // So many are enough to tell, and the newest are those that stay longest.
        if self.marks.len() > MARKS + 1
            && let Some((_, count)) = self.marks.pop_front()
        {
            self.count -= count;
        }
    }

    /// Lets go of what is no longer within the window.
    fn leave(&mut self, now: Duration, rule: &LogRule) {
        while let Some((at, count)) = self.marks.front()
            && now.saturating_sub(*at) > *rule.within
        {
            self.count -= count;
            self.marks.pop_front();
        }
    }

    /// Whether it is raised or cleared now, if that is new.
    fn change(&mut self, now: Duration, rule: &LogRule) -> Option<bool> {
        let raised = if self.raised { self.count >= rule.clear_below() } else { self.count >= rule.raise_at() };
        if raised == self.raised || self.is_held(now, rule) {
            return None;
        }
        self.raised = raised;
        self.changed = Some(now);
        Some(raised)
    }

    fn is_held(&self, now: Duration, rule: &LogRule) -> bool {
        self.changed.is_some_and(|changed| now.saturating_sub(changed) < *rule.hold_off)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn what_was_healed_is_raised_by_new_lines_only() {
        let mut count = LogCount::new([("oom", LogRule { hold_off: HumanDuration(s(5)), ..LogRule::new(2, s(60)) })]);
        count.line(s(0), "oom", "");
        assert!(count.line(s(1), "oom", "").is_some());
        count.clear(s(10), "oom", "");
        assert!(!count.is_raised("oom", "") && count.pass(s(11)).is_empty());
        assert_eq!(count.line(s(12), "oom", ""), None, "one is not enough");
        assert_eq!(count.line(s(13), "oom", ""), None, "it is held off");
        assert!(count.line(s(15), "oom", "").is_some_and(|change| change.raised && change.count == 3));
    }

    #[test]
    fn a_line_counts_for_a_window() {
        let mut count = LogCount::new([("oom", LogRule { clear_below: 2, ..LogRule::new(3, s(10)) })]);
        assert_eq!(count.line(s(0), "oom", ""), None);
        assert_eq!(count.line(s(5), "oom", ""), None);
        assert_eq!(count.line(s(11), "oom", ""), None, "the first has left");
        let change = count.line(s(15), "oom", "").unwrap();
        assert_eq!(change, LogChange { class: "oom".into(), group: String::new(), raised: true, count: 3 });
        assert_eq!(count.line(s(16), "oom", ""), None, "it is raised already");
        assert!(count.pass(s(25)).is_empty() && count.is_raised("oom", ""));
        let cleared = count.pass(s(26));
        assert!(matches!(&cleared[..], [LogChange { raised: false, count: 1, .. }]), "{cleared:?}");
        assert_eq!(count.line(s(26), "unheard of", ""), None);
    }

    #[test]
    fn it_stays_as_it_is_for_the_hold_off() {
        let mut count = LogCount::new([("x", LogRule { hold_off: HumanDuration(s(30)), ..LogRule::new(1, s(1)) })]);
        assert!(count.line(s(0), "x", "").unwrap().raised);
        assert!(count.pass(s(29)).is_empty());
        assert!(!count.pass(s(30))[0].raised);
        assert_eq!(count.line(s(31), "x", ""), None);
        assert!(count.pass(s(59)).is_empty() && !count.is_raised("x", ""));
        assert!(count.line(s(60), "x", "").unwrap().raised);
        assert!(!count.pass(s(90))[0].raised);
        count.pass(s(120));
        assert!(count.counters.is_empty(), "nothing is left to remember");
    }

    #[test]
    fn groups_are_counted_apart_and_not_without_end() {
        let mut count = LogCount::new([("x", LogRule::new(2, s(1000)))]);
        assert_eq!(count.line(s(1), "x", "a"), None);
        assert_eq!(count.line(s(1), "x", "b"), None);
        assert_eq!(count.line(s(1), "x", "a").unwrap().group, "a");
        (0..5000).for_each(|n| drop(count.line(s(2), "x", &format!("group {n}"))));
        assert_eq!(count.counters.len(), MAX_COUNTERS);
        assert_eq!(count.forgotten(), 5002 - MAX_COUNTERS as u64);
        assert!(count.is_raised("x", "a"), "what is raised is forgotten last");
        let long = "ä".repeat(200);
        assert_eq!(count.line(s(3), "x", &long), None);
        assert_eq!(count.line(s(3), "x", &format!("{long}!")).unwrap().group.len(), 256);
    }

    #[test]
    fn a_flood_takes_no_memory() {
        let mut count = LogCount::new([("x", LogRule::new(100_000, s(64))), ("y", LogRule::new(3, s(64)))]);
        let millis = |n| Duration::from_millis(n);
        let raised = (0..200_000).find(|n| count.line(millis(*n), "x", "").is_some());
        assert_eq!(raised, None, "64,000 a minute at most");
        let raised = (0..200_000_u64).find(|n| count.line(millis(200_000 + n / 10), "x", "").is_some());
        // 64,000 at first; 9 more with each millisecond, so it is after 4 s. A 64th of the window is 1000 of the old lines.
        let raised = raised.unwrap();
        assert!((39_990..=41_200).contains(&raised), "{raised}");
        (0..10_000).for_each(|n| drop(count.line(millis(300_000 + n), "y", "")));
        assert!(count.counters.values().all(|counter| counter.marks.len() <= MARKS + 1));
    }

    #[test]
    fn a_rule_is_read_with_its_defaults() {
        let rule: LogRule = toml::from_str("within = '1m'").unwrap();
        assert_eq!(rule, LogRule::new(1, s(60)));
        let rule: LogRule = toml::from_str("within = '1m'\nat-least = 5\nclear-below = 2\nhold-off = '5m'").unwrap();
        assert_eq!(rule, LogRule { clear_below: 2, hold_off: HumanDuration(s(300)), ..LogRule::new(5, s(60)) });
        // What makes no sense does no harm.
        let mut count = LogCount::new([("x", LogRule { clear_below: 9, ..LogRule::new(0, Duration::ZERO) })]);
        assert!(count.line(s(1), "x", "").unwrap().raised);
        assert!(!count.pass(s(2))[0].raised);
        assert_eq!(count.line(Duration::MAX, "x", "").map(|change| change.raised), Some(true));
        assert_eq!(count.line(s(0), "x", ""), None, "time does not go back");
    }

    proptest! {
        /// Against counting every line there was.
        #[test]
        fn raised_exactly_when_there_are_enough(
            steps in proptest::collection::vec((0_u64..8, any::<bool>()), 0..200),
            at_least in 1_u32..6,
            clear_below in 1_u32..6,
        ) {
            let rule = LogRule { clear_below, ..LogRule::new(at_least, s(10)) };
            let mut count = LogCount::new([("x", rule)]);
            let (mut lines, mut now, mut raised) = (Vec::new(), 0, false);
            for (wait, is_line) in steps {
                now += wait;
                if is_line {
                    lines.push(now);
                    count.line(s(now), "x", "");
                } else {
                    count.pass(s(now));
                }
                let within = lines.iter().filter(|line| now - **line <= 10).count() as u32;
                raised = within >= if raised { clear_below.min(at_least) } else { at_least };
                prop_assert_eq!(count.is_raised("x", ""), raised, "at {} of {:?}", now, lines);
                prop_assert_eq!(count.count("x", ""), u64::from(within));
            }
        }
    }
}
