use serde::{Deserialize, Serialize};

use super::clock::{Clock, Tick};
use super::resume::resume;
use super::{Limit, Timestamp};

/// Whether a value is beyond a [`Limit`], with hysteresis and a time to hold on both sides.
///
/// It is raised when every reading has been beyond the limit for `for`, and cleared when every reading has been back (at
/// `clear` or further) for `clear-for`; between the two it stays what it was. Where no reading came for longer than
/// `max-gap`, both times begin anew, and what was raised stays raised.
///
/// ```
/// # use salve_plugin_sdk::prelude::*;
/// # use salve_plugin_sdk::detect::Threshold;
/// # fn detect(high: &mut Threshold, batch: &Batch<'_>) -> Option<Finding> {
/// let used = batch.value("system.memory.utilization", &[("system.memory.state", "used")])?;
/// let high = high.push(batch.at(), used)?;
/// Some(Fault::new("memory.high", "host").present_if(high))
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Threshold {
    setup: Limit,
    clock: Clock,
    raised: Option<bool>,
    /// What every reading since then says.
    lasting: Option<(bool, Timestamp)>,
}

resume!(Threshold);

impl Threshold {
    /// Nothing known yet.
    pub fn new(limit: Limit) -> Self {
        Self { setup: limit, clock: Clock::default(), raised: None, lasting: None }
    }

    /// Takes a reading and answers as [`is_raised`](Self::is_raised).
    pub fn push(&mut self, at: impl Into<Timestamp>, value: f64) -> Option<bool> {
        let at = at.into();
        match self.clock.tick(at, value) {
            Tick::Ignored => return self.raised,
            Tick::First => self.lasting = None,
            Tick::After(gap) if gap > self.setup.max_gap => self.lasting = None,
            Tick::After(_) => {}
        }
        let says = match value {
            value if self.setup.is_beyond(value) => Some(true),
            value if self.setup.is_back(value) => Some(false),
            _ => None,
        };
        self.lasting = says.map(|says| match self.lasting {
            Some((same, since)) if same == says => (says, since),
            _ => (says, at),
        });
        if let Some((says, since)) = self.lasting {
            let hold = if says { self.setup.hold } else { self.setup.clear_hold };
            if at.since(since) >= hold {
                self.raised = Some(says);
            }
        }
        self.raised
    }

    /// Whether it is raised. `None` until the readings have said one or the other for long enough: a plugin that has just
    /// been started knows nothing of a fault that it raised before.
    pub fn is_raised(&self) -> Option<bool> {
        self.raised
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::detect::testing::{at, kept, wild};

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// What it says to a value each ten seconds.
    fn said(limit: Limit, values: &[f64]) -> Vec<Option<bool>> {
        let mut threshold = Threshold::new(limit);
        values.iter().enumerate().map(|(n, value)| threshold.push(at(n as u64 * 10), *value)).collect()
    }

    const RAISED: Option<bool> = Some(true);
    const CLEARED: Option<bool> = Some(false);

    #[test]
    fn between_the_two_it_stays_what_it_was() {
        let limit = Limit::above(0.9).clear(0.8);
        let values = [0.85, 0.9, 0.91, 0.85, 0.8, 0.85, 0.9];
        assert_eq!(said(limit, &values), [None, None, RAISED, RAISED, CLEARED, CLEARED, CLEARED]);
        let mirrored = Limit::below(-0.9).clear(-0.8);
        assert_eq!(said(mirrored, &values.map(|value| -value)), said(limit, &values));
    }

    #[test]
    fn it_must_last_on_both_sides() {
        let limit = Limit::above(1.0).hold(seconds(20)).clear_hold(seconds(10));
        let values = [2.0, 2.0, 0.0, 2.0, 2.0, 2.0, 0.0, 2.0, 0.0, 0.0];
        let expected = [None, None, None, None, None, RAISED, RAISED, RAISED, RAISED, CLEARED];
        assert_eq!(said(limit, &values), expected);
    }

    #[test]
    fn a_long_gap_begins_the_hold_anew_and_a_short_one_does_not() {
        for (gap, expected) in [(50, RAISED), (60, RAISED), (61, None)] {
            let mut threshold = Threshold::new(Limit::above(1.0).hold(seconds(30)).max_gap(seconds(60)));
            threshold.push(at(0), 2.0);
            assert_eq!(threshold.push(at(gap), 2.0), expected, "{gap}");
            assert_eq!(threshold.push(at(gap + 30), 2.0), RAISED);
            // What is known stands.
            assert_eq!(threshold.push(at(9999), 2.0), RAISED);
        }
    }

    #[test]
    fn what_is_no_reading_changes_nothing() {
        let mut threshold = Threshold::new(Limit::above(1.0).hold(seconds(30)));
        threshold.push(at(100), 2.0);
        for (at, value) in [(at(110), f64::NAN), (at(90), 0.0), (at(100), 0.0), (at(120), f64::NEG_INFINITY)] {
            assert_eq!(threshold.push(at, value), None);
        }
        assert_eq!(threshold.push(at(130), 2.0), RAISED);
    }

    #[test]
    fn it_goes_on_from_the_state() {
        let limit = Limit::above(1.0).hold(seconds(30));
        let mut threshold = Threshold::new(limit);
        threshold.push(at(0), 2.0);
        assert_eq!(kept(&threshold).push(at(30), 2.0), RAISED);
    }

    proptest! {
        #[test]
        fn nothing_breaks_it(samples in wild(), hold in 0..100_u64) {
            let mut threshold = Threshold::new(Limit::above(0.0).clear(-1.0).hold(seconds(hold)));
            for (at, value) in samples {
                prop_assert!(threshold.push(at, value) == threshold.is_raised());
            }
        }

        /// By the definition, without a state: raised where all readings of the last `hold` seconds are beyond, cleared
        /// where all are back, and otherwise as before.
        #[test]
        fn it_is_what_the_readings_of_the_hold_say(values in prop::collection::vec(0..4_u8, 1..60), hold in 0..5_usize) {
            let limit = Limit::above(2.0).clear(1.0).hold(seconds(10 * hold as u64)).clear_hold(seconds(10 * hold as u64));
            let values: Vec<f64> = values.into_iter().map(f64::from).collect();
            let mut expected = None;
            for (n, said) in said(limit, &values).into_iter().enumerate() {
                let window = n.checked_sub(hold).map(|first| &values[first..=n]).unwrap_or_default();
                if !window.is_empty() && window.iter().all(|value| *value > 2.0) {
                    expected = RAISED;
                } else if !window.is_empty() && window.iter().all(|value| *value <= 1.0) {
                    expected = CLEARED;
                }
                prop_assert_eq!(said, expected, "{} of {:?}", n, values);
            }
        }
    }
}
