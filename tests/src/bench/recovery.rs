//! How long a service is away: from `kill -9` until its next process answers.
//!
//! Every contender looks after a service of its own, all at the same time; they are tried in turns, in an order that
//! rotates. Every kill comes when the service has been up for more than a second, and after a rest in which caches go
//! cold for everybody: without it systemd took 6 ms right after it had started another unit, and 15 ms otherwise. The rest
//! is as long as chance will have it: whoever looks once a second must neither gain nor lose by the moment.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use rustix::process::Signal;
use salve::incident::State;
use salve::incident::ledger::Ledger;
use salve_tests::agent::Agent;
use salve_tests::lab::{self, Host};
use salve_tests::reaper::Reaper;

use super::Setting;
use super::peers::{Services, is_installed};
use super::report::{Limit, Report, Row, median};
use super::service::{Recovery, Service, signal};

const SERVER: &str = include_str!("server.c");

const FLOOR: &str = "nobody in between";
const COMMAND: &str = "Salve (command)";
const RUNIT: &str = "runit";
const MONIT: &str = "Monit";
const UNIT: &str = "Salve (unit)";
const SYSTEMD: &str = "systemd";

/// As they are shown.
const ORDER: [&str; 6] = [FLOOR, COMMAND, RUNIT, MONIT, UNIT, SYSTEMD];

/// The units of the host: both die in the same way, but only one has systemd bring it back.
const UNIT_SALVE: &str = "bench-salve.service";
const UNIT_SYSTEMD: &str = "bench-systemd.service";

/// Somebody who brings a service back.
struct Contender {
    name: &'static str,
    service: Service,
    recoveries: Vec<Recovery>,
}

impl Contender {
    fn new(name: &'static str, socket: &Path) -> Result<Self> {
        let service = Service::found(socket).context(name)?;
        Ok(Self { name, service, recoveries: Vec::new() })
    }

    fn milliseconds(&self) -> Vec<f64> {
        self.recoveries.iter().map(|recovery| recovery.took.as_secs_f64() * 1e3).collect()
    }
}

pub(super) fn run(setting: &Setting, report: &mut Report) -> Result<()> {
    let rounds = if setting.quick { 5 } else { 25 };
    let server = setting.layout.compile("server", SERVER)?;
    let (salve, plugin) = (setting.layout.salve()?, setting.layout.plugin("service-restart")?);

    // Dropped last: it ends what the others leave.
    let _reaper = Reaper::start()?;
    let room = tempfile::tempdir()?;
    let services = |name: &str| Services::new(room.path().join(name), &server, 1);
    let first = |services: &Services| services.sockets().into_iter().next().context("no service");
    let mut contenders = Vec::new();

    let floor = services("floor")?;
    let _floor = Floor::start(&server, &first(&floor)?);
    contenders.push(Contender::new(FLOOR, &first(&floor)?)?);

    let command = services("salve")?;
    let builder = command.salve(&salve).tables(HOST).plugin(&plugin).policy("bench.toml", &policy("s0"));
    let mut command_agent = builder.start()?;
    contenders.push(Contender::new(COMMAND, &first(&command)?)?);

    let mut peers = Vec::new();
    for (name, program) in [(RUNIT, "runsvdir"), (MONIT, "monit")] {
        if is_installed(program) {
            let services = services(name)?;
            peers.push(match name {
                RUNIT => services.runit()?,
                _ => services.monit()?,
            });
            contenders.push(Contender::new(name, &first(&services)?)?);
        } else {
            report.note(format!("{name} is not installed: left out"));
        }
    }

    let mut unit_agent = None;
    match lab::available() {
        Ok(()) => {
            let host = Host::boot("bench")?;
            let sockets = start_units(&host, &server)?;
            let builder = Agent::builder().inside(&host).program(&salve);
            let builder = builder.tables(HOST).plugin(&plugin);
            let agent = builder.policy("bench.toml", &policy(UNIT_SALVE)).start()?;
            for (name, socket) in [UNIT, SYSTEMD].into_iter().zip(&sockets) {
                contenders.push(Contender::new(name, socket)?);
            }
            unit_agent = Some(agent);
        }
        Err(missing) => report.note(format!("{UNIT} and {SYSTEMD} left out: {missing}")),
    }

    println!("{rounds} rounds of {} contenders", contenders.len());
    for _ in 0..rounds {
        for contender in &mut contenders {
            let recovery = contender.service.kill(rest()).context(contender.name)?;
            contender.recoveries.push(recovery);
        }
        contenders.rotate_left(1);
    }
    contenders.sort_by_key(|contender| ORDER.iter().position(|name| *name == contender.name));

    let samples: Vec<(&str, Vec<f64>)> = contenders.iter().map(|it| (it.name, it.milliseconds())).collect();
    let rows: Vec<Row<'_>> = samples.iter().map(|(name, samples)| Row { name, samples }).collect();
    let title = "kill -9 until the next process answers";
    report.samples(title, "ms", &rows, &[RUNIT, SYSTEMD, MONIT]);
    let of = |name: &str| samples.iter().find(|(it, _)| *it == name).and_then(|(_, it)| median(it));
    let ratio = |one: &str, other: &str| Some(of(one)? / of(other)?);
    let goal = ratio(COMMAND, RUNIT);
    report.goal("Salve (command) <= 2.0x runit", goal, Limit::AtMost(2.0));
    let goal = ratio(UNIT, SYSTEMD);
    report.goal("Salve (unit) <= 1.7x systemd's own restart", goal, Limit::AtMost(1.7));
    let goal = ratio(MONIT, COMMAND);
    report.goal("Salve (command) >= 20x faster than Monit", goal, Limit::AtLeast(20.0));
    report.note(format!(
        "All services had been up for more than 1 s. \"{FLOOR}\" is a parent that waits for its child and starts it \
         again: what killing, starting and connecting cost by themselves."
    ));

    for (name, agent) in [(COMMAND, Some(&mut command_agent)), (UNIT, unit_agent.as_mut())] {
        let contender = contenders.iter().find(|contender| contender.name == name);
        if let Some((agent, contender)) = agent.zip(contender) {
            agent.stop();
            break_down(&agent.home().state(), contender, report)?;
        }
    }
    Ok(())
}

/// How long to rest before a trial, by chance.
pub(super) fn rest() -> Duration {
    // The keys of a hasher are the random numbers of the standard library.
    let chance = RandomState::new().hash_one(0) as f64 / u64::MAX as f64;
    Duration::from_secs_f64(0.2 + 0.7 * chance)
}

/// Every guard of the host, configured so that none of them holds a healing back: what is measured passes them all.
pub(super) const HOST: &str = r#"[agent]
max-plans = 10
budget = "10000/1m"
budget-per-target = "10000/1m"
breaker = { incidents = 100000, actions = 100000, within = "10m" }

[maintenance.over]
start = "2020-01-01T00:00:00Z"
end = "2020-01-02T00:00:00Z"
"#;

/// What an operator would write who wants it back as fast as can be.
pub(super) fn policy(service: &str) -> String {
    format!(
        r#"plugin = "service-restart"
mode = "auto"
[config]
services = ["{service}"]
settle = "0s"
[grant]
actions = ["service.restart:{service}", "service.start:{service}", "service.reset-failed:{service}"]
[guard]
attempts = 3
cooldown = "0s"
backoff = {{ initial = "0s" }}
budget = "10000/1m"
budget-per-target = "10000/1m"
flapping = {{ start = 1.0, stop = 1.0 }}
"#
    )
}

/// Starts both units and says where they answer.
fn start_units(host: &Host, server: &Path) -> Result<[PathBuf; 2]> {
    let copy = host.dir().join("server");
    let server = if host.sees(server) {
        server
    } else {
        fs::copy(server, &copy)?;
        &copy
    };
    let units = [(UNIT_SALVE, ""), (UNIT_SYSTEMD, "Restart=always\nRestartSec=0\n")];
    let sockets = units.map(|(unit, _)| host.dir().join(unit).with_extension("sock"));
    for ((unit, restart), socket) in units.into_iter().zip(&sockets) {
        let (server, socket) = (server.display(), socket.display());
        let text = format!("[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart={server} {socket}\n{restart}");
        host.write(format!("/etc/systemd/system/{unit}"), text)?;
    }
    host.run(&["systemctl", "daemon-reload"])?;
    host.run(&["systemctl", "start", UNIT_SALVE, UNIT_SYSTEMD])?;
    Ok(sockets)
}

/// Where the time went in each of the contender's recoveries, by what the ledger says. It is read by the library, because
/// `salve incident show` says no more than milliseconds.
fn break_down(state: &Path, contender: &Contender, report: &mut Report) -> Result<()> {
    let reader = Ledger::open(state)?.reader()?;
    let incidents = reader.list(false, 10_000)?;
    let nanos = |at: SystemTime| at.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as f64;
    let mut steps: [(&str, Vec<f64>); 7] = [
        ("kill -> detected", Vec::new()),
        ("detected -> diagnosed", Vec::new()),
        ("diagnosed -> recovering", Vec::new()),
        ("recovering -> answers", Vec::new()),
        ("  of which the action itself", Vec::new()),
        ("(recovering -> verifying)", Vec::new()),
        ("(verifying -> resolved)", Vec::new()),
    ];
    for recovery in &contender.recoveries {
        let killed = nanos(recovery.killed);
        let answers = killed + recovery.took.as_nanos() as f64;
        let opened =
            incidents.iter().find(|incident| (killed..answers).contains(&(incident.opened_at.as_nanos() as f64)));
        let Some(incident) = opened else { continue };
        let transitions = reader.transitions(&incident.id)?;
        let at = |state: State| {
            let first = transitions.iter().find(|transition| transition.to == state);
            first.map(|transition| transition.at.as_nanos() as f64)
        };
        let (detected, diagnosed) = (at(State::Detected), at(State::Diagnosed));
        let (recovering, verifying) = (at(State::Recovering), at(State::Verifying));
        let acting = incident.attempts.first().and_then(|attempt| attempt.outcomes.first());
        let pairs = [
            (Some(killed), detected),
            (detected, diagnosed),
            (diagnosed, recovering),
            (recovering, Some(answers)),
            (Some(0.0), acting.map(|outcome| outcome.took.as_nanos() as f64)),
            (recovering, verifying),
            (verifying, at(State::Resolved)),
        ];
        for ((_, samples), (from, to)) in steps.iter_mut().zip(pairs) {
            samples.extend(from.zip(to).map(|(from, to)| (to - from) / 1e6));
        }
    }
    let rows: Vec<Row<'_>> = steps.iter().map(|(name, samples)| Row { name, samples }).collect();
    let title = format!("where the time goes: {}", contender.name);
    report.samples(&title, "ms", &rows, &[]);
    Ok(())
}

/// The least there can be: a thread that waits for the service and starts it again.
struct Floor {
    socket: PathBuf,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Floor {
    fn start(server: &Path, socket: &Path) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let (server, path, is_over) = (server.to_owned(), socket.to_owned(), ended.clone());
        let thread = thread::spawn(move || {
            while !is_over.load(Ordering::Acquire) {
                // If it cannot be started, nobody answers, which is what is then reported.
                let Ok(mut child) = Command::new(&server).arg(&path).spawn() else {
                    break;
                };
                let _ = child.wait();
            }
        });
        Self { socket: socket.to_owned(), ended, thread: Some(thread) }
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        let _ = signal(&self.socket, Signal::KILL); // It may not run.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
