//! One instance, and ten, a hundred and a thousand, each with 50 readings once a second: what a call costs among many, what it
//! takes until all of them have been handed one publication, and what it would take to start a program for each.

use std::fs;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::time::{ClockId, clock_gettime};
use salve::clock::Timestamp;
use salve::plugin::{Instance, Loaded, Sandbox};
use salve::signal::{History, Keep, Mailbox, Router, Sample, Selector, SeriesName, Subscription};
use salve_tests::wait;

use super::Setting;
use super::dispatch::{self, CHECK, READINGS};
use super::report::{Limit, Report, Row, median};
use super::usage::Memory;

const SIZES: [usize; 4] = [1, 10, 100, 1000];
const SECOND: Duration = Duration::from_secs(1);

pub(super) fn run(setting: &Setting, report: &mut Report) -> Result<()> {
    let rounds = if setting.quick { 5 } else { 20 };
    let check = setting.layout.compile("check", CHECK)?;
    let data = setting.layout.results().join("readings.txt");
    dispatch::write_readings(&data, &dispatch::values(None))?;
    let sandbox = dispatch::sandbox()?;
    let loaded = Loaded::new(&sandbox, &fs::read(setting.layout.guest("bench-readings")?)?)?;

    let names = SIZES.map(|count| format!("{count} instances"));
    let mut sizes = Vec::new();
    for count in SIZES {
        println!("{count} instances, {rounds} s");
        sizes.push(Measured::of(&sandbox, &loaded, count, rounds)?);
    }
    let mut checked = Vec::new();
    for _ in 0..rounds {
        checked.push(dispatch::checks(&check, &data)?);
    }

    let rows = |samples: fn(&Measured) -> &Vec<f64>| {
        let rows = names.iter().zip(&sizes).map(|(name, size)| Row { name, samples: samples(size) });
        rows.collect::<Vec<_>>()
    };
    let first = names.first().map_or("", String::as_str);
    report.samples("CPU of a call, once a second", "µs", &rows(|size| &size.call), &[first]);
    report.samples("CPU of a call, right after the other", "µs", &rows(|size| &size.warm), &[first]);
    report.samples("until all have been handed and have looked at one publication", "ms", &rows(|size| &size.all), &[]);
    let program = median(&checked).context("no program was started")?;
    let table = SIZES.iter().zip(&names).zip(&sizes).map(|((count, name), size)| {
        let all = median(&size.all).unwrap_or_default();
        let programs = program * *count as f64 / 1e3;
        (name.clone(), vec![all, programs, programs / all, size.instance])
    });
    report.values(
        "beside as many fork+exec of a static C program",
        &["all instances ms", "all programs ms", "ratio", "anonymous KiB an instance"],
        &table.collect::<Vec<_>>(),
    );
    let of = |place: usize| sizes.get(place).and_then(|size| median(&size.call));
    let ratio = of(3).zip(of(1)).map(|(thousand, ten)| thousand / ten);
    report.goal("a call among 1000 <= 2x of one among 10, once a second", ratio, Limit::AtMost(2.0));
    report.note(format!(
        "In one process, through the agent's router and mailboxes, on one thread; {READINGS} readings each, none over its \
         threshold. Once a second the caches of the CPU are cold: what a call costs then is most of all memory. CPU is that \
         of the thread, as the kernel counts it; a program's time is from its start until its answer was read."
    ));
    Ok(())
}

/// What so many instances take.
struct Measured {
    /// CPU of a call, in µs, after a second of rest.
    call: Vec<f64>,
    /// The same without.
    warm: Vec<f64>,
    /// From a publication until the last has answered, in ms.
    all: Vec<f64>,
    /// Anonymous memory of one, in KiB.
    instance: f64,
}

impl Measured {
    fn of(sandbox: &Sandbox, loaded: &Loaded, count: usize, rounds: usize) -> Result<Self> {
        let before = anonymous()?;
        let keep = Keep { budget: 0, ..Keep::default() };
        let router = Router::with_history(Arc::new(History::new(keep)));
        let mut instances = Vec::new();
        for number in 0..count {
            let instance = dispatch::instance(sandbox, loaded)?;
            let mailbox = Arc::new(Mailbox::default());
            let wanted = Subscription { metrics: vec![Selector::new("bench.*", vec![])], ..Subscription::default() };
            router.subscribe(format!("p{number}").into(), wanted, mailbox.clone());
            instances.push((instance, mailbox));
        }
        let series = |number: u32| SeriesName {
            metric: "bench.reading".into(),
            attributes: vec![("name".into(), dispatch::name(number).into())],
        };
        let values = dispatch::values(None);
        let samples: Vec<Sample> =
            (0..).zip(values).map(|(number, value)| Sample { series: series(number), value }).collect();
        let mut measured = Self { call: vec![], warm: vec![], all: vec![], instance: 0.0 };
        // The first brings the names of the series.
        round(&router, &mut instances, &samples)?;
        measured.instance = (anonymous()? - before) / count as f64;
        for _ in 0..rounds {
            wait::attempt(SECOND, || None::<()>);
            let (call, all) = round(&router, &mut instances, &samples)?;
            measured.call.push(call);
            measured.all.push(all);
            measured.warm.push(round(&router, &mut instances, &samples)?.0);
        }
        Ok(measured)
    }
}

/// One publication to all: CPU of a call in µs, and how long it took in ms.
fn round(router: &Router, instances: &mut [(Instance, Arc<Mailbox>)], samples: &[Sample]) -> Result<(f64, f64)> {
    let begun = Instant::now();
    router.publish_samples("bench", Timestamp::default(), samples);
    let used = cpu();
    for (instance, mailbox) in instances.iter_mut() {
        let batch = mailbox.take(Timestamp::default()).context("nothing was delivered")?;
        ensure!(batch.readings.len() == samples.len(), "{} readings arrived", batch.readings.len());
        black_box(instance.detect(batch)?);
    }
    let call = (cpu() - used) / instances.len() as f64;
    Ok((call * 1e6, begun.elapsed().as_secs_f64() * 1e3))
}

/// Of this thread, in seconds.
fn cpu() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn anonymous() -> Result<f64> {
    let own = rustix::process::getpid();
    Ok(Memory::of(&[own]).context("no smaps_rollup")?.anonymous)
}
