use std::time::Duration;

use salve_plugin_sdk::detect::{Limit, Resume, Threshold, Trend};
use serde::{Deserialize, Serialize};

use crate::Config;

/// How often the trend is reckoned: it takes time by the square of its points, and moves slowly.
const EVERY: Duration = Duration::from_secs(30);

/// Points of the trend. Eight of them are the fewest that tell one: an eighth of the window.
const POINTS: usize = 64;

/// Seconds that stand for never.
const NEVER: f64 = 1e12;

/// How full a file system is by one measure, and when it will be.
#[derive(Serialize, Deserialize)]
pub struct Gauge {
    full: Threshold,
    filling: Threshold,
    trend: Trend,
    /// Over the last third of the window: after one large file it no longer rises there.
    recent: Trend,
    /// The share per second by which it was filling before the last step: what counts until there is a new trend.
    rate: Option<f64>,
    /// The last reading, a share.
    pub level: f64,
    /// When that was.
    pub at: Duration,
    reckoned: Duration,
    ahead: Option<Ahead>,
}

/// What lies ahead.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Ahead {
    /// Until it is full.
    pub seconds: f64,
    /// The share per second by which it fills.
    pub rate: f64,
    /// How sure that is, 0..1.
    pub confidence: f64,
}

impl Gauge {
    /// Nothing known yet, or what was kept.
    pub fn new(config: &Config, kept: Option<Self>) -> Self {
        let (full, filling) = (Threshold::new(config.full()), Threshold::new(config.filling()));
        let (trend, recent) = trends(config);
        let (at, reckoned) = (Duration::ZERO, Duration::ZERO);
        let new = Self { full, filling, trend, recent, rate: None, level: 0.0, at, reckoned, ahead: None };
        match kept {
            None => new,
            Some(kept) => Self {
                full: new.full.resume(Some(kept.full)),
                filling: new.filling.resume(Some(kept.filling)),
                trend: new.trend.resume(Some(kept.trend)),
                recent: new.recent.resume(Some(kept.recent)),
                ..kept
            },
        }
    }

    /// Takes a reading. What is no share is none.
    pub fn push(&mut self, at: Duration, level: f64, confidence: f64) {
        if !(0.0..=1.0).contains(&level) {
            return;
        }
        (self.level, self.at) = (level, at);
        self.full.push(at, level);
        self.trend.push(at, level);
        self.recent.push(at, level);
        // Each time while the level alone moves the forecast; and if the clock was set back.
        if self.rate.is_some() || at.abs_diff(self.reckoned) >= EVERY {
            self.reckoned = at;
            self.ahead = self.reckon(confidence);
        }
        self.filling.push(at, self.ahead.map_or(NEVER, |ahead| ahead.seconds.min(NEVER)));
    }

    /// Whether it is full; `None` until that is known.
    pub fn is_full(&self) -> Option<bool> {
        self.full.is_raised()
    }

    /// Whether it is filling; `None` until that is known.
    pub fn is_filling(&self) -> Option<bool> {
        self.filling.is_raised()
    }

    /// When it will be full, if it fills.
    pub fn ahead(&self) -> Option<Ahead> {
        self.ahead
    }

    /// Something is about to make room: what was there before says nothing of the level any more, but still how fast it
    /// grows.
    pub fn begin_anew(&mut self, config: &Config) {
        self.rate = self.ahead.map(|ahead| ahead.rate);
        (self.trend, self.recent) = trends(config);
    }

    fn reckon(&mut self, confidence: f64) -> Option<Ahead> {
        if let Some(line) = self.trend.line() {
            self.rate = None;
            let recent = self.recent.line()?;
            if recent.interval.0 <= 0.0 || recent.slope < line.slope / 4.0 {
                return None;
            }
            let crossing = line.time_to(Limit::above(1.0)).filter(|crossing| crossing.confidence >= confidence)?;
            let seconds = crossing.expected.as_secs_f64();
            return Some(Ahead { seconds, rate: line.slope, confidence: crossing.confidence });
        }
        let rate = self.rate.filter(|rate| *rate > 0.0)?;
        Some(Ahead { seconds: (1.0 - self.level) / rate, rate, confidence: 0.5 })
    }
}

/// Over the window, and over the last third of it.
fn trends(config: &Config) -> (Trend, Trend) {
    (Trend::new(*config.window).points(POINTS), Trend::new(*config.window / 3).points(POINTS))
}
