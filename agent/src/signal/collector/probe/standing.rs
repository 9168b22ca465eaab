use super::Status;

/// How something stands, by many answers: one bad answer is no outage, and one good one no recovery.
///
/// `fall` answers in a row that are worse than the state make it worse, `rise` better ones better; it becomes what the last of
/// them said. Before the first state a good answer is believed at once, and bad ones as if all had been well before.
#[derive(Debug)]
pub(super) struct Standing {
    rise: u32,
    fall: u32,
    status: Option<Status>,
    better: u32,
    worse: u32,
    /// Answers in a row that were bad, up to the last.
    pub(super) failures: u32,
}

impl Standing {
    /// Nothing is known yet.
    pub(super) fn new(rise: u32, fall: u32) -> Self {
        Self { rise, fall, status: None, better: 0, worse: 0, failures: 0 }
    }

    /// Takes an answer: the new state, if it is one.
    pub(super) fn take(&mut self, answer: Status) -> Option<Status> {
        self.failures = if answer.is_bad() { self.failures.saturating_add(1) } else { 0 };
        let state = self.status.unwrap_or(Status::Up);
        self.better = if answer < state { self.better.saturating_add(1) } else { 0 };
        self.worse = if answer > state { self.worse.saturating_add(1) } else { 0 };
        let is_first = self.status.is_none() && answer == Status::Up;
        if is_first || self.better >= self.rise || self.worse >= self.fall {
            (self.better, self.worse, self.status) = (0, 0, Some(answer));
            return Some(answer);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::Status::{Down, Unknown, Up, Warning};
    use super::*;
    use proptest::prelude::*;

    fn states(rise: u32, fall: u32, answers: &[Status]) -> Vec<Option<Status>> {
        let mut standing = Standing::new(rise, fall);
        answers.iter().map(|answer| standing.take(*answer)).collect()
    }

    #[test]
    fn it_falls_and_rises_by_answers_in_a_row() {
        let answers = [Up, Down, Down, Up, Down, Down, Down, Up, Down, Up, Up];
        let none = None;
        let expected = [Some(Up), none, none, none, none, none, Some(Down), none, none, none, Some(Up)];
        assert_eq!(states(2, 3, &answers), expected);
    }

    #[test]
    fn what_is_down_at_first_is_down_only_after_a_while() {
        assert_eq!(states(2, 3, &[Down, Down, Down]), [None, None, Some(Down)]);
        assert_eq!(states(2, 3, &[Down, Up]), [None, Some(Up)]);
        assert_eq!(states(1, 1, &[Down, Up]), [Some(Down), Some(Up)]);
    }

    #[test]
    fn bad_answers_of_different_kinds_are_still_bad() {
        assert_eq!(states(2, 3, &[Up, Down, Unknown, Warning]), [Some(Up), None, None, Some(Warning)]);
        assert_eq!(states(2, 3, &[Up, Unknown, Down, Down, Down]), [Some(Up), None, None, Some(Down), None]);
    }

    proptest! {
        /// Against the definition, read off the whole history.
        #[test]
        fn a_state_changes_exactly_when_the_last_answers_since_say_so(
            answers in prop::collection::vec(prop::sample::select(vec![Up, Warning, Unknown, Down]), 0..60),
            rise in 1_u32..5,
            fall in 1_u32..5,
        ) {
            let mut standing = Standing::new(rise, fall);
            let (mut state, mut since) = (None, 0);
            for (index, answer) in answers.iter().copied().enumerate() {
                let history = &answers[since..=index];
                let in_a_row = |wanted: fn(Status, Status) -> bool| {
                    history.iter().rev().take_while(|it| wanted(**it, state.unwrap_or(Up))).count() as u32
                };
                let (better, worse) = (in_a_row(|it, state| it < state), in_a_row(|it, state| it > state));
                let expected = if state.is_none() && answer == Up || better >= rise || worse >= fall {
                    Some(answer)
                } else {
                    None
                };
                prop_assert_eq!(standing.take(answer), expected);
                let failures = answers[..=index].iter().rev().take_while(|it| it.is_bad()).count() as u32;
                prop_assert_eq!(standing.failures, failures);
                if expected.is_some() {
                    prop_assert!(state != expected, "a state that is told is a new one");
                    (state, since) = (expected, index + 1);
                }
            }
        }
    }
}
