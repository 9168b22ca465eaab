//! What it costs to have 50 readings looked at: by a live plugin, natively, and by a program as other healers start one.
//!
//! All three compare each reading with a threshold and answer with those above it and the mean of all: the plugin
//! `bench-readings`, a function here, and `check.c`. Before anything is measured they must agree.

use std::fs::{self, File};
use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, ensure};
use salve::clock::Timestamp;
use salve::config::Access;
use salve::incident::Finding;
use salve::plugin::{Compiler, Instance, Interfaces, Loaded, Sandbox};
use salve::signal::{Batch, Reading, Series, SeriesName};
use salve_tests::wait;
use serde_json::json;

use super::Setting;
use super::report::{Limit, Report, Row, median};

pub(super) const CHECK: &str = include_str!("check.c");

pub(super) const READINGS: u32 = 50;
const THRESHOLD: f64 = 0.9;

const PLUGIN: &str = "plugin, all well";
const PLUGIN_OVER: &str = "plugin, one reading over";
const PLUGIN_RESTED: &str = "plugin, after 25 ms of rest";
const NATIVE: &str = "native";
const CHECKED: &str = "fork+exec of a static C program";

/// Calls in a row of which the mean is one sample.
const CALLS: usize = 500;
const NATIVE_CALLS: u32 = 20_000;
const CHECKS: u32 = 10;
/// Long enough for the sandbox to have gone to sleep.
const REST: Duration = Duration::from_millis(25);

pub(super) fn run(setting: &Setting, report: &mut Report) -> Result<()> {
    let rounds = if setting.quick { 20 } else { 50 };
    let check = setting.layout.compile("check", CHECK)?;
    let sandbox = sandbox()?;
    let loaded = Loaded::new(&sandbox, &fs::read(setting.layout.guest("bench-readings")?)?)?;
    let mut instance = instance(&sandbox, &loaded)?;
    let (well, over) = (values(None), values(Some(17)));
    let data = setting.layout.results().join("readings.txt");
    agree(&mut instance, &check, &data, &over)?;
    agree(&mut instance, &check, &data, &well)?;

    let mut rows = [PLUGIN, PLUGIN_OVER, PLUGIN_RESTED, NATIVE, CHECKED].map(|name| (name, Vec::new()));
    for _ in 0..rounds {
        let round = [
            calls(&mut instance, &well, CALLS)?,
            calls(&mut instance, &over, CALLS)?,
            {
                wait::attempt(REST, || None::<()>);
                calls(&mut instance, &well, 1)?
            },
            natively(&well),
            checks(&check, &data)?,
        ];
        for ((_, samples), micros) in rows.iter_mut().zip(round) {
            samples.push(micros);
        }
    }

    let of = |name: &str| rows.iter().find(|(it, _)| *it == name).and_then(|(_, it)| median(it));
    let (plugin, checked) = (of(PLUGIN), of(CHECKED));
    let shown: Vec<Row<'_>> = rows.iter().map(|(name, samples)| Row { name, samples }).collect();
    let title = format!("{READINGS} readings looked at once");
    report.samples(&title, "µs", &shown, &[NATIVE, CHECKED]);
    report.goal("a call of a live plugin <= 3 µs", plugin, Limit::AtMost(3.0));
    let ratio = checked.zip(plugin).map(|(checked, plugin)| checked / plugin);
    report.goal("a call >= 100x cheaper than fork+exec", ratio, Limit::AtLeast(100.0));
    report.note(format!(
        "A sample is the mean of {CALLS} calls in a row ({NATIVE_CALLS} natively, {CHECKS} of the program); that after a \
         rest is a single one."
    ));
    Ok(())
}

/// Where plugins run, without a cache.
pub(super) fn sandbox() -> Result<Sandbox> {
    Sandbox::new(Compiler::new(None)).map_err(Error::msg)
}

/// The plugin, configured, and told what the series are called.
pub(super) fn instance(sandbox: &Sandbox, loaded: &Loaded) -> Result<Instance> {
    let mut instance = Instance::new(sandbox, loaded, "bench".into(), &Access::default(), Interfaces::default())?;
    instance.configure(&json!({ "threshold": THRESHOLD }), Timestamp::default())?;
    let first = Batch { new_series: (0..READINGS).map(series).collect(), ..Batch::default() };
    instance.detect(first)?;
    Ok(instance)
}

fn series(number: u32) -> Series {
    Series {
        number,
        name: SeriesName { metric: "bench.reading".into(), attributes: vec![("name".into(), name(number).into())] },
    }
}

pub(super) fn name(number: u32) -> String {
    format!("reading-{number}")
}

/// The values of all readings, none over the threshold but the one of that number.
pub(super) fn values(over: Option<u32>) -> Vec<f64> {
    let value = |number| match over {
        Some(over) if over == number => THRESHOLD + 0.05,
        _ => THRESHOLD * f64::from(number) / f64::from(READINGS),
    };
    (0..READINGS).map(value).collect()
}

fn batch(values: &[f64]) -> Batch {
    let readings = (0..).zip(values).map(|(series, value)| Reading { series, value: *value });
    Batch { readings: readings.collect(), ..Batch::default() }
}

/// The numbers of the readings over the threshold, and the mean of all.
fn native(values: &[f64], threshold: f64) -> (Vec<usize>, f64) {
    let mut over = Vec::new();
    let mut sum = 0.0;
    for (number, value) in values.iter().enumerate() {
        sum += value;
        if *value > threshold {
            over.push(number);
        }
    }
    (over, sum / values.len() as f64)
}

/// Writes the readings as the program reads them.
pub(super) fn write_readings(data: &Path, values: &[f64]) -> Result<()> {
    let lines = (0..).zip(values).map(|(number, value)| format!("{} {value}\n", name(number)));
    Ok(fs::write(data, lines.collect::<String>())?)
}

/// Writes the readings to `data` for the program, and sees to it that all three answer the same.
fn agree(instance: &mut Instance, check: &Path, data: &Path, values: &[f64]) -> Result<()> {
    write_readings(data, values)?;
    let mut expected = Vec::new();
    for number in native(values, THRESHOLD).0 {
        expected.push(name(u32::try_from(number)?));
    }
    let target = |finding: &Finding| match finding {
        Finding::Present(fault) => fault.target.clone(),
        Finding::Cleared { target, .. } => format!("{target} cleared"),
    };
    let found: Vec<String> = instance.detect(batch(values))?.iter().map(target).collect();
    ensure!(found == expected, "the plugin answers {found:?} instead of {expected:?}");
    let said = checked(check, data)?;
    let said: Vec<&str> = said.lines().filter_map(|line| line.split(' ').next()).collect();
    ensure!(said == expected, "the program answers {said:?} instead of {expected:?}");
    Ok(())
}

/// Microseconds of one call, as the mean of `count`.
fn calls(instance: &mut Instance, values: &[f64], count: usize) -> Result<f64> {
    let batches: Vec<Batch> = (0..count).map(|_| batch(values)).collect();
    let start = Instant::now();
    for batch in batches {
        black_box(instance.detect(batch)?);
    }
    Ok(start.elapsed().as_secs_f64() * 1e6 / count as f64)
}

fn natively(values: &[f64]) -> f64 {
    let start = Instant::now();
    for _ in 0..NATIVE_CALLS {
        black_box(native(black_box(values), black_box(THRESHOLD)));
    }
    start.elapsed().as_secs_f64() * 1e6 / f64::from(NATIVE_CALLS)
}

pub(super) fn checks(check: &Path, data: &Path) -> Result<f64> {
    let start = Instant::now();
    for _ in 0..CHECKS {
        black_box(checked(check, data)?);
    }
    Ok(start.elapsed().as_secs_f64() * 1e6 / f64::from(CHECKS))
}

/// What the program says of the readings; its exit code says no more.
fn checked(check: &Path, data: &Path) -> Result<String> {
    let mut command = Command::new(check);
    command.arg(THRESHOLD.to_string()).stdin(File::open(data)?);
    let output = command.output().with_context(|| format!("cannot start {}", check.display()))?;
    Ok(String::from_utf8(output.stdout)?)
}
