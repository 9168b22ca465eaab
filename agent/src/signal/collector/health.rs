use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::clock::{Clock, Timestamp};

/// How the sources of signals do. Collectors say it, `salve status` shows it: what cannot be read is missed by nobody unless
/// it is told.
#[derive(Debug)]
pub struct Health {
    clock: Arc<dyn Clock>,
    sources: Mutex<BTreeMap<String, SourceView>>,
}

/// How a source does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// It is read.
    Ok,
    /// It should be there and cannot be read, or not wholly.
    Degraded,
    /// This host has none of it: nothing is wrong.
    Absent,
}

/// A source as `salve status` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceView {
    /// Its name: `pressure`, `probe/web`, `log/nginx`.
    pub source: String,
    /// How it does.
    pub condition: Condition,
    /// Why it is not ok; null where it is.
    pub reason: Option<String>,
    /// Since when.
    pub since: Timestamp,
    /// How often reading it failed since the agent started.
    pub failures: u64,
    /// Signals of it that the host had to drop since the agent started.
    pub dropped: u64,
}

impl Health {
    /// Nothing is known yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, sources: Mutex::default() }
    }

    /// The source is read.
    pub fn ok(&self, source: &str) {
        self.put(source, Condition::Ok, None);
    }

    /// The source should be there and cannot be read, or not wholly; said in the log where the reason is a new one.
    pub fn degraded(&self, source: &str, reason: impl Into<String>) {
        self.put(source, Condition::Degraded, Some(reason.into()));
    }

    /// This host has none of it.
    pub fn absent(&self, source: &str, reason: impl Into<String>) {
        self.put(source, Condition::Absent, Some(reason.into()));
    }

    /// So many signals of it were dropped.
    pub fn dropped(&self, source: &str, count: u64) {
        let mut sources = self.sources();
        self.entry(&mut sources, source).dropped += count;
    }

    /// Nobody asks for it any more.
    pub fn forget(&self, source: &str) {
        self.sources().remove(source);
    }

    /// Every source that somebody asks for, by name.
    pub fn view(&self) -> Vec<SourceView> {
        self.sources().values().cloned().collect()
    }

    fn put(&self, source: &str, condition: Condition, reason: Option<String>) {
        let mut sources = self.sources();
        let is_new = !sources.contains_key(source);
        let entry = self.entry(&mut sources, source);
        entry.failures += u64::from(condition == Condition::Degraded);
        if entry.condition == condition && entry.reason == reason && !is_new {
            return;
        }
        match (condition, &reason) {
            (Condition::Degraded, Some(reason)) => tracing::warn!(source, "cannot be read: {reason}"),
            (Condition::Absent, Some(reason)) => tracing::info!(source, "absent: {reason}"),
            _ if !is_new => tracing::info!(source, "is read again"),
            _ => {}
        }
        if entry.condition != condition {
            entry.since = self.clock.now().wall;
        }
        entry.condition = condition;
        entry.reason = reason;
    }

    fn entry<'a>(&self, sources: &'a mut BTreeMap<String, SourceView>, source: &str) -> &'a mut SourceView {
        sources.entry(source.to_owned()).or_insert_with(|| SourceView {
            source: source.to_owned(),
            condition: Condition::Ok,
            reason: None,
            since: self.clock.now().wall,
            failures: 0,
            dropped: 0,
        })
    }

    fn sources(&self) -> MutexGuard<'_, BTreeMap<String, SourceView>> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    #[test]
    fn what_fails_is_counted_and_what_works_again_is_ok() {
        let health = Health::new(Arc::new(SystemClock::new()));
        health.degraded("pressure", "no such file");
        health.degraded("pressure", "no such file");
        health.dropped("pressure", 3);
        let [view] = &health.view()[..] else { panic!("one source") };
        assert_eq!((view.condition, view.failures, view.dropped), (Condition::Degraded, 2, 3));
        assert_eq!(view.reason.as_deref(), Some("no such file"));
        health.ok("pressure");
        assert_eq!((health.view()[0].condition, health.view()[0].reason.clone()), (Condition::Ok, None));
        health.forget("pressure");
        assert!(health.view().is_empty());
    }
}
