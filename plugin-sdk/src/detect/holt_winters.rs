use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::clock::{Clock, Tick};
use super::normal::{Z95, share_below};
use super::resume::resume;
use super::spread::score;
use super::timestamp::nanoseconds;
use super::{Crossing, Limit, Timestamp};

/// Steps of half the time it learns where there is no season.
const LEARN: usize = 5;
/// The longest season: a day by the minute. One is stored in the plugin's state as 36 KB at most.
const LONGEST: usize = 1440;
/// Errors from which on their variance is known.
const ERRORS: u64 = 10;
/// Errors over which it is the mean; from then on the older ones fade.
const MEMORY: u64 = 256;
/// The farthest step that is looked at.
const FARTHEST: u64 = 10_000;
/// A model beyond this has lost its way (gap upon gap along a steep slope) and learns anew.
const LOST: f64 = 1e150;

/// What comes next: level and slope, and a season where there is one, all of which follow the values.
///
/// Holt (1957) and Winters (1960), additive, as the state space models ETS(A,A,N), (A,Ad,N) and (A,A,A) of Hyndman et al.
/// ("Forecasting with Exponential Smoothing", 2008). In each step, with the error e = y − (ℓ + φb + s):
///
/// - ℓ ← ℓ + φb + αe, b ← φb + βe, s ← s + γe;
/// - the forecast h steps ahead is ℓ + (φ + … + φʰ)b + s;
/// - its variance is σ²(1 + Σ cⱼ², j = 1 … h − 1), cⱼ = α + β(φ + … + φʲ) + γ where j is a whole number of seasons.
///
/// σ² is the mean square of the one-step errors. The first values come from the first 10 steps, or from two seasons: the
/// slope is the difference of the halves' means.
///
/// Steps are counted from the epoch, so that a season of a day keeps its hours whatever happens; the value of a step is the
/// mean of its samples, and is taken when the next one begins. A step without a sample is what was forecast. After more of
/// them in a row than a season (or 10) it learns anew.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HoltWinters {
    setup: Setup,
    clock: Clock,
    open: Option<Open>,
    phase: Phase,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Setup {
    /// In nanoseconds.
    step: u64,
    season: Option<usize>,
    alpha: f64,
    beta: f64,
    gamma: f64,
    phi: f64,
}

/// The step whose samples are still coming.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Open {
    step: u64,
    sum: f64,
    samples: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Phase {
    Learning(Learning),
    Knowing(Model),
}

/// The first two seasons: the mean of each place in both, and what the second has more than the first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Learning {
    steps: usize,
    means: Vec<f64>,
    growth: f64,
    last: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Model {
    level: f64,
    slope: f64,
    season: Vec<f64>,
    variance: f64,
    errors: u64,
}

/// What is expected at some time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Forecast {
    /// The best guess.
    pub value: f64,
    /// The standard deviation of its error.
    pub deviation: f64,
}

impl Forecast {
    /// The interval that holds the value with 95 %, if the errors are normally distributed: from, to.
    pub fn interval(&self) -> (f64, f64) {
        (self.value - Z95 * self.deviation, self.value + Z95 * self.deviation)
    }
}

resume!(HoltWinters);

impl HoltWinters {
    /// In steps of this length, which is best that of the samples or some of them. Without a season and not damped;
    /// α = 0.3, β = 0.03, γ = 0.1.
    pub fn new(step: Duration) -> Self {
        let step = nanoseconds(step).max(1);
        let setup = Setup { step, season: None, alpha: 0.3, beta: 0.03, gamma: 0.1, phi: 1.0 };
        Self { setup, clock: Clock::default(), open: None, phase: Phase::Learning(Learning::default()) }
    }

    /// With a season of so many steps: from 2 to 1440.
    pub fn season(mut self, steps: usize) -> Self {
        self.setup.season = Some(steps.clamp(2, LONGEST));
        self
    }

    /// With a slope that fades to the share `phi` of itself in each step, 0..1: few things grow for ever. 0.98 is usual.
    pub fn damped(mut self, phi: f64) -> Self {
        self.setup.phi = phi.clamp(0.0, 1.0);
        self
    }

    /// With other weights: how much of an error goes to the level (0 < α < 1), to the slope (0 ≤ β ≤ α) and to the season
    /// (0 ≤ γ ≤ 1 − α). What is out of these bounds counts as the nearest.
    pub fn weights(mut self, alpha: f64, beta: f64, gamma: f64) -> Self {
        let alpha = alpha.clamp(0.001, 0.999);
        (self.setup.alpha, self.setup.beta, self.setup.gamma) =
            (alpha, beta.clamp(0.0, alpha), gamma.clamp(0.0, 1.0 - alpha));
        self
    }

    /// Takes a sample. If a step ended with it, and its error can be judged, this is how many standard deviations that was
    /// from the forecast.
    pub fn push(&mut self, at: impl Into<Timestamp>, value: f64) -> Option<f64> {
        let at = at.into();
        match self.clock.tick(at, value) {
            Tick::Ignored => return None,
            Tick::First => self.begin(),
            Tick::After(_) => {}
        }
        let step = at.0 / self.setup.step;
        let ended = match &mut self.open {
            Some(open) if open.step == step => {
                open.sum += value;
                open.samples += 1;
                return None;
            }
            open => open.replace(Open { step, sum: value, samples: 1 })?,
        };
        let score = self.take(ended.step, Some(ended.sum / ended.samples as f64));
        let most = self.setup.season.unwrap_or_default().max(2 * LEARN) as u64;
        if step.saturating_sub(ended.step) > most + 1 {
            self.phase = Phase::Learning(Learning::default());
        } else {
            for missing in ended.step + 1..step {
                self.take(missing, None);
            }
        }
        score
    }

    /// What is expected so long after the last sample. `None` until the first steps are learnt and ten errors are known, or
    /// if that is more than 10,000 steps away.
    pub fn forecast(&self, ahead: Duration) -> Option<Forecast> {
        let last = self.clock.last()?;
        let step = last.0.saturating_add(nanoseconds(ahead)) / self.setup.step;
        let steps = usize::try_from(step.saturating_sub(self.open.as_ref()?.step)).ok()?;
        self.ahead()?.nth(steps).map(|(_, forecast)| forecast)
    }

    /// When `limit` is reached within `horizon`, which is cut at 10,000 steps: the first step whose forecast is beyond it; the
    /// interval is that of the forecasts' intervals. The confidence is the highest chance of any of the steps to be
    /// beyond. `None` if no forecast is, or nothing is known yet.
    pub fn time_to(&self, limit: Limit, horizon: Duration) -> Option<Crossing> {
        let last = self.clock.last()?;
        let (mut expected, mut earliest, mut latest, mut confidence) = (None, None, None, 0.0_f64);
        for (step, forecast) in self.ahead()? {
            let wait = Timestamp(step.saturating_mul(self.setup.step)).since(last);
            if wait > horizon {
                break;
            }
            let (excess, margin) = (limit.excess(forecast.value), Z95 * forecast.deviation);
            for (bound, excess) in
                [(&mut earliest, excess + margin), (&mut expected, excess), (&mut latest, excess - margin)]
            {
                if bound.is_none() && excess >= 0.0 {
                    *bound = Some(wait);
                }
            }
            confidence = confidence.max(share_below(score(excess, forecast.deviation)));
            if latest.is_some() {
                break;
            }
        }
        Some(Crossing { expected: expected?, earliest: earliest?, latest, confidence })
    }

    /// The steps to come from the one that is open, with what is expected in them.
    fn ahead(&self) -> Option<impl Iterator<Item = (u64, Forecast)>> {
        let Phase::Knowing(model) = &self.phase else { return None };
        let open = self.open.as_ref()?.step;
        let Setup { alpha, beta, gamma, phi, .. } = self.setup;
        let (mut power, mut slopes, mut factor) = (1.0, 0.0, 1.0);
        (model.errors >= ERRORS).then(|| {
            (0..FARTHEST).map(move |n| {
                let step = open.saturating_add(n);
                power *= phi;
                slopes += power;
                let value = model.level + slopes * model.slope + model.seasonal(step);
                let deviation = (model.variance * factor).sqrt();
                let is_whole = !model.season.is_empty() && (n + 1) % model.season.len() as u64 == 0;
                let c: f64 = alpha + beta * slopes + if is_whole { gamma } else { 0.0 };
                factor += c * c;
                (step, Forecast { value, deviation })
            })
        })
    }

    fn begin(&mut self) {
        self.open = None;
        self.phase = Phase::Learning(Learning::default());
    }

    /// A step ended, with or without a value.
    fn take(&mut self, step: u64, value: Option<f64>) -> Option<f64> {
        match &mut self.phase {
            Phase::Learning(learning) => {
                if let Some(model) = learning.take(step, value, self.setup.season) {
                    self.phase = Phase::Knowing(model);
                }
                None
            }
            Phase::Knowing(model) => {
                let score = model.take(step, value, &self.setup);
                if !model.is_sound() {
                    self.phase = Phase::Learning(Learning::default());
                }
                score
            }
        }
    }
}

impl Learning {
    /// Takes the value of a step, or the last one again, and gives the model after two seasons.
    fn take(&mut self, step: u64, value: Option<f64>, season: Option<usize>) -> Option<Model> {
        let value = value.unwrap_or(self.last);
        self.last = value;
        let length = season.unwrap_or(LEARN);
        self.means.resize(length, 0.0);
        let is_second = self.steps >= length;
        let mean = self.means.get_mut((step % length as u64) as usize)?;
        if is_second {
            self.growth += value - *mean;
            *mean += (value - *mean) / 2.0;
        } else {
            *mean = value;
        }
        self.steps += 1;
        (self.steps == 2 * length).then(|| {
            let n = length as f64;
            let slope = self.growth / (n * n);
            let mean = self.means.iter().sum::<f64>() / n;
            let level = mean + slope * (2.0 * n - 1.0) / 2.0;
            // The place of this step is the last of its season.
            let first = (step + 1) % length as u64;
            let order = |place: usize| ((place as u64 + length as u64 - first) % length as u64) as f64;
            let without_trend = |(place, value): (usize, &f64)| value - mean - slope * (order(place) - (n - 1.0) / 2.0);
            let season = season.map(|_| self.means.iter().enumerate().map(without_trend).collect());
            Model { level, slope, season: season.unwrap_or_default(), variance: 0.0, errors: 0 }
        })
    }
}

impl Model {
    fn take(&mut self, step: u64, value: Option<f64>, setup: &Setup) -> Option<f64> {
        self.slope *= setup.phi;
        self.level += self.slope;
        let error = value? - self.level - self.seasonal(step);
        let score = (self.errors >= ERRORS).then(|| score(error, self.variance.sqrt()));
        self.level += setup.alpha * error;
        self.slope += setup.beta * error;
        let length = self.season.len().max(1) as u64;
        if let Some(place) = self.season.get_mut((step % length) as usize) {
            *place += setup.gamma * error;
        }
        self.errors = self.errors.saturating_add(1);
        self.variance += (error * error - self.variance) / self.errors.min(MEMORY) as f64;
        score
    }

    fn seasonal(&self, step: u64) -> f64 {
        let length = self.season.len().max(1) as u64;
        self.season.get((step % length) as usize).copied().unwrap_or_default()
    }

    fn is_sound(&self) -> bool {
        [self.level, self.slope, self.variance.sqrt()].into_iter().all(|value| value.abs() < LOST)
    }
}

#[cfg(test)]
#[path = "holt_winters_tests.rs"]
mod tests;
