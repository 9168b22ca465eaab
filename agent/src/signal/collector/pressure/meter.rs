use std::collections::VecDeque;
use std::time::Duration;

/// Finds out from readings of the total what a trigger of the kernel would have told: that tasks stood still for `stall`
/// within `window`.
#[derive(Debug)]
pub(super) struct Meter {
    stall: Duration,
    window: Duration,
    /// Moments and totals, the oldest first: those within the window, and the last one before it.
    readings: VecDeque<(Duration, Duration)>,
    /// Until when it keeps quiet: like the kernel it tells once in a window.
    quiet_until: Duration,
}

impl Meter {
    pub(super) fn new(stall: Duration, window: Duration) -> Self {
        Self { stall, window, readings: VecDeque::new(), quiet_until: Duration::ZERO }
    }

    /// Takes a reading of the `total` at a moment; whether it is time to tell.
    ///
    /// Where readings lie further apart than the window, the threshold grows with the distance: then on average of all
    /// windows between the two, and so in one of them at least, tasks stood still for that long.
    pub(super) fn put(&mut self, now: Duration, total: Duration) -> bool {
        // A count that goes back begins anew.
        if self.readings.back().is_some_and(|(_, last)| total < *last) {
            self.readings.clear();
        }
        self.readings.push_back((now, total));
        let begin = now.saturating_sub(self.window);
        while self.readings.len() > 2 && self.readings.get(1).is_some_and(|(at, _)| *at <= begin) {
            self.readings.pop_front();
        }
        let Some((then, before)) = self.readings.front() else { return false };
        let (passed, stalled) = (now.saturating_sub(*then), total.saturating_sub(*before));
        let scale = (passed.as_secs_f64() / self.window.as_secs_f64()).max(1.0);
        let tell = now >= self.quiet_until && !stalled.is_zero() && stalled >= self.stall.mul_f64(scale);
        if tell {
            self.quiet_until = now + self.window;
        }
        tell
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(meter: &mut Meter, readings: &[(u64, u64)]) -> Vec<bool> {
        let millis = Duration::from_millis;
        readings.iter().map(|(at, total)| meter.put(millis(*at), millis(*total))).collect()
    }

    fn meter() -> Meter {
        Meter::new(Duration::from_millis(150), Duration::from_secs(2))
    }

    #[test]
    fn it_tells_once_in_a_window_when_the_stall_is_reached() {
        let readings = [(0, 1000), (500, 1100), (1000, 1160), (1500, 1400), (3000, 1600), (9000, 1600)];
        assert_eq!(told(&mut meter(), &readings), [false, false, true, false, true, false]);
    }

    #[test]
    fn a_little_now_and_then_is_not_enough() {
        let readings: Vec<_> = (0..100).map(|second| (second * 1000, second * 70)).collect();
        assert!(told(&mut meter(), &readings).iter().all(|told| !told));
        assert!(meter().readings.is_empty());
    }

    #[test]
    fn readings_that_lie_far_apart_are_judged_by_their_rate() {
        assert_eq!(told(&mut meter(), &[(0, 0), (20_000, 1400), (40_000, 3000)]), [false, false, true]);
    }

    #[test]
    fn it_keeps_no_more_than_the_window_and_survives_a_count_that_goes_back() {
        let mut meter = meter();
        told(&mut meter, &(0..10_000).map(|step| (step * 100, 0)).collect::<Vec<_>>());
        assert!(meter.readings.len() <= 22, "{}", meter.readings.len());
        assert!(!meter.put(Duration::from_secs(2000), Duration::from_secs(100_000_000)) || meter.readings.len() < 3);
        assert!(!meter.put(Duration::from_secs(3000), Duration::ZERO));
    }
}
