//! Waiting for something to become true: the only place of the tests that sleeps.

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

/// The same where not to succeed is an answer too: `None` once `deadline` has passed. Looks at least once.
#[expect(
    clippy::disallowed_methods,
    reason = "the sleep that all others are to be replaced by"
)]
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
