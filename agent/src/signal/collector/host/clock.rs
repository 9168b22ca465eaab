//! The clock: how far it is from the true time, as far as the one who keeps it (chrony, ntpd, systemd-timesyncd) has told
//! the kernel, by adjtimex(2). Reading it takes no privilege.

use std::io;

use rtime_clock::adjtime::{Timex, adjtimex};

use super::{Reader, Source, sample};
use crate::signal::Sample;
use crate::signal::collector::kept::Fault;

pub(super) const SOURCE: Source = Source {
    name: "clock",
    metrics: &["system.clock.offset", "system.clock.synchronized", "system.clock.max_error"],
    open: |_| Box::new(Clock),
};

/// The state in which nobody keeps the clock, or has not for too long (`TIME_ERROR`).
const ERROR: i32 = 5;
/// In the status: nobody keeps the clock (`STA_UNSYNC`).
const UNSYNCHRONIZED: i32 = 0x40;
/// In the status: the offset is in nanoseconds, not in microseconds (`STA_NANO`).
const NANOSECONDS: i32 = 0x2000;

struct Clock;

impl Reader for Clock {
    fn read(&mut self) -> Result<Vec<Sample>, Fault> {
        // All zero: it sets nothing and reads everything.
        let mut timex = Timex::new();
        let state = adjtimex(&mut timex).map_err(|error| match error.kind() {
            // Some sandboxes forbid the call altogether.
            io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported => Fault::Absent(format!("adjtimex: {error}")),
            _ => Fault::Degraded(format!("adjtimex: {error}")),
        })?;
        Ok(samples(state, timex.0.status, timex.0.offset, timex.0.maxerror))
    }
}

/// What the kernel's answer means: `offset` in the unit that the status says, `max_error` in microseconds.
fn samples(state: i32, status: i32, offset: i64, max_error: i64) -> Vec<Sample> {
    let unit = if status & NANOSECONDS != 0 { 1e-9 } else { 1e-6 };
    let synchronized = state != ERROR && status & UNSYNCHRONIZED == 0;
    vec![
        sample("system.clock.offset", &[], offset as f64 * unit),
        sample("system.clock.synchronized", &[], f64::from(u8::from(synchronized))),
        sample("system.clock.max_error", &[], max_error as f64 * 1e-6),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(samples: &[Sample]) -> Vec<f64> {
        samples.iter().map(|sample| sample.value).collect()
    }

    #[test]
    fn the_offset_is_in_the_unit_that_the_status_says() {
        assert_eq!(values(&samples(0, NANOSECONDS | 1, -2_500_000, 16_000)), [-0.0025, 1.0, 0.016]);
        assert_eq!(values(&samples(0, 1, -2_500, 16_000)), [-0.0025, 1.0, 0.016]);
    }

    #[test]
    fn a_clock_that_nobody_keeps_is_not_synchronized() {
        assert_eq!(values(&samples(ERROR, UNSYNCHRONIZED, 0, 16_000_000)), [0.0, 0.0, 16.0]);
        assert_eq!(values(&samples(0, UNSYNCHRONIZED, 0, 0))[1], 0.0);
        assert_eq!(values(&samples(ERROR, 0, 0, 0))[1], 0.0);
    }
}
