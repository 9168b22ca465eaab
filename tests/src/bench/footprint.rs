//! What healers take that have nothing to heal: memory, CPU, and how often they wake up.
//!
//! Each looks after ten services of its own (`server.c`), whose memory is not counted, all at the same time.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::Pid;
use salve_tests::reaper::Reaper;
use salve_tests::wait;

use super::Setting;
use super::peers::{Services, is_installed};
use super::report::Report;
use super::service::Service;

const SERVER: &str = include_str!("server.c");
const SERVICES: usize = 10;

/// How long everybody may take to come to rest.
const WARM_UP: Duration = Duration::from_secs(5);

pub(super) fn run(setting: &Setting, report: &mut Report) -> Result<()> {
    let idle = Duration::from_secs(if setting.quick { 10 } else { 60 });
    let server = setting.layout.compile("server", SERVER)?;
    let (salve, plugin) = (setting.layout.salve()?, setting.layout.guest("bench-readings")?);

    // Dropped last: it ends what the others leave.
    let _reaper = Reaper::start()?;
    let room = tempfile::tempdir()?;
    let services = |name: &str, count| Services::new(room.path().join(name), &server, count);
    let mut contenders = Vec::new();

    let empty = services("empty", 0)?.salve(&salve).start()?;
    contenders.push(("Salve, without a policy".to_owned(), vec![empty.pid()]));

    let looked_after = services("salve", SERVICES)?;
    let mut builder = looked_after.salve(&salve).plugin(&plugin);
    for name in looked_after.names() {
        builder = builder.policy(&format!("{name}.toml"), &policy(&name));
    }
    let full = builder.tables("[collect]\ninterval = \"1s\"").start()?;
    answer(&looked_after)?;
    contenders.push((format!("Salve, {SERVICES} policies"), vec![full.pid()]));

    let mut peers = Vec::new();
    for (name, program) in [("Monit", "monit"), ("runit", "runsvdir")] {
        if !is_installed(program) {
            report.note(format!("{name} is not installed: left out"));
            continue;
        }
        let services = services(name, SERVICES)?;
        let process = match program {
            "monit" => services.monit()?,
            _ => services.runit()?,
        };
        answer(&services)?;
        let mut pids = vec![process.pid()];
        if program == "runsvdir" {
            pids.extend(children(process.pid()));
        }
        contenders.push((format!("{name}, {SERVICES} checks"), pids));
        peers.push(process);
    }

    wait::attempt(WARM_UP, || None::<()>);
    println!("idle for {} s", idle.as_secs());
    let (start, before) = (Instant::now(), activities(&contenders)?);
    wait::attempt(idle, || None::<()>);
    let (seconds, after) = (start.elapsed().as_secs_f64(), activities(&contenders)?);

    let mut rows = Vec::new();
    for ((name, pids), (before, after)) in contenders.iter().zip(before.iter().zip(&after)) {
        let memory = total(pids, memory).context("a process has ended")?;
        let cpu = (after.cpu_s - before.cpu_s) / seconds * 100.0;
        let wakeups = (after.wakeups - before.wakeups) / seconds;
        let values = vec![
            memory.rss / 1024.0,
            memory.anonymous / 1024.0,
            memory.proportional / 1024.0,
            after.threads,
            cpu,
            wakeups,
        ];
        rows.push((name.clone(), values));
    }
    let columns = ["RSS MiB", "anonymous MiB", "PSS MiB", "threads", "CPU %", "wake-ups/s"];
    report.values(&format!("idle, over {} s", idle.as_secs()), &columns, &rows);
    report.note(format!(
        "Salve's policies each subscribe to the metrics of CPU, memory, load and file systems at 1 s and to one of its \
         {SERVICES} services; Monit looks at {SERVICES} processes each second; runit waits for the exits of {SERVICES}, and \
         is the sum of runsvdir and its runsv. RSS counts pages of a file twice that two processes share, PSS shares them out."
    ));
    Ok(())
}

/// Looks at the host and at one service, and finds nothing wrong.
fn policy(service: &str) -> String {
    format!(
        r#"plugin = "bench-readings"
mode = "auto"
[config]
threshold = 1e300
metrics = ["system.cpu.*", "system.memory.*", "system.filesystem.*"]
services = ["{service}"]
"#
    )
}

fn answer(services: &Services) -> Result<()> {
    services.sockets().iter().try_for_each(|socket| Service::found(socket).map(drop))
}

/// What processes have done until now.
#[derive(Default)]
struct Activity {
    cpu_s: f64,
    wakeups: f64,
    threads: f64,
}

fn activities(contenders: &[(String, Vec<Pid>)]) -> Result<Vec<Activity>> {
    contenders.iter().map(|(name, pids)| total(pids, activity).with_context(|| format!("{name} has ended"))).collect()
}

impl std::iter::Sum for Activity {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            cpu_s: sum.cpu_s + one.cpu_s,
            wakeups: sum.wakeups + one.wakeups,
            threads: sum.threads + one.threads,
        })
    }
}

/// Of all threads of a process: nanoseconds on a core, which `stat` would round to 10 ms, and how often each went to
/// sleep by itself, which is about how often it was woken.
fn activity(pid: Pid) -> Option<Activity> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten();
    let task = |task: fs::DirEntry| {
        let times = fs::read_to_string(task.path().join("schedstat")).ok()?;
        let on_core: f64 = times.split_whitespace().next()?.parse().ok()?;
        let status = fs::read_to_string(task.path().join("status")).ok()?;
        Some(Activity { cpu_s: on_core / 1e9, wakeups: field(&status, "voluntary_ctxt_switches:")?, threads: 1.0 })
    };
    Some(tasks.filter_map(task).sum())
}

/// In KiB.
#[derive(Default)]
struct Memory {
    rss: f64,
    anonymous: f64,
    proportional: f64,
}

impl std::iter::Sum for Memory {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            rss: sum.rss + one.rss,
            anonymous: sum.anonymous + one.anonymous,
            proportional: sum.proportional + one.proportional,
        })
    }
}

fn memory(pid: Pid) -> Option<Memory> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    Some(Memory {
        rss: field(&rollup, "Rss:")?,
        anonymous: field(&rollup, "Anonymous:")?,
        proportional: field(&rollup, "Pss:")?,
    })
}

/// Of all processes; none if one of them is gone.
fn total<T: std::iter::Sum>(pids: &[Pid], look: impl Fn(Pid) -> Option<T>) -> Option<T> {
    pids.iter().map(|pid| look(*pid)).collect::<Option<Vec<T>>>().map(|all| all.into_iter().sum())
}

/// The number behind a word at the beginning of a line.
fn field(text: &str, key: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse().ok()
}

fn children(pid: Pid) -> Vec<Pid> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let numbers = list.split_whitespace().filter_map(|number| number.parse().ok());
    numbers.filter_map(Pid::from_raw).collect()
}
