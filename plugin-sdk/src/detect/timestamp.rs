use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A point in time: nanoseconds since the Unix epoch, as in the contract. What [`Batch::at`](crate::Batch::at) and
/// [`Event::at`](crate::Event::at) give becomes one by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The time from `earlier` to here; nothing if that is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl From<u64> for Timestamp {
    fn from(nanoseconds: u64) -> Self {
        Self(nanoseconds)
    }
}

impl From<Duration> for Timestamp {
    fn from(since_epoch: Duration) -> Self {
        Self(nanoseconds(since_epoch))
    }
}

impl From<Timestamp> for Duration {
    fn from(at: Timestamp) -> Self {
        Self::from_nanos(at.0)
    }
}

/// A duration in nanoseconds: at most the 584 years that fit.
pub(super) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// So many seconds as a duration; `None` if that is negative, no number, or too long for one.
pub(super) fn seconds(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_as_far_as_it_goes() {
        assert_eq!(Timestamp::from(Duration::MAX), Timestamp(u64::MAX));
        assert_eq!(Timestamp::from(Duration::from_millis(3)), Timestamp(3_000_000));
        assert_eq!(Timestamp(5).since(Timestamp(3)), Duration::from_nanos(2));
        assert_eq!(Timestamp(3).since(Timestamp(5)), Duration::ZERO);
        assert_eq!([seconds(0.5), seconds(-1.0), seconds(f64::NAN)], [Some(Duration::from_millis(500)), None, None]);
    }
}
