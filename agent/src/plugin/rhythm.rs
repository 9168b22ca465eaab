use std::time::Duration;

use tokio::time::Instant;

/// How often an undecided `verify` is asked again when nothing new arrives.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// When an instance is to be called although nothing has arrived: for `detect`, as often as its subscription says, and to
/// be asked again what it has not decided.
#[derive(Debug)]
pub(super) struct Rhythm {
    every: Option<Duration>,
    last_call: Instant,
    last_detect: Instant,
}

impl Rhythm {
    /// Of an instance that wants to be called at least each `every`, beginning at `now`.
    pub(super) fn new(every: Option<Duration>, now: Instant) -> Self {
        Self { every, last_call: now, last_detect: now }
    }

    /// When it is to be called next, if nothing arrives.
    pub(super) fn next(&self, is_undecided: bool) -> Option<Instant> {
        let again = is_undecided.then(|| self.last_call + ASK_AGAIN);
        [self.due(), again].into_iter().flatten().min()
    }

    /// It is called now; whether it is time for `detect`, if nothing has arrived.
    pub(super) fn call(&mut self, now: Instant) -> bool {
        self.last_call = now;
        self.due().is_some_and(|due| due <= now)
    }

    /// The call has been one of `detect`. Questions do not count: an undecided `verify` is asked each second, and would put
    /// this off for ever.
    pub(super) fn detected(&mut self) {
        self.last_detect = self.last_call;
    }

    fn due(&self) -> Option<Instant> {
        self.every.map(|every| self.last_detect + every)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// When `detect` is called within two minutes in which nothing arrives but, now and then, a question.
    fn detects(every: u64, is_undecided: bool, question: Option<u64>) -> (Vec<u64>, usize) {
        let start = Instant::now();
        let mut rhythm = Rhythm::new(Some(seconds(every)), start);
        let (mut now, mut detects, mut calls) = (start, Vec::new(), 0);
        loop {
            let next = rhythm.next(is_undecided).into_iter();
            let asked = question.map(|each| start + seconds(((now - start).as_secs() / each + 1) * each));
            now = next.chain(asked).min().unwrap();
            if now > start + seconds(120) {
                return (detects, calls);
            }
            calls += 1;
            if rhythm.call(now) {
                rhythm.detected();
                detects.push((now - start).as_secs());
            }
        }
    }

    #[test]
    fn questions_put_off_no_detect() {
        let each_ten: Vec<u64> = (1..=12).map(|n| 10 * n).collect();
        assert_eq!(detects(10, false, None), (each_ten.clone(), 12));
        // One that has not decided is asked each second, and people ask as they like.
        assert_eq!(detects(10, true, None), (each_ten.clone(), 120));
        assert_eq!(detects(10, false, Some(3)).0, each_ten);
        assert_eq!(detects(10, true, Some(3)).0, each_ten);
    }

    #[test]
    fn what_arrives_puts_off_what_is_due_without() {
        let start = Instant::now();
        let mut rhythm = Rhythm::new(Some(seconds(10)), start);
        assert!(!rhythm.call(start + seconds(9)), "it is called for what has arrived");
        rhythm.detected();
        assert_eq!(rhythm.next(false), Some(start + seconds(19)));
        assert_eq!(rhythm.next(true), Some(start + seconds(10)));
        assert_eq!(Rhythm::new(None, start).next(false), None);
    }
}
