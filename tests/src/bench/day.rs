//! A day in fast-forward: 24 hours of signals through the router, the history, sandboxed instances and the engine with its
//! ledger. What it takes after an hour it must take after a day.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use salve::clock::{Clock, Now, SystemClock, Timestamp};
use salve::plugin::Loaded;
use salve::signal::{History, Keep, Mailbox, Router, Sample, Selector, SeriesName, Subscription};
use tokio::sync::Semaphore;

use super::Setting;
use super::dispatch::{self, READINGS};
use super::engine::{self, Work};
use super::report::{Limit, Report};
use super::usage::Memory;

const INSTANCES: usize = 10;
/// Services that fail in turns, one a minute.
const TARGETS: usize = 100;
const HOURS: u64 = 24;
/// When it is looked, in hours.
const LOOKS: [u64; 6] = [1, 2, 4, 8, 16, 24];

/// The host's clock, which can be moved on.
#[derive(Debug, Default)]
struct Forward {
    clock: SystemClock,
    seconds: AtomicU64,
}

impl Clock for Forward {
    fn now(&self) -> Now {
        let now = self.clock.now();
        let ahead = Duration::from_secs(self.seconds.load(Ordering::Relaxed));
        let nanos = u64::try_from(ahead.as_nanos()).unwrap_or(u64::MAX);
        let wall = Timestamp::from_nanos(now.wall.as_nanos().saturating_add(nanos));
        Now { wall, mono: now.mono + ahead }
    }
}

pub(super) fn run(setting: &Setting, report: &mut Report) -> Result<()> {
    let state = setting.layout.results().join("day-state");
    // Left behind by a run that was broken off.
    drop(fs::remove_dir_all(&state));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let begun = Instant::now();
    let looks = runtime.block_on(day(setting, &state));
    drop(fs::remove_dir_all(&state));
    let looks = looks?;
    let rows = looks.iter().map(|look| {
        let Memory { rss, anonymous, .. } = look.memory;
        (
            format!("{} h", look.hour),
            vec![rss / 1024.0, anonymous / 1024.0, look.history, anonymous / 1024.0 - look.history],
        )
    });
    let columns = ["RSS MiB", "anonymous MiB", "of it history MiB", "the rest MiB"];
    report.values("memory after so many hours", &columns, &rows.collect::<Vec<_>>());
    let rest = |look: &Look| look.memory.anonymous / 1024.0 - look.history;
    // By then each target has failed once.
    let second = looks.iter().find(|look| look.hour == 2);
    let growth = second.zip(looks.last()).map(|(second, last)| rest(last) / rest(second));
    report.goal("what is not history at 24 h <= 1.1x of that at 2 h", growth, Limit::AtMost(1.1));
    report.note(format!(
        "{INSTANCES} instances with {READINGS} readings a second each and {} incidents, in {:.0} s. The history keeps an hour \
         as it came and a day by the minute, so it grows for a day, within its budget of {} MiB. The process is the \
         benchmark itself, with the agent's parts in it.",
        HOURS * 60,
        begun.elapsed().as_secs_f64(),
        Keep::default().budget >> 20
    ));
    Ok(())
}

/// What there is at an hour.
struct Look {
    hour: u64,
    memory: Memory,
    /// In MiB.
    history: f64,
}

async fn day(setting: &Setting, state: &std::path::Path) -> Result<Vec<Look>> {
    let sandbox = dispatch::sandbox()?;
    let loaded = Loaded::new(&sandbox, &fs::read(setting.layout.guest("bench-readings")?)?)?;
    let clock = Arc::new(Forward::default());
    let history = Arc::new(History::new(Keep::default()));
    let router = Router::with_history(history.clone());
    let mut instances = Vec::new();
    for number in 0..INSTANCES {
        let mailbox = Arc::new(Mailbox::default());
        let wanted = Subscription { metrics: vec![Selector::new("bench.*", vec![])], ..Subscription::default() };
        router.subscribe(format!("p{number}").into(), wanted, mailbox.clone());
        instances.push((dispatch::instance(&sandbox, &loaded)?, mailbox));
    }
    let minutes = usize::try_from(HOURS * 60)?;
    let healed = Arc::new(Semaphore::new(0));
    let work = Work::begin(state, clock.clone(), minutes, healed.clone()).await?;
    let mut samples: Vec<Sample> = (0..)
        .zip(dispatch::values(None))
        .map(|(number, value)| Sample {
            series: SeriesName {
                metric: "bench.reading".into(),
                attributes: vec![("name".into(), dispatch::name(number).into())],
            },
            value,
        })
        .collect();
    let mut looks = Vec::new();
    for second in 1..=HOURS * 3600 {
        clock.seconds.store(second, Ordering::Relaxed);
        let now = clock.now().wall;
        for sample in &mut samples {
            sample.value = (sample.value + 1e-5) % 0.9;
        }
        router.publish_samples("bench", now, &samples);
        for (instance, mailbox) in &mut instances {
            let batch = mailbox.take(now).context("nothing was delivered")?;
            let findings = instance.detect(batch)?;
            ensure!(findings.is_empty(), "it finds {findings:?}");
        }
        if second % 60 == 0 {
            let number = usize::try_from(second / 60)?;
            work.find(engine::fault(number % TARGETS), now).await?;
            healed.acquire().await?.forget();
        }
        if second % 3600 == 0 && LOOKS.contains(&(second / 3600)) {
            let own = rustix::process::getpid();
            let memory = Memory::of(&[own]).context("no smaps_rollup")?;
            let history = history.usage().bytes as f64 / f64::from(1 << 20);
            println!("{} h: {:.1} MiB", second / 3600, memory.rss / 1024.0);
            looks.push(Look { hour: second / 3600, memory, history });
        }
    }
    work.end(Instant::now()).await?;
    Ok(looks)
}
