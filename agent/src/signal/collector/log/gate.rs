//! How many records of one log are published.

use std::time::Duration;

/// The most records of one log that are published in a second. What a person would still call a log has far fewer; more
/// would only push each other out of the mailboxes.
const PER_SECOND: u64 = 10_000;

/// Lets so many records through in each second and counts the rest.
#[derive(Debug, Default)]
pub(super) struct Gate {
    /// The second it counts in.
    since: Duration,
    passed: u64,
    dropped: u64,
}

impl Gate {
    /// Whether another record may pass at `now`.
    pub(super) fn pass(&mut self, now: Duration) -> bool {
        if now >= self.since + Duration::from_secs(1) {
            self.since = now;
            self.passed = 0;
        }
        let may = self.passed < PER_SECOND;
        if may {
            self.passed += 1
        } else {
            self.dropped += 1
        }
        may
    }

    /// When it is to be told how many were dropped.
    pub(super) fn due(&self) -> Option<Duration> {
        (self.dropped > 0).then(|| self.since + Duration::from_secs(1))
    }

    /// How many were dropped, once that is due.
    pub(super) fn take_dropped(&mut self, now: Duration) -> Option<u64> {
        self.due().filter(|due| *due <= now).map(|_| std::mem::take(&mut self.dropped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_limit_records_are_counted_until_the_next_second() {
        let mut gate = Gate::default();
        let second = Duration::from_secs(10);
        let passed = (0..PER_SECOND + 5).filter(|_| gate.pass(second)).count() as u64;
        assert_eq!((passed, gate.due()), (PER_SECOND, Some(Duration::from_secs(11))));
        assert_eq!(gate.take_dropped(Duration::from_millis(10_900)), None);
        assert_eq!(gate.take_dropped(Duration::from_secs(11)), Some(5));
        assert_eq!((gate.take_dropped(Duration::from_secs(12)), gate.pass(Duration::from_secs(11))), (None, true));
    }
}
