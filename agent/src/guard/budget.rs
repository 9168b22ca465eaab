use std::time::Duration;

use super::{Answer, Guard, Later, Request, Waits};
use crate::config::Budget;

/// Token buckets for the policy, the target and the host, and the number of plans under way at once.
pub(super) struct Budgets;

impl Guard for Budgets {
    fn name(&self) -> &'static str {
        "budget"
    }

    fn judge(&self, request: &Request<'_>) -> Answer {
        let max = request.host.max_plans;
        if request.under_way >= usize::try_from(max).unwrap_or(usize::MAX) {
            let reason = format!("{max} plans are under way on this host ([agent] max-plans)");
            return Answer::Defer(Later { until: None, waits: Some(Waits::Slot), reason });
        }
        let now = request.now.mono;
        let empty = request.buckets.iter().filter_map(|(of, budget, bucket)| {
            let until = bucket.next(*budget, now);
            (until > now).then_some((of, budget, until))
        });
        // The one that takes longest says when it is worth asking again.
        let Some((of, budget, until)) = empty.max_by_key(|(.., until)| *until) else { return Answer::Allow };
        let reason = format!("all {} plans in {} s of {of} are used up", budget.count, budget.per.as_secs_f64());
        Answer::Defer(Later { until: Some(until), waits: None, reason })
    }
}

/// A token bucket in one number: the time at which it would be full again (the theoretical arrival time of the generic cell
/// rate algorithm, ITU-T I.371).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bucket(Duration);

impl Bucket {
    /// When a token can be taken: now, or later.
    pub fn next(self, budget: Budget, now: Duration) -> Duration {
        let slack = budget.per - interval(budget);
        now.max(self.0.saturating_sub(slack))
    }

    /// Takes a token, also one that is not there: what happened, happened.
    pub fn take(&mut self, budget: Budget, now: Duration) {
        self.0 = self.0.max(now).saturating_add(interval(budget));
    }

    /// The same bucket by another budget: as many tokens are missing as before.
    pub fn converted(self, from: Budget, to: Budget, now: Duration) -> Self {
        if from == to {
            return self;
        }
        let missing = self.0.saturating_sub(now).div_duration_f64(interval(from).max(Duration::from_nanos(1)));
        let full_in = Duration::try_from_secs_f64(missing * interval(to).as_secs_f64()).unwrap_or(Duration::MAX);
        Self(now.saturating_add(full_in))
    }

    /// Whether it is full, and as good as a new one.
    pub fn is_full(self, now: Duration) -> bool {
        self.0 <= now
    }
}

/// How long one token takes.
fn interval(budget: Budget) -> Duration {
    budget.per / budget.count.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::testing::{Plan, seconds};

    const BUDGET: Budget = Budget { count: 5, per: Duration::from_secs(600) };

    #[test]
    fn a_full_bucket_gives_all_its_tokens_and_then_one_at_a_time() {
        let mut bucket = Bucket::default();
        for _ in 0..5 {
            assert_eq!(bucket.next(BUDGET, seconds(1000)), seconds(1000));
            bucket.take(BUDGET, seconds(1000));
        }
        assert_eq!(bucket.next(BUDGET, seconds(1000)), seconds(1120));
        bucket.take(BUDGET, seconds(1120));
        assert_eq!(bucket.next(BUDGET, seconds(1120)), seconds(1240));
        assert!(!bucket.is_full(seconds(1700)) && bucket.is_full(seconds(1720)));
    }

    #[test]
    fn by_another_budget_as_many_tokens_are_missing() {
        let (one, now) = (Budget { count: 1, per: seconds(600) }, seconds(1000));
        let mut bucket = Bucket::default();
        bucket.take(one, now);
        assert_eq!(bucket.next(one, now), seconds(1600));
        let mut more = bucket.converted(one, BUDGET, now);
        for _ in 0..4 {
            assert_eq!(more.next(BUDGET, now), now);
            more.take(BUDGET, now);
        }
        assert_eq!(more.next(BUDGET, now), seconds(1120));
        assert_eq!(more.converted(BUDGET, one, now).converted(one, BUDGET, now), more);
        assert_eq!(Bucket::default().converted(one, BUDGET, now).next(BUDGET, now), now);
    }

    #[test]
    fn an_empty_bucket_and_too_many_plans_make_it_wait() {
        let mut bucket = Bucket::default();
        (0..5).for_each(|_| bucket.take(BUDGET, seconds(1000)));
        let plan = Plan { buckets: vec![("the host".into(), BUDGET, bucket)], ..Plan::default() };
        let Answer::Defer(later) = plan.judge(&Budgets) else { panic!("it was let through") };
        assert_eq!(later.until, Some(seconds(1120)));
        let Answer::Defer(later) = (Plan { under_way: 4, ..Plan::default() }).judge(&Budgets) else { panic!("slot") };
        assert_eq!(later.waits, Some(Waits::Slot));
    }
}
