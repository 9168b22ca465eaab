//! The parts of `[guard]` whose keys have to fit together.

use toml::Spanned;

use super::error::Flaw;
use super::{Backoff, Flapping, raw};

pub(super) fn backoff(raw: Option<Spanned<raw::Backoff>>) -> Result<Backoff, Flaw> {
    let default = Backoff::default();
    let Some(spanned) = raw else { return Ok(default) };
    let span = spanned.span();
    let raw = spanned.into_inner();
    let backoff = Backoff {
        initial: raw.initial.unwrap_or(default.initial),
        factor: raw.factor.unwrap_or(default.factor),
        max: raw.max.unwrap_or(default.max),
        reset_after: raw.reset_after.unwrap_or(default.reset_after),
    };
    if !(backoff.factor.is_finite() && backoff.factor >= 1.0) {
        return Err(Flaw::new(span, "backoff.factor must be a number of at least 1"));
    }
    Ok(backoff)
}

pub(super) fn flapping(raw: Option<Spanned<raw::Flapping>>) -> Result<Flapping, Flaw> {
    let default = Flapping::default();
    let Some(spanned) = raw else { return Ok(default) };
    let span = spanned.span();
    let raw = spanned.into_inner();
    let flapping = Flapping {
        enabled: raw.enabled.unwrap_or(default.enabled),
        start: raw.start.unwrap_or(default.start),
        stop: raw.stop.unwrap_or(default.stop),
        every: raw.every.unwrap_or(default.every),
    };
    let Flapping { start, stop, .. } = flapping;
    if !(0.0 < stop && stop <= start && start <= 1.0) {
        let message = format!(
            "flapping.stop ({stop}) and flapping.start ({start}) are shares of changes: \
             stop must be more than 0 and at most start, start at most 1"
        );
        return Err(Flaw::new(span, message));
    }
    Ok(flapping)
}
