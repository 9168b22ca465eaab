//! What people are told.

use std::time::Duration;

use salve_plugin_sdk::files::{self, File};
use salve_plugin_sdk::prelude::*;

use crate::measure::{Measure, Trouble};
use crate::mount::Mount;

/// How many of the largest files are told.
const FILES: u32 = 5;

/// A fault of a file system.
pub fn fault(mount: &Mount, measure: Measure, trouble: Trouble) -> Fault {
    let gauge = mount.gauge(measure);
    let severity = if trouble == Trouble::Full { Severity::Error } else { Severity::Warning };
    let fault = Fault::new(trouble.kind(measure), &mount.point)
        .severity(severity)
        .summary(summary(mount, measure, trouble))
        .evidence(measure.metric(), gauge.level);
    let device = (!mount.device.is_empty()).then_some(mount.device.as_str());
    let fault = device.into_iter().fold(fault, |fault, device| fault.evidence("system.device", device));
    match gauge.ahead() {
        Some(ahead) => fault
            .evidence("forecast.seconds", ahead.seconds.round())
            .evidence("forecast.per_hour", ahead.rate * 3600.0)
            .evidence("forecast.confidence", ahead.confidence),
        None => fault,
    }
}

/// How it is, in a sentence.
pub fn summary(mount: &Mount, measure: Measure, trouble: Trouble) -> String {
    let gauge = mount.gauge(measure);
    let level = format!("{} has {:.0} % of its {} in use", mount.point, gauge.level * 100.0, measure.word());
    match gauge.ahead() {
        Some(ahead) => format!("{level} and is full in {}", about(ahead.seconds)),
        None if trouble == Trouble::Filling => format!("{level} and fills"),
        None => level,
    }
}

/// Why it is so: how fast it fills.
pub fn growth_cause(mount: &Mount, measure: Measure, kind: &str) -> Cause {
    let gauge = mount.gauge(measure);
    match gauge.ahead() {
        Some(ahead) => {
            let share = ahead.rate * 3600.0;
            let amount = mount.limit(measure).map(|limit| match measure {
                Measure::Bytes => format!(" ({})", HumanSize::from(limit * share)),
                Measure::Inodes => format!(" ({:.0} files)", limit * share),
            });
            let amount = amount.unwrap_or_default();
            let summary =
                format!("it fills by {:.1} % an hour{amount} and is full in {}", share * 100.0, about(ahead.seconds));
            Cause::new(summary, ahead.confidence).path([kind, "growth"]).evidence("forecast.per_hour", share)
        }
        None => {
            let summary = "it does not grow steadily: something large came at once, or has been there for long";
            Cause::new(summary, 0.5).path([kind, "level"])
        }
    }
}

/// Why one is read-only.
pub fn read_only_cause(fault: &Fault) -> Cause {
    let message = fault.evidence.iter().find(|evidence| evidence.key == "kernel.message");
    match message {
        Some(message) => {
            Cause::new(format!("the kernel says: {}", message.value), 0.9).path([fault.kind.as_str(), "error"])
        }
        None => Cause::new("somebody remounted it, or the kernel did after an error", 0.4).path([fault.kind.as_str()]),
    }
}

/// The largest files that may be looked at and are on the file system in question.
pub fn largest(look: &[String], is_there: impl Fn(&str) -> bool) -> Result<Vec<File>, String> {
    let mut all = Vec::new();
    let mut failure = None;
    for glob in look.iter().filter(|glob| is_there(crate::step::fixed_part(glob))) {
        match files::largest(glob, FILES) {
            Ok(files) => all.extend(files.into_iter().filter(|file| is_there(&file.path))),
            Err(error) => failure = Some(error),
        }
    }
    all.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.path.cmp(&b.path)));
    all.dedup_by(|a, b| a.path == b.path);
    all.truncate(FILES as usize);
    match failure {
        Some(failure) if all.is_empty() => Err(failure),
        _ => Ok(all),
    }
}

/// Those, in words.
pub fn list(files: &Result<Vec<File>, String>) -> String {
    match files {
        Ok(files) if files.is_empty() => "`look` names no place to see what takes it up".into(),
        Ok(files) => {
            let one = |file: &File| format!("{} ({})", file.path, HumanSize(file.bytes));
            format!("the largest files are {}", files.iter().map(one).collect::<Vec<_>>().join(", "))
        }
        Err(error) => format!("what takes it up could not be seen: {error}"),
    }
}

/// A cause with them as evidence.
pub fn with_files(cause: Cause, files: &Result<Vec<File>, String>) -> Cause {
    let Ok(files) = files else { return cause };
    files.iter().fold(cause, |cause, file| {
        let bytes = i64::try_from(file.bytes).unwrap_or(i64::MAX);
        cause.evidence("file.path", file.path.as_str()).evidence("file.size", bytes)
    })
}

/// A time as people say it: to the minute, or the hour where it is many.
fn about(seconds: f64) -> String {
    let unit = if seconds < 36_000.0 { 60.0 } else { 3600.0 };
    let rounded = Duration::try_from_secs_f64((seconds / unit).round() * unit);
    match rounded {
        Ok(time) if time.is_zero() => "less than a minute".into(),
        Ok(time) => HumanDuration(time).to_string(),
        Err(_) => "ages".into(),
    }
}
