use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Timestamp;
use super::clock::LATE_IN_A_ROW;
use super::resume::resume;
use super::timestamp::nanoseconds;

/// Parts of the window that are counted apart.
const PARTS: u64 = 64;

/// How many events there were within a window of time: errors in the log, restarts.
///
/// Events are counted by the 64th part of the window, whatever their number, and an event counts until the part in which it
/// happened is over the edge as a whole: for the window, and for up to 1/64 of it longer. Unlike a sample an event may
/// come late: it counts where it belongs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CountWithin {
    /// The length of a part in nanoseconds.
    setup: u64,
    /// The parts in which something happened, by their number since the epoch, oldest first.
    parts: VecDeque<(u64, u64)>,
    late: u8,
}

resume!(CountWithin);

impl CountWithin {
    /// In so long a window.
    pub fn new(window: Duration) -> Self {
        Self { setup: nanoseconds(window).div_ceil(PARTS).max(1), parts: VecDeque::new(), late: 0 }
    }

    /// Takes an event and gives how many there are now.
    pub fn push(&mut self, at: impl Into<Timestamp>) -> u64 {
        self.push_many(at, 1)
    }

    /// Takes so many events at once and gives how many there are now.
    pub fn push_many(&mut self, at: impl Into<Timestamp>, events: u64) -> u64 {
        let part = at.into().0 / self.setup;
        let newest = self.parts.back().map_or(part, |(newest, _)| *newest);
        if is_over(part, newest) {
            self.late = self.late.saturating_add(1);
            // As for samples: the clock was set back.
            if self.late < LATE_IN_A_ROW {
                return self.sum(newest);
            }
            self.parts.clear();
        }
        self.late = 0;
        let place = self.parts.partition_point(|(earlier, _)| *earlier < part);
        match self.parts.get_mut(place) {
            Some((same, count)) if *same == part => *count = count.saturating_add(events),
            _ => self.parts.insert(place, (part, events)),
        }
        let newest = self.parts.back().map_or(part, |(newest, _)| *newest);
        while self.parts.front().is_some_and(|(oldest, _)| is_over(*oldest, newest)) {
            self.parts.pop_front();
        }
        self.sum(newest)
    }

    /// How many there are at this time, or at the time of the latest event if that is later.
    pub fn count(&self, now: impl Into<Timestamp>) -> u64 {
        let newest = self.parts.back().map_or(0, |(newest, _)| *newest);
        self.sum(newest.max(now.into().0 / self.setup))
    }

    fn sum(&self, now: u64) -> u64 {
        let within = self.parts.iter().filter(|(part, _)| !is_over(*part, now));
        within.fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }
}

/// Whether a part is over the edge of the window that ends with the part `now`.
fn is_over(part: u64, now: u64) -> bool {
    now.saturating_sub(part) > PARTS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::detect::testing::{at, kept, wild};

    const WINDOW: Duration = Duration::from_secs(64);

    #[test]
    fn events_count_for_the_window() {
        let mut count = CountWithin::new(WINDOW);
        assert_eq!(
            [count.push(at(0)), count.push(at(0)), count.push_many(at(30), 5), count.push(at(60))],
            [1, 2, 7, 8]
        );
        let counts = [60, 64, 65, 94, 95, 125].map(|second| count.count(at(second)));
        assert_eq!(counts, [8, 8, 6, 6, 1, 0]);
        assert_eq!(kept(&count).push(at(80)), 7);
        // One that comes late counts where it belongs; one that comes too late does not.
        assert_eq!([count.push(at(20)), count.count(at(84)), count.count(at(85))], [9, 7, 6]);
        count.push(at(100));
        assert_eq!(count.push(at(1)), 2);
    }

    #[test]
    fn a_clock_that_was_set_back_is_followed() {
        let mut count = CountWithin::new(WINDOW);
        count.push_many(Timestamp(u64::MAX), 3);
        let counts: Vec<u64> = (0..u64::from(LATE_IN_A_ROW) + 2).map(|second| count.push(at(second))).collect();
        assert_eq!(counts, [3, 3, 3, 3, 3, 3, 3, 3, 3, 1, 2, 3]);
    }

    proptest! {
        #[test]
        fn nothing_breaks_it(samples in wild(), window in any::<u64>(), events in any::<u64>()) {
            let mut count = CountWithin::new(Duration::from_nanos(window));
            for (at, _) in samples {
                count.push_many(at, events);
                prop_assert!(count.parts.len() as u64 <= PARTS + 1);
            }
        }

        /// By the definition: every event of the window, and none that is older by more than a part.
        #[test]
        fn it_is_the_number_of_events_in_the_window(steps in prop::collection::vec(0..40_u64, 1..300)) {
            let mut count = CountWithin::new(WINDOW);
            let mut events = Vec::new();
            let mut now = 0;
            for step in steps {
                // In tenths of a second.
                now += step;
                events.push(now);
                let counted = count.push(Timestamp(now * 100_000_000));
                let younger = |age: u64| events.iter().filter(|event| now - **event <= age).count() as u64;
                prop_assert!((younger(640)..=younger(650)).contains(&counted), "{} at {}", counted, now);
            }
        }
    }
}
