use std::time::Duration;

use salve_plugin_sdk::{log, state};
use serde::{Deserialize, Serialize};

use crate::Config;
use crate::gauge::Gauge;
use crate::measure::Measure;

/// What keys of the state begin with.
const KEY: &str = "mount:";
/// How often what is known is kept.
const KEEP_EVERY: Duration = Duration::from_secs(600);

/// A file system, by where it is mounted.
pub struct Mount {
    /// Where.
    pub point: String,
    /// When it was last heard of.
    pub seen: Duration,
    /// Since when others are heard of and it is not.
    pub missing: Option<Duration>,
    /// The device, as the host calls it.
    pub device: String,
    /// Its size in bytes, and how many files it can hold.
    pub limits: [Option<f64>; 2],
    /// Whether it was ever seen writable: one that never was is meant to be so.
    pub was_writable: bool,
    /// Whether it is read-only now; `None` until that is known.
    pub read_only: Option<bool>,
    gauges: [Gauge; 2],
    kept: Duration,
    /// What was last told of each fault, and when.
    pub told: Vec<(&'static str, bool, Duration)>,
}

/// What outlasts a restart of the plugin.
#[derive(Serialize, Deserialize)]
struct Kept {
    seen: Duration,
    was_writable: bool,
    read_only: Option<bool>,
    gauges: [Gauge; 2],
}

impl Mount {
    /// One that was just seen for the first time.
    pub fn new(point: &str, config: &Config) -> Self {
        Self::from_kept(point, config, None)
    }

    /// Those of which something was kept.
    pub fn all_kept(config: &Config) -> impl Iterator<Item = Self> {
        let points = state::keys().into_iter().filter_map(|key| key.strip_prefix(KEY).map(str::to_owned));
        points.map(|point| Self::from_kept(&point, config, state::get(&format!("{KEY}{point}"))))
    }

    fn from_kept(point: &str, config: &Config, kept: Option<Kept>) -> Self {
        let (seen, was_writable, read_only, gauges) = match kept {
            Some(Kept { seen, was_writable, read_only, gauges }) => {
                (seen, was_writable, read_only, gauges.map(|gauge| Gauge::new(config, Some(gauge))))
            }
            None => (Duration::ZERO, false, None, Measure::ALL.map(|_| Gauge::new(config, None))),
        };
        Self {
            point: point.to_owned(),
            seen,
            missing: None,
            device: String::new(),
            limits: [None; 2],
            was_writable,
            read_only,
            gauges,
            kept: Duration::ZERO,
            told: vec![],
        }
    }

    /// How full it is by this measure.
    pub fn gauge(&self, measure: Measure) -> &Gauge {
        let [bytes, inodes] = &self.gauges;
        match measure {
            Measure::Bytes => bytes,
            Measure::Inodes => inodes,
        }
    }

    /// The same, to take a reading.
    pub fn gauge_mut(&mut self, measure: Measure) -> &mut Gauge {
        let [bytes, inodes] = &mut self.gauges;
        match measure {
            Measure::Bytes => bytes,
            Measure::Inodes => inodes,
        }
    }

    /// How much of it there is in all.
    pub fn limit(&self, measure: Measure) -> Option<f64> {
        let [bytes, inodes] = self.limits;
        match measure {
            Measure::Bytes => bytes,
            Measure::Inodes => inodes,
        }
    }

    /// Whether this is the device at which the kernel points (`sda1` for `/dev/sda1`).
    pub fn is_of_device(&self, device: &str) -> bool {
        !device.is_empty() && (self.device == device || self.device.rsplit('/').next() == Some(device))
    }

    /// Keeps what is known, now and then, or at once.
    pub fn keep(&mut self, at: Duration, at_once: bool) {
        if !at_once && at.abs_diff(self.kept) < KEEP_EVERY {
            return;
        }
        self.kept = at;
        let Self { seen, was_writable, read_only, .. } = *self;
        let kept = KeptRef { seen, was_writable, read_only, gauges: &self.gauges };
        if let Err(error) = state::set(&format!("{KEY}{}", self.point), &kept) {
            log::warn!("what is known of {} is forgotten at the next restart: {error}", self.point);
        }
    }

    /// It is gone.
    pub fn forget(&self) {
        // Fails for a key that is too long, of which nothing was kept.
        let _ = state::delete(&format!("{KEY}{}", self.point));
    }
}

/// [`Kept`], without a copy.
#[derive(Serialize)]
struct KeptRef<'a> {
    seen: Duration,
    was_writable: bool,
    read_only: Option<bool>,
    gauges: &'a [Gauge; 2],
}
