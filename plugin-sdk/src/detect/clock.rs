use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Timestamp;

/// So many samples in a row that are earlier than the last one mean that the clock was set back.
pub(super) const LATE_IN_A_ROW: u8 = 10;

/// Beyond this, squares and their sums would no longer fit a number; nobody measures it.
const MOST: f64 = 1e100;

/// Decides which samples a piece takes: the rules that hold for all of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Clock {
    last: Option<Timestamp>,
    late: u8,
}

/// What to do with a sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Tick {
    /// It is no number, or not later than the last one.
    Ignored,
    /// It is the first one, or the first since the clock was set back: whatever is known is void.
    First,
    /// It came so long after the one before it.
    After(Duration),
}

impl Clock {
    pub(super) fn tick(&mut self, at: Timestamp, value: f64) -> Tick {
        if !is_usable(value) {
            return Tick::Ignored;
        }
        let tick = match self.last {
            None => Tick::First,
            Some(last) if at > last => Tick::After(at.since(last)),
            Some(last) if at == last => return Tick::Ignored,
            Some(_) if self.late.saturating_add(1) >= LATE_IN_A_ROW => Tick::First,
            Some(_) => {
                self.late += 1;
                return Tick::Ignored;
            }
        };
        *self = Self { last: Some(at), late: 0 };
        tick
    }

    /// The time of the last sample that was taken.
    pub(super) fn last(&self) -> Option<Timestamp> {
        self.last
    }
}

/// Whether a value is a number that can be reckoned with.
pub(super) fn is_usable(value: f64) -> bool {
    value.abs() <= MOST
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_or_not_later_is_ignored() {
        let mut clock = Clock::default();
        let mut tick = |at: u64, value| clock.tick(Timestamp(at), value);
        assert_eq!(tick(5, f64::NAN), Tick::Ignored);
        assert_eq!(tick(5, 1.0), Tick::First);
        for (at, value) in [(5, 1.0), (4, 1.0), (9, f64::INFINITY), (9, f64::NEG_INFINITY), (9, 1e101)] {
            assert_eq!(tick(at, value), Tick::Ignored, "{at}, {value}");
        }
        assert_eq!(tick(9, -1e100), Tick::After(Duration::from_nanos(4)));
    }

    #[test]
    fn a_clock_that_was_set_back_is_followed() {
        let mut clock = Clock::default();
        assert_eq!(clock.tick(Timestamp(1000), 0.0), Tick::First);
        for round in 0..3 {
            // One that is in time between them: they were only late.
            (0..u64::from(LATE_IN_A_ROW) - 1).for_each(|n| assert_eq!(clock.tick(Timestamp(n), 0.0), Tick::Ignored));
            assert_eq!(clock.tick(Timestamp(1001 + round), 0.0), Tick::After(Duration::from_nanos(1)));
        }
        (0..u64::from(LATE_IN_A_ROW) - 1).for_each(|n| assert_eq!(clock.tick(Timestamp(n), 0.0), Tick::Ignored));
        assert_eq!(clock.tick(Timestamp(20), 0.0), Tick::First);
        assert_eq!(clock.tick(Timestamp(21), 0.0), Tick::After(Duration::from_nanos(1)));
    }
}
