//! Time: the wall for records, a monotonic count for waiting. Logic takes a [`Now`] as an argument; only the edges ask a
//! [`Clock`].

use std::fmt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A moment on the wall clock: nanoseconds since the Unix epoch, UTC. Shown and serialised as RFC 3339 to the millisecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

impl Timestamp {
    /// From nanoseconds since the Unix epoch.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the Unix epoch.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero if it is before.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The same moment to the millisecond, as it is shown.
    fn rfc3339(self) -> String {
        let millis = i64::try_from(self.0 / 1_000_000).unwrap_or(i64::MAX);
        // Out of jiff's range only beyond the year 9999.
        let at = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX);
        format!("{at:.3}")
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rfc3339())
    }
}

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let at: jiff::Timestamp = text.parse().map_err(serde::de::Error::custom)?;
        Ok(Self(u64::try_from(at.as_nanosecond()).unwrap_or(0)))
    }
}

/// One reading of both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// What the wall clock says: for records. It may step.
    pub wall: Timestamp,
    /// Time since the agent started: for waiting and for guards. It never steps.
    pub mono: Duration,
}

impl Now {
    /// Where `wall`, past or to come, lies on the monotonic count, as well as that can be told; moments long before the
    /// agent started are zero.
    pub fn mono_of(self, wall: Timestamp) -> Duration {
        (self.mono + wall.since(self.wall)).saturating_sub(self.wall.since(wall))
    }
}

/// Tells the time.
pub trait Clock: std::fmt::Debug + Send + Sync {
    /// Both clocks, now.
    fn now(&self) -> Now;
}

/// The host's clocks.
#[derive(Debug)]
pub struct SystemClock {
    /// The monotonic count begins a day before the agent does, so that moments shortly before its start keep their order.
    origin: Instant,
    lead: Duration,
}

impl SystemClock {
    /// Starts counting.
    pub fn new() -> Self {
        Self { origin: Instant::now(), lead: Duration::from_secs(24 * 3600) }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now {
            wall: Timestamp::from_nanos(u64::try_from(wall.as_nanos()).unwrap_or(u64::MAX)),
            mono: self.lead + self.origin.elapsed(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_as_rfc_3339_and_read_back() {
        let at = Timestamp::from_nanos(1_700_000_000_123_000_000);
        assert_eq!(at.to_string(), "2023-11-14T22:13:20.123Z");
        let json = serde_json::to_string(&at).unwrap();
        assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), at);
    }

    #[test]
    fn a_moment_before_the_start_keeps_its_distance() {
        let clock = SystemClock::new();
        let now = clock.now();
        let earlier = Timestamp::from_nanos(now.wall.as_nanos() - 5_000_000_000);
        assert_eq!(now.mono - now.mono_of(earlier), Duration::from_secs(5));
    }
}
