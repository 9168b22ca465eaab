use std::collections::VecDeque;
use std::time::Duration;

use crate::config::Budget;

/// How often things are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// The wait after the first failure; it doubles with each.
    pub first: Duration,
    /// The longest wait.
    pub longest: Duration,
    /// A delivery that has waited for so long is given up.
    pub give_up: Duration,
    /// An alert that goes on is sent again this often: below Alertmanager's `resolve_timeout`, 5 minutes unless configured.
    pub resend: Duration,
    /// Beyond so many that wait on a channel, the older are joined into a summary.
    pub most: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(300),
            give_up: Duration::from_secs(24 * 3600),
            resend: Duration::from_secs(60),
            most: 100,
        }
    }
}

impl Pace {
    /// The wait after the try that followed `tries` failures: between half of `first * 2 ^ tries` and all of it, at most
    /// `longest`; `roll` (0..1) says where between, so that hosts whose receiver was away do not come back all at once.
    pub(super) fn backoff(&self, tries: u32, roll: f64) -> Duration {
        let whole = self.first.saturating_mul(2_u32.saturating_pow(tries)).min(self.longest);
        whole.mul_f64(0.5 + roll.clamp(0.0, 1.0) / 2.0)
    }
}

/// At most `count` in any stretch of `per`.
#[derive(Debug)]
pub(super) struct Rate {
    limit: Budget,
    /// When the last `count` were, on the monotonic clock, the oldest first.
    sent: VecDeque<Duration>,
}

impl Rate {
    pub(super) fn new(limit: Budget) -> Self {
        Self { limit, sent: VecDeque::new() }
    }

    /// How long the next has to wait; not at all, if zero.
    pub(super) fn wait(&self, now: Duration) -> Duration {
        match self.sent.front() {
            Some(oldest) if self.sent.len() >= self.limit.count as usize => {
                (*oldest + self.limit.per).saturating_sub(now)
            }
            _ => Duration::ZERO,
        }
    }

    /// One is sent.
    pub(super) fn count(&mut self, now: Duration) {
        self.sent.push_back(now);
        if self.sent.len() > self.limit.count as usize {
            self.sent.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_to_five_minutes_with_jitter() {
        let pace = Pace::default();
        let seconds = |tries, roll| pace.backoff(tries, roll).as_secs_f64();
        assert_eq!((seconds(0, 1.0), seconds(3, 1.0), seconds(3, 0.0)), (1.0, 8.0, 4.0));
        assert_eq!((seconds(9, 1.0), seconds(u32::MAX, 1.0)), (300.0, 300.0));
    }

    proptest::proptest! {
        #[test]
        fn no_stretch_has_more_than_the_rate_allows(count in 1_u32..6, gaps in proptest::collection::vec(0_u64..40, 1..60)) {
            let per = Duration::from_secs(60);
            let mut rate = Rate::new(Budget { count, per });
            let (mut now, mut sent) = (Duration::ZERO, Vec::new());
            for gap in gaps {
                now += Duration::from_secs(gap);
                let wait = rate.wait(now);
                if wait.is_zero() {
                    rate.count(now);
                    sent.push(now);
                } else {
                    // What waits may go when it was told to.
                    proptest::prop_assert!(rate.wait(now + wait).is_zero());
                }
                let recent = sent.iter().filter(|at| now - **at < per).count();
                proptest::prop_assert!(recent <= count as usize);
            }
        }
    }
}
