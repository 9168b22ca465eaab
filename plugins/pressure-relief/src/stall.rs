use std::time::Duration;

use salve_plugin_sdk::detect::{Resume, Threshold};
use salve_plugin_sdk::{log, state};
use serde::{Deserialize, Serialize};

use crate::config::Shortage;

/// The kernel's triggers tell of windows this long, in seconds…
pub const WINDOW: f64 = 2.0;
/// …and two of them are of one spell if there is no more time than this between.
const SPELL: Duration = Duration::from_secs(5);
/// A spell is over when nothing was told for so long.
const OVER: Duration = Duration::from_secs(10);

/// Whether a resource is short.
pub struct Stall {
    /// `memory` or `io`.
    pub resource: &'static str,
    /// What the operator says of it.
    pub shortage: Shortage,
    /// The last reading of the kernel's average of 10 s, and when that was.
    pub ratio: Option<(Duration, f64)>,
    average: Threshold,
    spell: Option<(Duration, Duration)>,
    raised: Option<bool>,
}

/// What outlasts a restart of the plugin.
#[derive(Serialize, Deserialize)]
struct Kept {
    average: Threshold,
    raised: Option<bool>,
}

impl Stall {
    /// Nothing known but what was kept.
    pub fn new(resource: &'static str, shortage: Shortage) -> Self {
        let average = Threshold::new(shortage.limit());
        let (average, raised) = match state::get::<Kept>(resource) {
            Some(kept) => (average.resume(Some(kept.average)), kept.raised),
            None => (average, None),
        };
        Self { resource, shortage, ratio: None, average, spell: None, raised }
    }

    /// How long tasks must stand still within [`WINDOW`], in seconds, for the kernel to tell.
    pub fn stall(&self) -> f64 {
        self.shortage.above * WINDOW
    }

    /// Takes a reading of the average.
    pub fn average(&mut self, at: Duration, ratio: f64) {
        if (0.0..=1.0).contains(&ratio) {
            self.ratio = Some((at, ratio));
            self.average.push(at, ratio);
        }
    }

    /// The kernel tells that tasks stood still. That is sooner than the average, which takes ten seconds to rise.
    pub fn told(&mut self, at: Duration) {
        self.spell = Some(match self.spell {
            Some((since, last)) if at >= last && at - last <= SPELL => (since, at),
            Some((since, last)) if at < last && last - at <= SPELL => (since, last),
            _ => (at, at),
        });
    }

    /// Whether it is short; `None` until that is known. It begins only where it `matters`; it ends when the pressure does.
    pub fn judge(&mut self, at: Duration, matters: bool) -> Option<bool> {
        let (lasts, is_over) = match self.spell {
            Some((since, last)) => (last - since >= *self.shortage.r#for, at.saturating_sub(last) >= OVER),
            None => (false, true),
        };
        let average = self.average.is_raised();
        let raised = match self.raised {
            Some(true) if average == Some(false) && is_over => Some(false),
            Some(true) => Some(true),
            _ if matters && (average == Some(true) || lasts && !is_over) => Some(true),
            known => average.map(|_| false).or(known),
        };
        if raised != self.raised {
            self.raised = raised;
            let kept = Kept { average: self.average.clone(), raised };
            if let Err(error) = state::set(self.resource, &kept) {
                log::warn!("pressure on {} is forgotten at the next restart: {error}", self.resource);
            }
        }
        raised
    }
}
