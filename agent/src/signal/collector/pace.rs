use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::signal::Demand;

/// The times at which something is done that somebody may want or not.
#[derive(Debug)]
pub(super) struct Pace {
    demand: watch::Receiver<Arc<Demand>>,
    schedule: Schedule,
    /// None while nobody wants it.
    next: Option<Instant>,
}

/// What it is time for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// To do it.
    Run,
    /// To leave it: nobody wants it any more.
    Rest,
}

impl Pace {
    /// Of what is called `name`; `jitter` is the share of the interval by which times vary.
    pub(super) fn new(demand: watch::Receiver<Arc<Demand>>, name: &str, interval: Duration, jitter: f64) -> Self {
        let schedule = Schedule { name: name.to_owned(), interval, jitter, runs: 0 };
        Self { demand, schedule, next: None }
    }

    /// Waits until it is time for something; none if it never will be again. What took longer than the interval is followed
    /// by one run and not by all that were missed.
    pub(super) async fn turn(&mut self, is_wanted: impl Fn(&Demand) -> bool) -> Option<Turn> {
        let next = match self.next {
            Some(next) => next,
            None => {
                self.demand.wait_for(|demand| is_wanted(demand)).await.ok()?;
                self.schedule.runs = 0;
                let next = Instant::now() + self.schedule.next();
                *self.next.insert(next)
            }
        };
        loop {
            tokio::select! {
                () = sleep_until(next) => {
                    self.next = Some(Instant::now() + self.schedule.next());
                    return Some(Turn::Run);
                }
                changed = self.demand.changed() => {
                    changed.ok()?;
                    if !is_wanted(&self.demand.borrow_and_update()) {
                        self.next = None;
                        return Some(Turn::Rest);
                    }
                }
            }
        }
    }
}

/// What began together does not stay together: the same name always gives the same times.
#[derive(Debug)]
struct Schedule {
    name: String,
    interval: Duration,
    jitter: f64,
    runs: u64,
}

impl Schedule {
    /// How long until the next run, from the beginning of the last or, before the first, from now.
    fn next(&mut self) -> Duration {
        let share = self.share();
        let factor = if self.runs == 0 { self.jitter * share } else { 1.0 + self.jitter * (2.0 * share - 1.0) };
        self.runs += 1;
        self.interval.mul_f64(factor)
    }

    /// Of this run, between 0 and 1.
    fn share(&self) -> f64 {
        let mut hasher = DefaultHasher::new();
        (&self.name, self.runs).hash(&mut hasher);
        hasher.finish() as f64 / u64::MAX as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::Selector;

    #[tokio::test]
    async fn it_runs_while_it_is_wanted() {
        let event = Selector::new("probe.state", vec![]);
        let (sender, demand) = watch::channel(Arc::new(Demand::default()));
        let mut pace = Pace::new(demand, "web", Duration::from_millis(10), 0.0);
        let is_wanted = |demand: &Demand| demand.wants_event("probe.state");
        let idle = tokio::time::timeout(Duration::from_millis(100), pace.turn(is_wanted)).await;
        assert!(idle.is_err(), "nobody wants it");
        sender.send_replace(Arc::new(Demand::new([], [&event])));
        for _ in 0..3 {
            assert_eq!(pace.turn(is_wanted).await, Some(Turn::Run));
        }
        pace.next = Some(Instant::now() + Duration::from_secs(3600));
        sender.send_replace(Arc::new(Demand::default()));
        assert_eq!(pace.turn(is_wanted).await, Some(Turn::Rest));
        drop(sender);
        assert_eq!(pace.turn(is_wanted).await, None);
    }

    #[test]
    fn runs_vary_within_their_share_and_the_same_way_each_time() {
        let times = |name, jitter| {
            let interval = Duration::from_secs(10);
            let mut schedule = Schedule { name: String::from(name), interval, jitter, runs: 0 };
            (0..100).map(|_| schedule.next()).collect::<Vec<_>>()
        };
        let (web, db) = (times("web", 0.1), times("db", 0.1));
        assert!(web[0] <= Duration::from_secs(1) && web[0] != db[0]);
        assert!(web[1..].iter().all(|it| (Duration::from_secs(9)..=Duration::from_secs(11)).contains(it)), "{web:?}");
        assert_eq!(web, times("web", 0.1));
        let plain = times("web", 0.0);
        assert!(plain[0].is_zero() && plain[1..].iter().all(|it| *it == Duration::from_secs(10)));
    }
}
