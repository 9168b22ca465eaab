use std::collections::BTreeMap;
use std::time::Duration;

use salve_plugin_sdk::serde::{self, Deserialize, Serialize};
use salve_plugin_sdk::{log, state};

/// How many timers are kept track of, so that they fit into the state; the longest quiet one goes first.
const MAX_TIMERS: usize = 128;
const KEY: &str = "timers";

/// What is known of timers, over restarts of the plugin: which did not fire, and whose job ran all the same.
#[derive(Default)]
pub struct Memory {
    timers: BTreeMap<String, Timer>,
    changed: bool,
}

#[derive(Default, PartialEq, Serialize, Deserialize)]
#[serde(crate = "self::serde")]
struct Timer {
    /// Since when it is missed.
    missed: Option<Duration>,
    /// When its job ran without it.
    ran: Option<Duration>,
    /// What it starts, as its events told.
    job: Option<String>,
    /// When it had fired last, in the words of its events.
    trigger: Option<String>,
}

impl Memory {
    pub fn load() -> Self {
        Self { timers: state::get(KEY).unwrap_or_default(), changed: false }
    }

    pub fn save(&mut self) {
        if std::mem::take(&mut self.changed)
            && let Err(error) = state::set(KEY, &self.timers)
        {
            log::warn!("what is known of timers is forgotten at the next restart: {error}");
        }
    }

    pub fn missed(&mut self, timer: &str, at: Duration, job: Option<&str>, trigger: Option<&str>) {
        self.change(timer, |known| {
            known.missed.get_or_insert(at);
            known.job = job.map(str::to_owned).or_else(|| known.job.take());
            known.trigger = trigger.map(str::to_owned).or_else(|| known.trigger.take());
        });
    }

    /// It fired, or needs not any more.
    pub fn fired(&mut self, timer: &str) {
        if self.is_missed(timer) {
            self.change(timer, |known| known.missed = None);
        }
    }

    pub fn ran(&mut self, timer: &str, at: Duration) {
        self.change(timer, |known| (known.missed, known.ran) = (None, Some(at)));
    }

    pub fn is_missed(&self, timer: &str) -> bool {
        self.timers.get(timer).is_some_and(|known| known.missed.is_some())
    }

    /// Whether it is missed, and was not yet at this time.
    pub fn missed_after(&self, timer: &str, at: Duration) -> bool {
        self.timers.get(timer).and_then(|known| known.missed).is_some_and(|missed| missed > at)
    }

    pub fn ran_since(&self, timer: &str, at: Duration) -> bool {
        self.timers.get(timer).and_then(|known| known.ran).is_some_and(|ran| ran >= at)
    }

    pub fn all_missed(&self) -> impl Iterator<Item = &str> {
        self.timers.iter().filter(|(_, known)| known.missed.is_some()).map(|(timer, _)| timer.as_str())
    }

    pub fn job(&self, timer: &str) -> Option<&str> {
        self.timers.get(timer)?.job.as_deref()
    }

    pub fn trigger(&self, timer: &str) -> Option<&str> {
        self.timers.get(timer)?.trigger.as_deref()
    }

    fn change(&mut self, timer: &str, change: impl FnOnce(&mut Timer)) {
        change(self.timers.entry(timer.to_owned()).or_default());
        self.changed = true;
        if self.timers.len() > MAX_TIMERS {
            let quietest = self.timers.iter().min_by_key(|(name, known)| (*name == timer, known.missed.max(known.ran)));
            if let Some(name) = quietest.map(|(name, _)| name.clone()) {
                self.timers.remove(&name);
            }
        }
    }
}
