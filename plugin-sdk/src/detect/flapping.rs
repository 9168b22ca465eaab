use serde::{Deserialize, Serialize};

use super::Timestamp;
use super::clock::{Clock, Tick};
use super::resume::resume;

/// Comparisons of one observation with the next: Nagios looks at 21 observations.
const CHANGES: u32 = 20;

/// Whether something comes and goes too often.
///
/// Of the last 20 comparisons of an observation with the one before, the weighted share of changes: the newest counts 1.2, the
/// oldest 0.8, linearly between (Nagios Core documentation, "Detection and Handling of State Flapping"). It flaps from a
/// share of 0.5 on, until that is below 0.25. The host's guard of the same name reckons alike.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Flapping {
    setup: Setup,
    clock: Clock,
    last: bool,
    /// A bit for each comparison, the newest lowest.
    changes: u32,
    flaps: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Setup {
    start: f64,
    stop: f64,
}

resume!(Flapping);

impl Default for Flapping {
    fn default() -> Self {
        Self::new()
    }
}

impl Flapping {
    /// Nothing has changed yet.
    pub fn new() -> Self {
        let setup = Setup { start: 0.5, stop: 0.25 };
        Self { setup, clock: Clock::default(), last: false, changes: 0, flaps: false }
    }

    /// It flaps from the share `start` on until it is below `stop`, 0..1.
    pub fn between(mut self, start: f64, stop: f64) -> Self {
        self.setup = Setup { start, stop: stop.min(start) };
        self
    }

    /// Takes an observation, at even intervals, of what is one or the other, and says whether it flaps.
    pub fn push(&mut self, at: impl Into<Timestamp>, state: bool) -> bool {
        match self.clock.tick(at.into(), 0.0) {
            Tick::Ignored => return self.flaps,
            Tick::First => (self.changes, self.flaps) = (0, false),
            Tick::After(_) => self.changes = (self.changes << 1 | u32::from(state != self.last)) & ((1 << CHANGES) - 1),
        }
        self.last = state;
        let limit = if self.flaps { self.setup.stop } else { self.setup.start };
        self.flaps = self.changes != 0 && self.share() >= limit;
        self.flaps
    }

    /// Whether it flaps.
    pub fn flaps(&self) -> bool {
        self.flaps
    }

    /// The weighted share of changes, 0..1.
    pub fn share(&self) -> f64 {
        let weight = |age: u32| 1.2 - 0.4 * f64::from(age) / f64::from(CHANGES - 1);
        let changed = (0..CHANGES).filter(|age| self.changes >> age & 1 == 1);
        changed.map(weight).sum::<f64>() / f64::from(CHANGES)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::detect::testing::{assert_near, at, kept, wild};

    fn observed(states: impl IntoIterator<Item = bool>) -> Flapping {
        let mut flapping = Flapping::new();
        for (n, state) in states.into_iter().enumerate() {
            flapping.push(at(n as u64), state);
        }
        flapping
    }

    /// States of which these comparisons, from 1 to 20, are changes.
    fn changing(places: &[usize]) -> impl Iterator<Item = bool> {
        (0..=20).map(|n| places.iter().filter(|place| **place <= n).count() % 2 == 1)
    }

    #[test]
    fn newer_changes_weigh_more() {
        // The example of the Nagios documentation: changes at 3, 4, 5, 9, 12, 16 and 19 of 20.
        let share = (7.0 * 0.8 + 0.4 / 19.0 * f64::from(2 + 3 + 4 + 8 + 11 + 15 + 18)) / 20.0;
        assert_near(observed(changing(&[3, 4, 5, 9, 12, 16, 19])).share(), share);
        assert_near(observed(changing(&[1])).share(), 0.04);
        assert_near(observed(changing(&[20])).share(), 0.06);
        assert_near(observed((0..50).map(|n| n % 2 == 0)).share(), 1.0);
        assert_eq!(observed([true; 30]).share(), 0.0);
    }

    #[test]
    fn it_begins_at_one_share_and_ends_at_another() {
        let mut flapping = Flapping::new();
        let mut begun = None;
        for n in 0..40_u64 {
            let flaps = flapping.push(at(n), n < 20 && n % 2 == 0);
            if flaps && begun.is_none() {
                begun = Some(n);
                assert!(flapping.share() >= 0.5);
            }
            assert_eq!(flaps, begun.is_some() && flapping.share() >= 0.25, "{n}: {}", flapping.share());
            flapping = kept(&flapping);
        }
        assert!(begun.is_some_and(|begun| begun < 20) && !flapping.flaps());
    }

    #[test]
    fn a_state_that_comes_late_is_no_change() {
        let mut flapping = observed([true, true, true]);
        flapping.push(at(1), false);
        assert_eq!(flapping.share(), 0.0);
    }

    proptest! {
        #[test]
        fn nothing_breaks_it(samples in wild(), start in any::<f64>(), stop in any::<f64>()) {
            let mut flapping = Flapping::new().between(start, stop);
            for (at, value) in samples {
                flapping.push(at, value > 0.0);
                prop_assert!((0.0..=1.0 + 1e-9).contains(&flapping.share()));
            }
        }
    }
}
