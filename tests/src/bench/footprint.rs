//! What healers take that have nothing to heal: memory, CPU, and how often they wake up.
//!
//! Each looks after ten services of its own (`server.c`), whose memory is not counted, all at the same time.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::Pid;
use salve_tests::reaper::Reaper;
use salve_tests::wait;

use super::Setting;
use super::peers::{Services, is_installed};
use super::report::{Limit, Report};
use super::service::Service;

const SERVER: &str = include_str!("server.c");
const SERVICES: usize = 10;

/// Of the hundred checks: services, those that are asked on their socket too, and logs.
const CHECKED: usize = 50;
const PROBES: usize = 20;
const LOGS: usize = 10;

/// How long everybody may take to come to rest.
const WARM_UP: Duration = Duration::from_secs(5);

/// How often their threads are looked at: a thread that tokio does not need any more lives for ten seconds.
const SAMPLE: Duration = Duration::from_secs(1);

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

    let rows = watch(&contenders, idle)?;
    report.values(&format!("idle, over {} s", idle.as_secs()), &COLUMNS, &rows);
    report.note(format!(
        "Salve's policies each subscribe to the metrics of CPU, memory and file systems at 1 s and to one of its \
         {SERVICES} services; Monit looks at {SERVICES} processes each second; runit waits for the exits of {SERVICES}, and \
         is the sum of runsvdir and its runsv. PSS shares out the pages of a file that several processes have mapped, as the two agents here have."
    ));
    drop((empty, full, peers));
    hundred(setting, room.path(), &server, idle, report)
}

/// A hundred checks each second: 50 services, of which 20 are asked whether they answer, 10 logs and 20 series.
fn hundred(setting: &Setting, room: &Path, server: &Path, idle: Duration, report: &mut Report) -> Result<()> {
    let services = |name: &str| Services::new(room.join(name), server, CHECKED);
    let logs: Vec<PathBuf> = (0..LOGS).map(|number| room.join(format!("{number}.log"))).collect();
    logs.iter().try_for_each(|log| fs::write(log, "a line\n"))?;

    let own = services("salve-100")?;
    let mut tables = "[collect]\ninterval = \"1s\"\n".to_owned();
    let (mut probes, mut classes) = (String::new(), String::new());
    for (name, socket) in own.names().iter().zip(own.sockets()).take(PROBES) {
        tables += &format!("[probes.{name}]\nunix = {socket:?}\ninterval = \"1s\"\n");
        probes += &format!("[config.probes.{name}]\nservice = \"{name}\"\n");
    }
    for (number, log) in logs.iter().enumerate() {
        tables += &format!("[logs.l{number}]\npath = {log:?}\n");
        classes += &format!("[config.class.c{number}]\nsource = \"l{number}\"\npattern = \"ERROR\"\n");
    }
    let names: Vec<String> = own.names().iter().map(|name| format!("\"{name}\"")).collect();
    let agent = own
        .salve(&setting.layout.salve()?)
        .plugin(setting.layout.plugin("service-restart")?)
        .plugin(setting.layout.plugin("unhealthy-service")?)
        .plugin(setting.layout.plugin("log-sentinel")?)
        .plugin(setting.layout.guest("bench-readings")?)
        .policy("up.toml", &format!("plugin = \"service-restart\"\n[config]\nservices = [{}]\n", names.join(", ")))
        .policy("answers.toml", &format!("plugin = \"unhealthy-service\"\n{probes}"))
        .policy("logs.toml", &format!("plugin = \"log-sentinel\"\n{classes}"))
        .policy("series.toml", "plugin = \"bench-readings\"\n[config]\nthreshold = 1e300\nmetrics = [\"system.cpu.*\", \"system.memory.*\"]\n")
        .tables(&tables)
        .start()?;
    answer(&own)?;
    let mut contenders = vec![("Salve, 100 checks".to_owned(), vec![agent.pid()])];
    let other = services("monit-100")?;
    let monit = match is_installed("monit") {
        true => Some(other.monit_with(PROBES, &logs)?),
        false => None,
    };
    if let Some(monit) = &monit {
        answer(&other)?;
        contenders.push(("Monit, 100 checks".to_owned(), vec![monit.pid()]));
    }
    let rows = watch(&contenders, idle)?;
    report.values(&format!("a hundred checks at 1 s, over {} s", idle.as_secs()), &COLUMNS, &rows);
    let cpu = |row: usize| rows.get(row).and_then(|(_, values)| values.get(CPU)).copied();
    report.goal("CPU < half of Monit's", cpu(0).zip(cpu(1)).map(|(own, monit)| own / monit), Limit::AtMost(0.5));
    report.note("A hundred: 50 services, of which 20 are asked on their socket as well, 10 log files for a pattern, and 20 series of CPU, memory and load.");
    Ok(())
}

const COLUMNS: [&str; 6] = ["RSS MiB", "anonymous MiB", "PSS MiB", "threads", "CPU %", "wake-ups/s"];
/// Which of them is the CPU.
const CPU: usize = 4;

/// What each takes while it has nothing to do.
fn watch(contenders: &[(String, Vec<Pid>)], idle: Duration) -> Result<Vec<(String, Vec<f64>)>> {
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
        let memory: Option<Vec<Memory>> = pids.iter().map(|pid| memory(*pid)).collect();
        let memory = memory.with_context(|| format!("{name} has ended"))?;
        let sum = |part: fn(&Memory) -> f64| memory.iter().map(part).sum::<f64>() / 1024.0;
        let values = vec![
            sum(|memory| memory.rss),
            sum(|memory| memory.anonymous),
            sum(|memory| memory.proportional),
            threads.known.len() as f64,
            threads.done.on_core / seconds * 100.0,
            threads.done.wakeups / seconds,
        ];
        rows.push((name.clone(), values));
    }
    Ok(rows)
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
struct Memory {
    rss: f64,
    anonymous: f64,
    proportional: f64,
}

fn memory(pid: Pid) -> Option<Memory> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    Some(Memory {
        rss: field(&rollup, "Rss:")?,
        anonymous: field(&rollup, "Anonymous:")?,
        proportional: field(&rollup, "Pss:")?,
    })
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
