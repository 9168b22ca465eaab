use std::time::Duration;

/// When a limit is reached, if things go on as they do. Times count from the last sample; nothing means already.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Crossing {
    /// The best guess.
    pub expected: Duration,
    /// The beginning of the interval of 95 %.
    pub earliest: Duration,
    /// Its end. `None` if it has none: perhaps the limit is never reached, or not within the horizon.
    pub latest: Option<Duration>,
    /// How sure it is that the limit is reached at all, 0..1.
    pub confidence: f64,
}
