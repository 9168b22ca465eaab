//! What processes take while they have nothing to do: memory, CPU, and how often they wake up.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::Pid;
use salve_tests::wait;

/// How long everybody may take to come to rest.
const WARM_UP: Duration = Duration::from_secs(5);

/// How often their threads are looked at: a thread that tokio does not need any more lives for ten seconds.
const SAMPLE: Duration = Duration::from_secs(1);

/// What is told of each, in the order of [`Usage::values`].
pub(super) const COLUMNS: [&str; 7] =
    ["RSS MiB", "of files MiB", "anonymous MiB", "PSS MiB", "threads", "CPU %", "wake-ups/s"];

/// What the processes of one contender take.
#[derive(Clone, Copy)]
pub(super) struct Usage {
    pub(super) memory: Memory,
    threads: usize,
    /// In per cent of a core.
    pub(super) cpu: f64,
    wakeups: f64,
}

impl Usage {
    /// For a table with [`COLUMNS`].
    pub(super) fn values(&self) -> Vec<f64> {
        let Memory { rss, anonymous, proportional } = self.memory;
        let memory = [rss, rss - anonymous, anonymous, proportional].map(|kib| kib / 1024.0);
        memory.into_iter().chain([self.threads as f64, self.cpu, self.wakeups]).collect()
    }
}

/// What each takes while it has nothing to do.
pub(super) fn watch(contenders: &[(String, Vec<Pid>)], idle: Duration) -> Result<Vec<(String, Usage)>> {
    wait::attempt(WARM_UP, || None::<()>);
    println!("idle for {} s", idle.as_secs());
    let start = Instant::now();
    let mut threads: Vec<Threads> = contenders.iter().map(|(_, pids)| Threads::of(pids)).collect();
    while start.elapsed() < idle {
        wait::attempt(SAMPLE.min(idle.saturating_sub(start.elapsed())), || None::<()>);
        for (threads, (_, pids)) in threads.iter_mut().zip(contenders) {
            threads.look_again(pids);
        }
    }
    let seconds = start.elapsed().as_secs_f64();

    let mut rows = Vec::new();
    for ((name, pids), threads) in contenders.iter().zip(&threads) {
        let usage = Usage {
            memory: Memory::of(pids).with_context(|| format!("{name} has ended"))?,
            threads: threads.known.len(),
            cpu: threads.done.on_core / seconds * 100.0,
            wakeups: threads.done.wakeups / seconds,
        };
        rows.push((name.clone(), usage));
    }
    Ok(rows)
}

/// What threads do.
#[derive(Clone, Copy, Default)]
struct Activity {
    /// In seconds.
    on_core: f64,
    /// How often they went to sleep by themselves, which is about how often they were woken.
    wakeups: f64,
}

/// The threads of some processes, and what they have done since the first look. The kernel keeps no exact sum for a
/// process (`stat` counts in 10 ms), and threads come and go: so each is looked at again and again.
#[derive(Default)]
struct Threads {
    known: HashMap<OsString, Activity>,
    done: Activity,
}

impl Threads {
    fn of(pids: &[Pid]) -> Self {
        let mut threads = Self::default();
        threads.look_again(pids);
        threads.done = Activity::default();
        threads
    }

    /// What a thread did between the last look and its end is not seen.
    fn look_again(&mut self, pids: &[Pid]) {
        let tasks = pids.iter().filter_map(|pid| fs::read_dir(format!("/proc/{pid}/task")).ok());
        let tasks = tasks.flatten().flatten();
        let now: HashMap<OsString, Activity> =
            tasks.filter_map(|task| Some((task.file_name(), activity(&task.path())?))).collect();
        for (thread, activity) in &now {
            let before = self.known.get(thread).copied().unwrap_or_default();
            self.done.on_core += activity.on_core - before.on_core;
            self.done.wakeups += activity.wakeups - before.wakeups;
        }
        self.known = now;
    }
}

fn activity(task: &Path) -> Option<Activity> {
    let times = fs::read_to_string(task.join("schedstat")).ok()?;
    let nanos: f64 = times.split_whitespace().next()?.parse().ok()?;
    let status = fs::read_to_string(task.join("status")).ok()?;
    Some(Activity { on_core: nanos / 1e9, wakeups: field(&status, "voluntary_ctxt_switches:")? })
}

/// In KiB.
#[derive(Clone, Copy, Default)]
pub(super) struct Memory {
    pub(super) rss: f64,
    pub(super) anonymous: f64,
    pub(super) proportional: f64,
}

impl Memory {
    /// Of some processes together; none if one has ended.
    pub(super) fn of(pids: &[Pid]) -> Option<Self> {
        let mut sum = Self::default();
        for pid in pids {
            let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
            sum.rss += field(&rollup, "Rss:")?;
            sum.anonymous += field(&rollup, "Anonymous:")?;
            sum.proportional += field(&rollup, "Pss:")?;
        }
        Some(sum)
    }
}

/// The number behind a word at the beginning of a line.
fn field(text: &str, key: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse().ok()
}
