//! Waiting for a condition with a deadline.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

/// Asks `probe` every so often until it has an answer, which is handed on. After `deadline` that is an error.
pub(crate) fn until<T>(
    what: &str,
    deadline: Duration,
    every: Duration,
    mut probe: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(answer) = probe()? {
            return Ok(answer);
        }
        if start.elapsed() > deadline {
            bail!("waited {} s in vain for {what}", deadline.as_secs());
        }
        #[allow(
            clippy::disallowed_methods,
            reason = "the one place that may: a condition with a deadline is waited for"
        )]
        thread::sleep(every);
    }
}
