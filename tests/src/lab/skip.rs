//! Tests that need the lab, on a machine that has none: skipped, but never in silence.

use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;
use std::{env, thread};

use super::{Host, Missing, available};

/// Set to 1 where skipping is a failure: CI demands that the tests of the lab have run.
const REQUIRE: &str = "SALVE_REQUIRE_LAB";

/// Boots a host, or says on standard error that the test is skipped, and why, and returns `None`.
///
/// # Panics
/// When the host does not boot although this machine is able to, and, with `SALVE_REQUIRE_LAB=1`, instead of skipping.
#[track_caller]
pub fn host_or_skip(name: &str) -> Option<Host> {
    if skip() {
        return None;
    }
    match Host::boot(name) {
        Ok(host) => Some(host),
        Err(error) => panic!("{error:?}"),
    }
}

/// Whether the running test has to be skipped, for those that boot hosts by a [`Builder`](super::Builder). Says so on
/// standard error.
///
/// # Panics
/// With `SALVE_REQUIRE_LAB=1`, instead of skipping.
#[track_caller]
pub fn skip() -> bool {
    available().is_err_and(|missing: Missing| skipped(&missing))
}

/// Whether the running test has to be skipped for want of a file of this machine. Says so on standard error, with `remedy`.
///
/// # Panics
/// With `SALVE_REQUIRE_LAB=1`, instead of skipping.
#[track_caller]
pub fn skip_without(file: impl AsRef<Path>, remedy: &str) -> bool {
    let file = file.as_ref();
    !file.exists() && skipped(&format_args!("no {}: {remedy}", file.display()))
}

/// What the running test needs of this machine; where that is not there, it has to be skipped. Says so on standard error.
///
/// # Panics
/// With `SALVE_REQUIRE_LAB=1`, instead of skipping.
#[track_caller]
pub fn had_or_skip<T>(found: Option<T>, what: &str) -> Option<T> {
    if found.is_none() {
        skipped(&format_args!("this machine has no {what}"));
    }
    found
}

/// True, and said past the test harness, which would show what a passing test prints to nobody.
#[track_caller]
fn skipped(why: &dyn Display) -> bool {
    assert!(!env::var(REQUIRE).is_ok_and(|value| value == "1"), "{REQUIRE}=1, but {why}");
    let thread = thread::current();
    let test = thread.name().unwrap_or("a test");
    let _ = writeln!(io::stderr(), "skipped: {test}: {why}");
    true
}
