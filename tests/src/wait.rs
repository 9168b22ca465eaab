//! Waiting for something to become true: the only place of the tests that sleeps.

use std::fmt::Debug;
use std::thread;
use std::time::{Duration, Instant};

/// How long to rest between two looks: short against everything that is waited for.
const PAUSE: Duration = Duration::from_millis(5);

/// Looks again and again until `condition` gives a value, and returns it.
///
/// # Panics
/// When `deadline` has passed, with `what` it waited for.
#[track_caller]
pub fn until<T>(what: &str, deadline: Duration, condition: impl FnMut() -> Option<T>) -> T {
    match attempt(deadline, condition) {
        Some(value) => value,
        None => panic!("waited {deadline:?} in vain for {what}"),
    }
}

/// Looks for as long as `duration` whether something happens that must not.
///
/// # Panics
/// When `condition` gives a value, with `what` should not have come and the value.
#[track_caller]
pub fn never<T: Debug>(what: &str, duration: Duration, condition: impl FnMut() -> Option<T>) {
    if let Some(value) = attempt(duration, condition) {
        panic!("{what}: {value:?}");
    }
}

/// Like [`until`], where not to succeed is an answer too: `None` once `deadline` has passed. Looks at least once.
#[expect(clippy::disallowed_methods, reason = "the sleep that all others are to be replaced by")]
pub fn attempt<T>(deadline: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return Some(value);
        }
        if start.elapsed() >= deadline {
            return None;
        }
        thread::sleep(PAUSE);
    }
}
