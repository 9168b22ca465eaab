//! Names of incidents: short enough to type, sorted by time, and not used twice even when a ledger is lost.

use crate::clock::Timestamp;

/// Crockford's base 32, in lower case: no letter that is taken for a digit.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Nine digits of milliseconds last until the year 3084.
const LENGTH: u32 = 9;

/// Makes names from the time: milliseconds since the Unix epoch, moved on by one where one was used already.
#[derive(Debug, Default)]
pub(super) struct Ids {
    last: u64,
}

impl Ids {
    /// Goes on after the greatest name in the ledger: in a storm names run ahead of the clock, and an agent that starts
    /// again at once would give them a second time.
    pub(super) fn after(name: &str) -> Self {
        let digit = |byte| DIGITS.iter().position(|digit| *digit == byte).unwrap_or(0) as u64;
        Self { last: name.bytes().fold(0, |number, byte| number << 5 | digit(byte)) }
    }

    /// A name that this maker has not given before.
    pub(super) fn next(&mut self, now: Timestamp) -> String {
        self.last = (now.as_nanos() / 1_000_000).max(self.last + 1);
        (0..LENGTH)
            .rev()
            .filter_map(|place| DIGITS.get((self.last >> (5 * place)) as usize % 32))
            .map(|d| *d as char)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_on_after_the_last_one() {
        let at = Timestamp::from_nanos(1_700_000_000_000 * 1_000_000);
        let mut ids = Ids::default();
        let first = ids.next(at);
        assert!(Ids::after(&first).next(at) > first);
        assert_eq!(Ids::after("").next(at), first);
    }

    #[test]
    fn names_are_distinct_and_sorted_also_within_a_millisecond_and_when_the_clock_steps_back() {
        let mut ids = Ids::default();
        let at = [1_700_000_000_000, 1_700_000_000_000, 1_600_000_000_000, 1_700_000_000_500];
        let names: Vec<_> = at.map(|ms: u64| ids.next(Timestamp::from_nanos(ms * 1_000_000))).into();
        let mut sorted = names.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!(names, sorted);
        assert!(names.iter().all(|name| name.len() == 9));
    }
}
