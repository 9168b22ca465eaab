use super::{Answer, Guard, Later, Request};

/// The least time between two attempts on one target: `cooldown`, or the backoff where that is longer. The backoff grows
/// with each attempt in a row and starts over once the target was healthy for `reset-after`.
pub(super) struct Cooldown;

impl Guard for Cooldown {
    fn name(&self) -> &'static str {
        "cooldown"
    }

    fn judge(&self, request: &Request<'_>) -> Answer {
        let (recency, rules, now) = (&request.recency, request.rules, request.now.mono);
        let Some(last) = recency.last_began else {
            return Answer::Allow;
        };
        let backoff = if recency.is_over(now, &rules.backoff) { None } else { rules.backoff.after(recency.streak) };
        let wait = rules.cooldown.max(backoff.unwrap_or_default());
        let until = last + wait;
        if now >= until {
            return Answer::Allow;
        }
        let reason =
            format!("{} s after attempt {} in a row on {}", wait.as_secs_f64(), recency.streak.max(1), request.target);
        Answer::Defer(Later { until: Some(until), waits: None, reason })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::guard::testing::{Plan, seconds};
    use crate::incident::Recency;

    fn judge(streak: u32, last: u64, healthy_since: Option<u64>, now: u64, cooldown: u64) -> Answer {
        let recency = Recency { streak, last_began: Some(seconds(last)), healthy_since: healthy_since.map(seconds) };
        Plan { recency, now: seconds(now), cooldown: seconds(cooldown), ..Plan::default() }.judge(&Cooldown)
    }

    fn until(answer: &Answer) -> Option<Duration> {
        match answer {
            Answer::Defer(later) => later.until,
            _ => None,
        }
    }

    #[test]
    fn the_wait_doubles_with_each_attempt_in_a_row() {
        assert_eq!(Plan::default().judge(&Cooldown), Answer::Allow);
        for (streak, wait) in [(1, 1), (2, 2), (3, 4), (9, 256), (10, 300), (4_000_000, 300)] {
            assert_eq!(until(&judge(streak, 100, None, 100, 0)), Some(seconds(100 + wait)), "streak {streak}");
            assert_eq!(judge(streak, 100, None, 100 + wait, 0), Answer::Allow, "streak {streak}");
        }
    }

    #[test]
    fn health_for_long_enough_resets_it_and_less_does_not() {
        assert!(until(&judge(9, 100, Some(101), 120, 0)).is_some());
        assert_eq!(judge(9, 100, Some(101), 101 + 600, 0), Answer::Allow);
    }

    #[test]
    fn the_cooldown_holds_even_after_health() {
        assert_eq!(until(&judge(1, 100, Some(101), 701, 1000)), Some(seconds(1100)));
    }
}
