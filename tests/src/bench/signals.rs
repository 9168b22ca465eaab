//! What collectors cost, and how soon they tell: from a cause to the mailbox of the instance that wants to know, log lines
//! through the filter beside `grep`, and 5,000 processes beside a full refresh of sysinfo.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::hint::black_box;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use regex::Regex;
use salve::clock::{Clock, SystemClock, Timestamp};
use salve::config::Settings;
use salve::service::{Services, StatusTable, Verb};
use salve::signal::collector::log::{self, Filter, Places};
use salve::signal::collector::process::{Births, Reader};
use salve::signal::collector::{Context, Health, exit, service};
use salve::signal::{Attribute, Demand, Event, Mailbox, Router, Selector, Subscription};
use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, RefreshKind, System};

use super::Setting;
use super::pressure;
use super::report::{Limit, Report, Row, median};

const EXIT: &str = "a process's exit";
const SERVICE: &str = "a service's death (`command` manager)";
const LINE: &str = "a log line";
const PRESSURE: &str = "pressure, after a bare poll of the kernel's trigger";
/// Long enough for everything that a cause sets off to be over.
const REST: Duration = Duration::from_millis(60);
const DEADLINE: Duration = Duration::from_secs(10);

const PATTERN: &str = r"(?i)\berror\b.*(timeout|refused)";
const CHUNK: usize = 256 << 10;
/// Other faults that are looked for in the same log, and that are not in it.
const OTHERS: [&str; 15] = [
    "OutOfMemoryError",
    r"^\S+ FATAL",
    r"panic(ked)? at",
    "(?i)no space left on device",
    "(?i)too many open files",
    r"segfault at [0-9a-f]+",
    r"\bdeadlock (detected|found)\b",
    "(?i)certificate (has )?expired",
    r"replication lag of \d{3,} s",
    "(?i)permission denied",
    r"checksum mismatch in block \d+",
    "(?i)remaining connection slots are reserved",
    r"worker \d+ (died|exited) unexpectedly",
    r"HTTP/1\.[01]. 50[0-4] ",
    "(?i)disk quota exceeded",
];
/// How many of them beside the one that is found.
const FILTERS: [(&str, usize); 3] =
    [("Salve's filter, 1 expression", 0), ("Salve's filter, 4 expressions", 3), ("Salve's filter, 16 expressions", 15)];
const GREP: &str = "grep -cE, 1 expression, its process included";

pub(super) fn run(setting: &Setting, report: &mut Report) -> Result<()> {
    latency(setting, report)?;
    lines(setting, report)?;
    processes(setting, report)?;
    flood(report)
}

/// From a cause until an instance's mailbox rings.
fn latency(setting: &Setting, report: &mut Report) -> Result<()> {
    let rounds = if setting.quick { 20 } else { 100 };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let samples = runtime.block_on(causes(rounds))?;
    let rows: Vec<Row<'_>> = samples.iter().map(|(name, samples)| Row { name, samples }).collect();
    report.samples("from the cause until the plugin's mailbox rings", "ms", &rows, &[]);
    let of = |name| samples.iter().find(|(it, _)| *it == name).and_then(|(_, samples)| median(samples));
    report.goal("exit < 5 ms", of(EXIT), Limit::AtMost(5.0));
    report.goal("service < 5 ms", of(SERVICE), Limit::AtMost(5.0));
    report.goal("log line < 10 ms", of(LINE), Limit::AtMost(10.0));
    report.goal("pressure < 5 ms", of(PRESSURE), Limit::AtMost(5.0));
    report.note("A call of `detect` comes on top: see `dispatch`. A trigger of pressure tells when the kernel looks, each tenth of its window.");
    Ok(())
}

async fn causes(rounds: usize) -> Result<Vec<(&'static str, Vec<f64>)>> {
    let room = tempfile::tempdir()?;
    let path = room.path().join("app.log");
    let mut written = OpenOptions::new().create(true).append(true).open(&path)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let router = Arc::new(Router::new());
    let context = Context {
        router: router.clone(),
        clock: clock.clone(),
        health: Arc::new(Health::new(clock.clone())),
        root: "/".into(),
        interval: Duration::from_secs(1),
    };
    let text =
        format!("[logs.app]\npath = {path:?}\n[services.demo]\nmanager = \"command\"\nstart = [\"sleep\", \"1000\"]\n");
    let settings = Settings::parse(&room.path().join("salve.toml"), &text)?;
    let table = Arc::new(StatusTable::default());
    let report = service::report_to(router.clone(), table, clock);
    let services = Services::new(room.path(), settings.services, report);
    let (under_pressure, of_pressure) = (context.clone(), if rounds < 100 { 5 } else { 20 });
    tokio::spawn(exit::run(context.clone(), Arc::new(Births::default())));
    let places = Arc::new(Places::open(room.path()));
    tokio::spawn(async move { log::run(context, settings.logs, places, "journalctl").await });

    let listen = |name: &'static str, event: &str, key: &str, value: &str| {
        let mailbox = Arc::new(Mailbox::default());
        let selector = Selector::new(event, vec![Attribute::new(key, value)]);
        let subscription = Subscription { events: vec![selector], ..Subscription::default() };
        router.subscribe(name.into(), subscription, mailbox.clone());
        mailbox
    };
    let exits = listen(EXIT, "process.exit", "process.executable.name", "sleep");
    let states = listen(SERVICE, "service.state", "subject", "demo");
    let records = listen(LINE, "log.record", "subject", "app");
    let mut samples = [EXIT, SERVICE, LINE].map(|name| (name, Vec::new()));
    let [exit, service, line] = &mut samples;
    for _ in 0..rounds {
        let mut child = Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn()?;
        rest().await;
        exit.1.push(rung(&exits, || Ok(child.kill()?)).await?);
        child.wait()?;

        let pid = services.act(Verb::Start, "demo").await?.after.main_pid.context("no process")?;
        rest().await;
        let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).context("no process")?;
        service.1.push(rung(&states, || Ok(rustix::process::kill_process(pid, rustix::process::Signal::KILL)?)).await?);
        rest().await;

        line.1.push(rung(&records, || Ok(writeln!(written, "one more line")?)).await?);
    }
    let mut samples = Vec::from(samples);
    match pressure::delays(under_pressure, of_pressure).await {
        Ok(delays) => samples.push((PRESSURE, delays)),
        Err(error) => println!("pressure was not measured: {error:#}"),
    }
    Ok(samples)
}

async fn rest() {
    tokio::time::sleep(REST).await;
}

/// How long after the cause the mailbox has news, in milliseconds.
async fn rung(mailbox: &Mailbox, cause: impl FnOnce() -> Result<()>) -> Result<f64> {
    // What came before is not what is waited for, and neither is its ring.
    mailbox.take(Timestamp::default());
    let start = Instant::now();
    cause()?;
    loop {
        tokio::time::timeout(DEADLINE, mailbox.ring()).await.context("nothing was told")?;
        let took = start.elapsed().as_secs_f64() * 1e3;
        if mailbox.take(Timestamp::default()).is_some_and(|batch| !batch.events.is_empty()) {
            return Ok(took);
        }
    }
}

/// Log lines a second through the host's filter, beside `grep`.
fn lines(setting: &Setting, report: &mut Report) -> Result<()> {
    let (count, rounds) = if setting.quick { (200_000_u32, 3) } else { (2_000_000, 7) };
    let path = setting.layout.results().join("lines.log");
    fs::create_dir_all(setting.layout.results())?;
    let expected = write_log(&path, count)?;
    let text = fs::read(&path)?;
    let mut filters = FILTERS.map(|(name, others)| (name, others, Vec::new()));
    let mut grep = Vec::new();
    for _ in 0..rounds {
        for (name, others, samples) in &mut filters {
            let found = OTHERS.iter().take(*others).chain([&PATTERN]).map(|pattern| Regex::new(pattern));
            let mut filter = Filter::new(found.collect::<Result<Vec<_>, _>>()?);
            let start = Instant::now();
            let found = scan(&mut filter, &text);
            samples.push(f64::from(count) / start.elapsed().as_secs_f64() / 1e6);
            ensure!(found == expected, "{name}: {found} lines found instead of {expected}");
        }
        let start = Instant::now();
        let output = Command::new("grep")
            .args(["-ciE", r"\berror\b.*(timeout|refused)"])
            .arg(&path)
            .env("LC_ALL", "C")
            .output()?;
        grep.push(f64::from(count) / start.elapsed().as_secs_f64() / 1e6);
        ensure!(String::from_utf8_lossy(&output.stdout).trim() == expected.to_string(), "grep finds other lines");
    }
    let mut shown: Vec<Row<'_>> = filters.iter().map(|(name, _, samples)| Row { name, samples }).collect();
    shown.push(Row { name: GREP, samples: &grep });
    report.samples("log lines through regular expressions", "million lines/s", &shown, &[GREP]);
    let size = text.len() as f64 / f64::from(count);
    let costs = filters.iter().map(|(name, _, samples)| {
        let per_second = median(samples).unwrap_or_default();
        ((*name).to_owned(), vec![1e3 / per_second, per_second * size])
    });
    report.values("CPU of a million lines", &["ms", "MB/s"], &costs.collect::<Vec<_>>());
    Ok(fs::remove_file(&path)?)
}

/// How many lines of a log the filter takes, in chunks that end with a line, as the collector hands them over.
fn scan(filter: &mut Filter, text: &[u8]) -> u32 {
    let (mut rest, mut found) = (text, 0);
    while !rest.is_empty() {
        let end = rest.len().min(CHUNK);
        let end = rest
            .get(end..)
            .and_then(|after| after.iter().position(|byte| *byte == b'\n'))
            .map_or(rest.len(), |at| end + at + 1);
        let (chunk, after) = rest.split_at(end);
        filter.scan(chunk, |line| {
            black_box(line);
            found += 1;
        });
        rest = after;
    }
    found
}

/// Lines as servers write them; one in a thousand is what is looked for.
fn write_log(path: &Path, count: u32) -> Result<u32> {
    let mut file = std::io::BufWriter::new(File::create(path)?);
    let mut expected = 0;
    for number in 0..count {
        let what = match number % 1000 {
            7 => {
                expected += 1;
                "ERROR upstream connection refused while reading the answer"
            }
            13 => "error in a template, which is not looked for",
            _ => "GET /index.html HTTP/1.1 200 4711 \"Mozilla/5.0 (X11; Linux x86_64)\"",
        };
        writeln!(file, "2026-01-01T00:00:00.{:06}Z app[4711] 192.0.2.{} {what}", number % 1_000_000, number % 256)?;
    }
    file.flush()?;
    Ok(expected)
}

/// Children that are killed with it.
struct Sleepers(Vec<Child>);

impl Drop for Sleepers {
    fn drop(&mut self) {
        for child in &mut self.0 {
            drop((child.kill(), child.wait()));
        }
    }
}

/// What one look at thousands of watched processes takes.
fn processes(setting: &Setting, report: &mut Report) -> Result<()> {
    let (count, rounds) = if setting.quick { (1000, 5) } else { (5000, 15) };
    let sleep = || Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn();
    let _sleepers = Sleepers((0..count).map(|_| sleep()).collect::<Result<_, _>>()?);
    let metrics = ["process.cpu.utilization", "process.memory.usage", "process.thread.count"];
    let named = || vec![Attribute::new("process.executable.name", "sleep")];
    let selectors: Vec<Selector> = metrics.iter().map(|metric| Selector::new(metric, named())).collect();
    let mut reader = Reader::new("/proc".into());
    reader.want(&Demand::new(&selectors, []));
    let mut system = System::new_with_specifics(RefreshKind::nothing())?;
    let mut rows: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for round in 0..rounds {
        let mut timed = |name: &'static str, work: &mut dyn FnMut() -> Result<()>| -> Result<()> {
            let start = Instant::now();
            work()?;
            // The first round opens files and fills tables.
            if round > 0 {
                rows.entry(name).or_default().push(start.elapsed().as_secs_f64() * 1e3);
            }
            Ok(())
        };
        timed("Salve, a search for new ones", &mut || {
            ensure!(reader.search()? == 0, "there is no room for some");
            Ok(())
        })?;
        timed("Salve, three metrics of each", &mut || {
            let samples = reader.read(Duration::from_secs(round)).samples.len();
            ensure!(samples >= count, "{samples} samples of {count} processes");
            Ok(())
        })?;
        timed("sysinfo, a full refresh", &mut || {
            system.refresh_processes_specifics(ProcessesToUpdate::All, true, ProcessRefreshKind::everything());
            Ok(())
        })?;
        timed("sysinfo, CPU and memory", &mut || {
            let some = ProcessRefreshKind::nothing().with_cpu().with_memory();
            system.refresh_processes_specifics(ProcessesToUpdate::All, true, some);
            Ok(())
        })?;
    }
    let shown: Vec<Row<'_>> = rows.iter().map(|(name, samples)| Row { name, samples }).collect();
    report.samples(
        &format!("{count} processes"),
        "ms",
        &shown,
        &["sysinfo, a full refresh", "sysinfo, CPU and memory"],
    );
    Ok(())
}

/// What a storm of changes of units costs, and what a plugin and its neighbour get of it.
fn flood(report: &mut Report) -> Result<()> {
    let router = Router::new();
    let listen = |name: &'static str, subject: &str| {
        let mailbox = Arc::new(Mailbox::default());
        let selector = Selector::new(service::STATE, vec![Attribute::new("subject", subject)]);
        let subscription = Subscription { events: vec![selector], ..Subscription::default() };
        router.subscribe(name.into(), subscription, mailbox.clone());
        mailbox
    };
    let (all, one) = (listen("all", "*"), listen("one", "unit-4711.service"));
    let state = |number: u32| Event {
        name: service::STATE.into(),
        subject: format!("unit-{number}.service"),
        attributes: vec![
            Attribute::new("service.manager", "systemd"),
            Attribute::new("service.active_state", "failed"),
            Attribute::new("service.sub_state", "failed"),
        ],
        body: String::new(),
        at: Timestamp::default(),
        caused_by: None,
    };
    let mut took = Vec::new();
    let (mut kept, mut dropped, mut neighbour) = (0, 0, 0);
    for _ in 0..10 {
        let events: Vec<Event> = (0..CHANGES).map(state).collect();
        let start = Instant::now();
        events.into_iter().for_each(|event| router.publish_state(event));
        took.push(start.elapsed().as_secs_f64() * 1e3);
        let batch = all.take(Timestamp::default()).context("nothing arrived")?;
        (kept, dropped) = (batch.events.len(), batch.dropped);
        ensure!(kept as u64 + dropped == u64::from(CHANGES), "{kept} kept and {dropped} dropped");
        neighbour = one.take(Timestamp::default()).map_or(0, |batch| batch.events.len());
        ensure!(neighbour == 1, "{neighbour} changes for the neighbour");
    }
    report.samples(
        &format!("{CHANGES} changes of units at once, through the router"),
        "ms",
        &[Row { name: "all of them", samples: &took }],
        &[],
    );
    report.values(
        "what arrives",
        &["events", "counted as dropped"],
        &[
            ("a plugin that wants all, and is not called meanwhile".to_owned(), vec![kept as f64, dropped as f64]),
            ("its neighbour that wants one".to_owned(), vec![f64::from(neighbour as u32), 0.0]),
        ],
    );
    Ok(())
}

/// Changes of the flood.
const CHANGES: u32 = 10_000;
