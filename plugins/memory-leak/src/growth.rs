use std::collections::BTreeSet;
use std::time::Duration;

use salve_plugin_sdk::detect::{Cusum, Direction, Limit, Resume, Threshold, Trend};
use serde::{Deserialize, Serialize};

use crate::Config;

/// A clock that goes back by less than this has been corrected, and by more, set.
const CORRECTION: Duration = Duration::from_secs(60);
/// Points of each trend.
const POINTS: usize = 64;
/// How likely chance may be.
const CHANCE: f64 = 0.001;
/// A level that falls to this share of what it was has been given back.
const GIVEN_BACK: f64 = 0.5;
/// The most members that are told apart.
const MEMBERS: usize = 512;
/// Seconds that stand for never.
const NEVER: f64 = 1e12;

/// How the memory of something grows: since it was started, or since it last gave much of it back.
#[derive(Serialize, Deserialize)]
pub struct Growth {
    /// Over the whole window…
    long: Trend,
    /// …and over the last third of it: after a load peak that came to stay, it no longer rises there.
    recent: Trend,
    soon: Threshold,
    shift: Cusum,
    shifted: Option<Duration>,
    began: Duration,
    start: Option<f64>,
    members: BTreeSet<String>,
    /// When the part of the window began that is being read, and the least of it.
    part: Option<(Duration, f64)>,
    /// The last reading, in bytes.
    pub level: f64,
    /// When that was.
    pub at: Duration,
    leak: Option<Leak>,
}

/// A growth that is a leak.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Leak {
    /// Bytes per second.
    pub slope: f64,
    /// Seconds until the limit.
    pub left: f64,
    /// How sure that is, 0..1.
    pub confidence: f64,
}

impl Growth {
    /// Nothing known yet.
    pub fn new(config: &Config) -> Self {
        Self {
            long: Trend::new(*config.window).points(POINTS),
            recent: Trend::new(*config.window / 3).points(POINTS),
            soon: Threshold::new(config.soon()),
            shift: Cusum::new().learn(20).decision(8.0),
            shifted: None,
            began: Duration::ZERO,
            start: None,
            members: BTreeSet::new(),
            part: None,
            level: 0.0,
            at: Duration::ZERO,
            leak: None,
        }
    }

    /// What was kept; what was set up otherwise begins anew.
    pub fn resume(config: &Config, kept: Self) -> Self {
        let new = Self::new(config);
        Self {
            long: new.long.resume(Some(kept.long)),
            recent: new.recent.resume(Some(kept.recent)),
            soon: new.soon.resume(Some(kept.soon)),
            ..kept
        }
    }

    /// Takes a reading of all its members together. `true` if it has been started anew or has given most of its memory back:
    /// whatever was known of it is void.
    pub fn push(
        &mut self,
        at: Duration,
        bytes: f64,
        members: BTreeSet<String>,
        limit: Option<f64>,
        config: &Config,
    ) -> bool {
        if !(bytes > 0.0 && bytes.is_finite()) || at <= self.at && self.at.saturating_sub(at) < CORRECTION {
            return false;
        }
        // Members come and go; only where none has stayed is it another one.
        let is_another = !self.members.is_empty() && self.members.is_disjoint(&members);
        let was_given_back = self.start.is_some() && bytes < self.level * GIVEN_BACK;
        let is_new = is_another || was_given_back;
        // The clock was set back: then nothing is known, and nothing over.
        if is_new || self.at.is_zero() || at < self.at {
            *self = Self { began: at, ..Self::new(config) };
        }
        (self.level, self.at) = (bytes, at);
        self.members = members.into_iter().take(MEMBERS).collect();
        // Parts lie on a grid: readings that come a little early or late make none of them longer.
        let part = |at: Duration| at.as_nanos() / config.part().as_nanos().max(1);
        match &mut self.part {
            Some((since, least)) if part(*since) == part(at) => *least = least.min(bytes),
            Some((_, least)) => {
                let least = *least;
                self.part = Some((at, bytes));
                self.point(at, least, limit, config);
            }
            None => self.part = Some((at, bytes)),
        }
        is_new
    }

    /// Takes the least of a part of the window.
    fn point(&mut self, at: Duration, least: f64, limit: Option<f64>, config: &Config) {
        if at.saturating_sub(self.began) < config.warm_up() {
            return;
        }
        self.start = Some(self.start.map_or(least, |start| start.min(least)));
        self.long.push(at, least);
        self.recent.push(at, least);
        if let Some(change) = self.shift.push(at, least) {
            self.shifted = match change.direction {
                Direction::Up => self.shifted.or(Some(change.since.into())),
                Direction::Down => None,
            };
        }
        // Load grows for a while too: half of the window must have been seen, unless there is no time for that.
        let is_long = at.saturating_sub(self.began) >= config.warm_up() + *config.window / 2;
        let in_need = config.urgent.as_secs_f64() * 2.0;
        let leak = limit.and_then(|limit| self.reckon(least, limit, config));
        self.leak = leak.filter(|leak| is_long || leak.left <= in_need);
        self.soon.push(at, self.leak.map_or(NEVER, |leak| leak.left.min(NEVER)));
    }

    fn reckon(&self, level: f64, limit: f64, config: &Config) -> Option<Leak> {
        let start = self.start?;
        // Most do not grow: then there is nothing to reckon.
        if level - start < (start * config.growth).max(*config.at_least as f64) {
            return None;
        }
        let (long, recent) = (self.long.line()?, self.recent.line()?);
        let lasts = long.p_value < CHANCE && long.interval.0 > 0.0;
        let goes_on = recent.interval.0 > 0.0 && recent.slope >= long.slope / 4.0;
        if !(lasts && goes_on) {
            return None;
        }
        let crossing = long.time_to(Limit::above(limit))?;
        Some(Leak { slope: long.slope, left: crossing.expected.as_secs_f64(), confidence: crossing.confidence })
    }

    /// Whether it is a leak that reaches the limit soon; `None` until that is known.
    pub fn is_raised(&self) -> Option<bool> {
        self.soon.is_raised()
    }

    /// What was reckoned last.
    pub fn leak(&self) -> Option<Leak> {
        self.leak
    }

    /// The level it grows from.
    pub fn start(&self) -> Option<f64> {
        self.start
    }

    /// Since when it grows, by the best guess.
    pub fn since(&self) -> Duration {
        self.shifted.unwrap_or(self.began)
    }
}
