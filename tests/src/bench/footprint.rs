//! What healers take that have nothing to heal: memory, CPU, and how often they wake up.
//!
//! Each looks after services of its own (`server.c`), whose memory is not counted, beside its peers of the same size.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Pid;
use salve_tests::agent::{Agent, Builder};
use salve_tests::reaper::Reaper;
use salve_tests::wait;

use super::Setting;
use super::peers::{Services, is_installed};
use super::report::{Limit, Report};
use super::service::Service;
use super::usage::{self, COLUMNS, Usage};
use super::variant;

const SERVER: &str = include_str!("server.c");

/// How many services, each with a policy or a check of its own; for each the most megabytes that Salve's RSS is to have, and
/// its anonymous memory.
const SIZES: [(usize, f64, Option<f64>); 3] = [(10, 10.0, Some(3.0)), (100, 25.0, None), (1000, 200.0, None)];

/// Plugins that differ, when what one more costs is looked at.
const PLUGINS: usize = 50;

/// Of the hundred checks: services, those that are asked on their socket too, and logs.
const CHECKED: usize = 50;
const PROBES: usize = 20;
const LOGS: usize = 10;

/// How long a thousand instances may take to be there.
const RUNNING: Duration = Duration::from_secs(120);

pub(super) fn run(setting: &Setting, report: &mut Report) -> Result<()> {
    let idle = Duration::from_secs(if setting.quick { 10 } else { 60 });
    let server = setting.layout.compile("server", SERVER)?;
    let room = tempfile::tempdir()?;

    let mut rows = Vec::new();
    for (count, most, anonymous) in SIZES {
        let measured = size(setting, room.path(), &server, count, idle)?;
        let own = measured.get(usize::from(count == 10)).map(|(_, usage)| usage.memory);
        goals(report, count, own.map(|it| (it.rss, it.anonymous)), most, anonymous);
        rows.extend(measured);
    }
    table(report, &format!("nothing to heal, over {} s", idle.as_secs()), &rows);
    report.note(
        "Salve has a policy of service-restart for each service; Monit looks at each process once a second; runit waits for \
         exits, and is the sum of runsvdir and its runsv. PSS shares out the pages of a file that several processes have \
         mapped. 1 MB is 10^6 bytes, 1 MiB is 2^20.",
    );
    each(setting, room.path(), &server, report)?;
    hundred(setting, room.path(), &server, idle, report)
}

fn table(report: &mut Report, title: &str, rows: &[(String, Usage)]) {
    let rows: Vec<(String, Vec<f64>)> = rows.iter().map(|(name, usage)| (name.clone(), usage.values())).collect();
    report.values(title, &COLUMNS, &rows);
}

fn goals(report: &mut Report, count: usize, own: Option<(f64, f64)>, most: f64, anonymous: Option<f64>) {
    let megabytes = |kib: f64| kib * 1024.0 / 1e6;
    let rss = own.map(|(rss, _)| megabytes(rss));
    report.goal(&format!("RSS with {count} policies < {most} MB"), rss, Limit::AtMost(most));
    if let Some(most) = anonymous {
        let own = own.map(|(_, anonymous)| megabytes(anonymous));
        report.goal(&format!("anonymous memory with {count} policies < {most} MB"), own, Limit::AtMost(most));
    }
}

/// Salve and its peers, each with so many services; with ten also an agent without any, and runit.
fn size(setting: &Setting, room: &Path, server: &Path, count: usize, idle: Duration) -> Result<Vec<(String, Usage)>> {
    // Dropped last: it ends what the others leave.
    let _reaper = Reaper::start()?;
    let salve = setting.layout.salve()?;
    let services = |name: &str, count| Services::new(room.join(format!("{name}-{count}")), server, count);
    let (mut agents, mut peers, mut contenders) = (Vec::new(), Vec::new(), Vec::new());
    if count == 10 {
        let empty = services("salve", 0)?.salve(&salve).start()?;
        contenders.push(("Salve, without a policy".to_owned(), vec![empty.pid()]));
        agents.push(empty);
    }
    let own = services("salve", count)?;
    let plugin = setting.layout.plugin("service-restart")?;
    let mut builder = own.salve(&salve).tables(EACH_SECOND).plugin(&plugin);
    for name in own.names() {
        builder = builder.policy(&format!("{name}.toml"), &policy("service-restart", &name));
    }
    let agent = running(builder, count)?;
    answer(&own)?;
    contenders.push((format!("Salve, {count} policies"), vec![agent.pid()]));
    agents.push(agent);
    for (name, program) in [("Monit", "monit"), ("runit", "runsvdir")] {
        if !is_installed(program) || program == "runsvdir" && count != 10 {
            continue;
        }
        let services = services(name, count)?;
        let process = if program == "monit" {
            services.begin_for_monit()?;
            services.monit()?
        } else {
            services.runit()?
        };
        answer(&services)?;
        let mut pids = vec![process.pid()];
        if program == "runsvdir" {
            pids.extend(children(process.pid()));
        }
        contenders.push((format!("{name}, {count} checks"), pids));
        peers.push(process);
    }
    usage::watch(&contenders, idle)
}

const EACH_SECOND: &str = "[collect]\ninterval = \"1s\"\n";

fn policy(plugin: &str, service: &str) -> String {
    format!("plugin = \"{plugin}\"\nmode = \"auto\"\n[config]\nservices = [\"{service}\"]\n")
}

/// An agent that runs so many instances.
fn running(builder: Builder, count: usize) -> Result<Agent> {
    let agent = builder.start()?;
    wait::attempt(RUNNING, || (log_of_starts(&agent) >= count).then_some(()))
        .with_context(|| format!("{} of {count} instances run\n{}", log_of_starts(&agent), agent.log()))?;
    Ok(agent)
}

/// How many instances it says it has started.
fn log_of_starts(agent: &Agent) -> usize {
    agent.log().matches(": running policy=").count()
}

/// What one policy more costs, and one plugin more with its policy: memory, and the time of a start from the cache.
fn each(setting: &Setting, room: &Path, server: &Path, report: &mut Report) -> Result<()> {
    let plugin = setting.layout.plugin("service-restart")?;
    let code = fs::read(&plugin)?;
    let files = room.join("plugins");
    fs::create_dir(&files)?;
    let mut variants = Vec::new();
    for number in 0..PLUGINS + 1 {
        let file = files.join(format!("p{number}.wasm"));
        fs::write(&file, variant::of(&code, number))?;
        variants.push(file);
    }
    let rounds = if setting.quick { 3 } else { 7 };
    let mut rows = Vec::new();
    for (name, plugins, policies) in [
        ("one plugin, one policy", 1, 1),
        ("one plugin", 1, PLUGINS + 1),
        ("as many plugins", PLUGINS + 1, PLUGINS + 1),
    ] {
        let own = Services::new(room.join(format!("each-{plugins}-{policies}")), server, 1)?;
        let mut builder = own.salve(&setting.layout.salve()?);
        for file in variants.iter().take(plugins) {
            builder = builder.plugin(file);
        }
        for number in 0..policies {
            let plugin = if plugins == 1 { "p0".to_owned() } else { format!("p{number}") };
            builder = builder.policy(&format!("{number}.toml"), &policy(&plugin, "s0"));
        }
        let mut agent = running(builder, policies)?;
        let mut starts = Vec::new();
        for _ in 0..rounds {
            agent.stop();
            let before = log_of_starts(&agent);
            let begun = std::time::Instant::now();
            agent.start()?;
            wait::attempt(RUNNING, || (log_of_starts(&agent) >= before + policies).then_some(()))
                .context("it does not come up again")?;
            starts.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        let measured = usage::watch(&[(name.to_owned(), vec![agent.pid()])], Duration::from_secs(2))?;
        let memory = measured.first().context("nothing was measured")?.1.memory;
        rows.push((name, policies, memory, super::report::median(&starts).unwrap_or_default()));
    }
    let [(.., alone, alone_start), (_, count, policies, policies_start), (_, _, plugins, plugins_start)] =
        rows.as_slice()
    else {
        return Ok(());
    };
    let more = (count - 1) as f64;
    let step = |to: &usage::Memory, from: &usage::Memory, start: f64| {
        vec![(to.rss - from.rss) / more, (to.anonymous - from.anonymous) / more, start / more]
    };
    report.values(
        &format!("what one more costs, of {PLUGINS}"),
        &["RSS KiB", "anonymous KiB", "start ms"],
        &[
            ("a policy".to_owned(), step(policies, alone, policies_start - alone_start)),
            ("a plugin, besides its policy".to_owned(), step(plugins, policies, plugins_start - policies_start)),
        ],
    );
    report.values(
        "a start from the cache, until all run",
        &["ms", "RSS MiB", "anonymous MiB"],
        &rows
            .iter()
            .map(|(name, count, memory, start)| {
                (format!("{name}, {count} policies"), vec![*start, memory.rss / 1024.0, memory.anonymous / 1024.0])
            })
            .collect::<Vec<_>>(),
    );
    report.note(format!(
        "The plugins are service-restart ({} KB) with another custom section each: other bytes, compiled and mapped by \
         themselves. A start is seen in the agent's log, every 5 ms.",
        code.len() / 1000
    ));
    Ok(())
}

/// A hundred checks each second: 50 services, of which 20 are asked whether they answer, 10 logs and 20 series.
fn hundred(setting: &Setting, room: &Path, server: &Path, idle: Duration, report: &mut Report) -> Result<()> {
    // Dropped last: it ends what the others leave.
    let _reaper = Reaper::start()?;
    let services = |name: &str| Services::new(room.join(name), server, CHECKED);
    let logs: Vec<PathBuf> = (0..LOGS).map(|number| room.join(format!("{number}.log"))).collect();
    logs.iter().try_for_each(|log| fs::write(log, "a line\n"))?;

    let own = services("salve-hundred")?;
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
    let other = services("monit-hundred")?;
    let monit = match is_installed("monit") {
        true => Some(other.monit_with(PROBES, &logs)?),
        false => None,
    };
    if let Some(monit) = &monit {
        answer(&other)?;
        contenders.push(("Monit, 100 checks".to_owned(), vec![monit.pid()]));
    }
    let rows = usage::watch(&contenders, idle)?;
    table(report, &format!("a hundred checks at 1 s, over {} s", idle.as_secs()), &rows);
    let cpu = |row: usize| rows.get(row).map(|(_, usage)| usage.cpu);
    report.goal("CPU < half of Monit's", cpu(0).zip(cpu(1)).map(|(own, monit)| own / monit), Limit::AtMost(0.5));
    report.note("A hundred: 50 services, of which 20 are asked on their socket as well, 10 log files for a pattern, and 20 series of CPU, memory and load.");
    Ok(())
}

fn answer(services: &Services) -> Result<()> {
    services.sockets().iter().try_for_each(|socket| Service::found(socket).map(drop))
}

fn children(pid: Pid) -> Vec<Pid> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let numbers = list.split_whitespace().filter_map(|number| number.parse().ok());
    numbers.filter_map(Pid::from_raw).collect()
}
