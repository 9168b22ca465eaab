use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use salve_plugin_sdk::detect::{CountWithin, Resume};
use salve_plugin_sdk::serde::{self, Deserialize, Serialize};
use salve_plugin_sdk::{log, state};

const KEY: &str = "deaths";
/// So many containers that died lately are kept track of; beyond that, the one that died longest ago is forgotten.
const MAX_CONTAINERS: usize = 1024;
/// So many of them, those that died last, are kept over a restart: they fit into the state.
const MAX_KEPT: usize = 32;

/// How often containers died lately, over restarts of the plugin.
pub struct Deaths {
    within: Duration,
    containers: BTreeMap<String, Count>,
    changed: bool,
}

/// There are two ways to see a container loop, and neither sees all: its exits, of which some may be missed, and the count of
/// its restart policy, which knows of no other restarts.
#[derive(Serialize, Deserialize)]
#[serde(crate = "self::serde")]
struct Count {
    exits: CountWithin,
    restarts: CountWithin,
    /// The last count of the restart policy.
    seen: Option<u64>,
    last: Duration,
}

impl Deaths {
    pub fn load(within: Duration) -> Self {
        let kept: BTreeMap<String, Count> = state::get(KEY).unwrap_or_default();
        let resume = |(name, kept): (String, Count)| {
            let fresh = || CountWithin::new(within);
            let (exits, restarts) = (fresh().resume(Some(kept.exits)), fresh().resume(Some(kept.restarts)));
            (name, Count { exits, restarts, ..kept })
        };
        Self { within, containers: kept.into_iter().map(resume).collect(), changed: false }
    }

    pub fn save(&mut self) {
        if !std::mem::take(&mut self.changed) {
            return;
        }
        let mut kept: Vec<(&String, &Count)> = self.containers.iter().collect();
        kept.sort_by_key(|(_, count)| Reverse(count.last));
        kept.truncate(MAX_KEPT);
        if let Err(error) = state::set(KEY, &kept.into_iter().collect::<BTreeMap<_, _>>()) {
            log::warn!("how often containers died is forgotten at the next restart: {error}");
        }
    }

    /// It ended, and nobody asked for it.
    pub fn exited(&mut self, name: &str, at: Duration) {
        self.of(name, at).exits.push(at);
        self.changed = true;
    }

    /// Its restart policy has restarted it so often, which was `before` when it was last looked at.
    pub fn restarted(&mut self, name: &str, at: Duration, before: Option<u64>, restarts: u64) {
        let kept = || self.containers.get(name).and_then(|count| count.seen);
        // What was counted before the first look may be long ago; a lower number is a new count.
        let more = before.or_else(kept).map_or(0, |before| restarts.checked_sub(before).unwrap_or(restarts));
        if more > 0 {
            let count = self.of(name, at);
            count.restarts.push_many(at, more);
            count.seen = Some(restarts);
            self.changed = true;
        }
    }

    /// How often it died within the window. One that is down now has died once more than it was restarted; that may be known
    /// before word of its exit comes.
    pub fn count(&self, name: &str, now: Duration, is_down: bool) -> u64 {
        let of = |count: &Count| match count.restarts.count(now) {
            0 => count.exits.count(now),
            restarts => count.exits.count(now).max(restarts + u64::from(is_down)),
        };
        self.containers.get(name).map_or(0, of)
    }

    /// What was is forgiven: it runs steadily again.
    pub fn forgive(&mut self, name: &str) {
        if let Some(count) = self.containers.get_mut(name) {
            (count.exits, count.restarts) = (CountWithin::new(self.within), CountWithin::new(self.within));
            self.changed = true;
        }
    }

    /// There is no such container any more.
    pub fn forget(&mut self, name: &str) {
        self.changed |= self.containers.remove(name).is_some();
    }

    fn of(&mut self, name: &str, at: Duration) -> &mut Count {
        if self.containers.len() >= MAX_CONTAINERS
            && !self.containers.contains_key(name)
            && let Some(oldest) = self.containers.iter().min_by_key(|(_, count)| count.last).map(|it| it.0.clone())
        {
            self.containers.remove(&oldest);
        }
        let new = || CountWithin::new(self.within);
        let fresh = || Count { exits: new(), restarts: new(), seen: None, last: at };
        let count = self.containers.entry(name.to_owned()).or_insert_with(fresh);
        count.last = count.last.max(at);
        count
    }
}
