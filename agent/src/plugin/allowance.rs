//! What CPU time a plugin has left: a call has a limit of its own, but one that stays below it can be followed by the next at
//! once, for ever.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::limits;

/// A call that took longer makes the next one wait until no other such call is under way: however many plugins are heavy, they
/// take one core together, and leave the others to those that heal. The stock plugins take some microseconds.
const HEAVY: Duration = Duration::from_millis(2);

/// CPU time that is earned with time and spent by calls. Times are on a monotonic count.
#[derive(Debug)]
pub(super) struct Allowance {
    /// Seconds earned each second.
    share: f64,
    /// Seconds left; below zero it is to wait.
    left: f64,
    earned: Duration,
    is_heavy: bool,
}

impl Allowance {
    /// Of a plugin that may take so many percent of a core.
    pub(super) fn new(percent: usize, now: Duration) -> Self {
        let share = percent as f64 / 100.0;
        Self { share, left: share * limits::CPU_BURST.as_secs_f64(), earned: now, is_heavy: false }
    }

    /// A call took this.
    pub(super) fn spend(&mut self, used: Duration, now: Duration) {
        self.earn(now);
        self.left -= used.as_secs_f64();
        self.is_heavy = used >= HEAVY;
    }

    /// How long it is to wait with its next call; none if it may be called.
    pub(super) fn wait(&mut self, now: Duration) -> Option<Duration> {
        self.earn(now);
        // Until there is something to spend again, not just nothing owed: it would wait at every call, for next to nothing.
        let missing = HEAVY.as_secs_f64() - self.left;
        (self.left < 0.0).then(|| Duration::try_from_secs_f64(missing / self.share).unwrap_or(limits::CPU_BURST))
    }

    /// Whether its last call took long.
    pub(super) fn is_heavy(&self) -> bool {
        self.is_heavy
    }

    /// Whether all is there that can be saved up.
    pub(super) fn is_full(&self) -> bool {
        self.left >= self.most()
    }

    fn most(&self) -> f64 {
        self.share * limits::CPU_BURST.as_secs_f64()
    }

    fn earn(&mut self, now: Duration) {
        let earned = now.saturating_sub(self.earned).as_secs_f64() * self.share;
        self.left = (self.left + earned).min(self.most());
        self.earned = self.earned.max(now);
    }
}

/// CPU time of this thread so far.
pub(super) fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn what_is_saved_up_can_be_spent_at_once_and_then_only_what_is_earned() {
        let mut allowance = Allowance::new(10, millis(5_000));
        for _ in 0..10 {
            assert_eq!(allowance.wait(millis(5_000)), None);
            allowance.spend(millis(100), millis(5_000));
        }
        assert_eq!(allowance.wait(millis(5_000)), None, "nothing is owed yet");
        allowance.spend(millis(100), millis(5_000));
        assert_eq!(allowance.wait(millis(5_000)).map(|wait| wait.as_millis()), Some(1_020));
        assert_eq!(allowance.wait(millis(5_900)).map(|wait| wait.as_millis()), Some(120));
        assert_eq!(allowance.wait(millis(6_020)), None);
        assert_eq!(allowance.wait(millis(900_000)), None);
        assert!((allowance.left - 1.0).abs() < 1e-9, "{allowance:?}");
    }

    #[test]
    fn the_last_call_says_whether_it_is_heavy() {
        let mut allowance = Allowance::new(100, millis(0));
        assert!(!allowance.is_heavy());
        allowance.spend(HEAVY, millis(1));
        assert!(allowance.is_heavy());
        allowance.spend(millis(1), millis(2));
        assert!(!allowance.is_heavy());
    }

    proptest! {
        /// However long its calls are and however soon they come: over time it gets no more than its share, what was saved up at
        /// the beginning and the one call that went beyond.
        #[test]
        fn no_plugin_takes_more_than_its_share(
            percent in 1_usize..=100,
            calls in prop::collection::vec((0_u64..=100, 0_u64..200), 1..300),
        ) {
            let mut allowance = Allowance::new(percent, Duration::ZERO);
            let (mut now, mut used) = (Duration::ZERO, Duration::ZERO);
            for (cpu, pause) in calls {
                now += allowance.wait(now).unwrap_or_default();
                prop_assert!(allowance.wait(now).is_none());
                now += millis(cpu);
                allowance.spend(millis(cpu), now);
                used += millis(cpu);
                let share = percent as f64 / 100.0;
                let most = (now + limits::CPU_BURST).as_secs_f64() * share + 0.1;
                prop_assert!(used.as_secs_f64() <= most + 1e-6, "{used:?} of {most} s after {now:?}");
                now += millis(pause);
            }
        }
    }
}
