//! From the rename of a plugin into its directory until the new code has been called with its first batch.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use salve_tests::agent::{Agent, Builder, Status};
use salve_tests::wait;

use super::Setting;
use super::report::{Limit, Report, Row, median};
use super::variant;

/// What is dropped: a small one, a middling one and a large one, each with a configuration under which it is called at once,
/// with the present state of the service `demo`.
const PLUGINS: [(&str, &str); 3] = [
    ("listener", "event = \"service.state\"\n"),
    ("service-restart", "services = [\"demo\"]\n"),
    ("unhealthy-service", "[config.probes.p]\nservice = \"demo\"\n"),
];

/// Keeps the state of `demo` told also while the other is not there.
const KEEPER: &str = "bench-readings";
const DEADLINE: Duration = Duration::from_secs(30);
/// The rest between two looks; while a new one is compiled there are fewer, which take the compiler less of the CPU.
const LOOK: Duration = Duration::from_micros(200);
const LOOK_AT_NEW: Duration = Duration::from_millis(1);

pub(super) fn run(setting: &Setting, report: &mut Report) -> Result<()> {
    let rounds = if setting.quick { 5 } else { 25 };
    let (mut beyond, mut cached) = (Vec::new(), Vec::new());
    for (name, config) in PLUGINS {
        let file = setting.layout.plugin(name).or_else(|_| setting.layout.guest(name))?;
        let code = fs::read(&file)?;
        let mut agent = agent(setting, name, config)?;
        let dropped = drops(setting, &agent, name, &code, rounds)?;
        agent.stop();
        let title = format!("{name}, {} KB", code.len() / 1000);
        let rows = [
            ("compiling alone", &dropped.compile),
            ("new", &dropped.cold),
            ("known, from the cache", &dropped.cached),
            ("asking the agent", &dropped.look),
        ];
        let rows: Vec<Row<'_>> = rows.iter().map(|(name, samples)| Row { name, samples }).collect();
        report.samples(&title, "ms", &rows, &["compiling alone"]);
        beyond.extend(median(&dropped.cold).zip(median(&dropped.compile)).map(|(cold, compile)| cold - compile));
        cached.extend(median(&dropped.cached));
    }
    let most = |values: &[f64]| values.iter().copied().reduce(f64::max);
    report.goal("a new one <= compiling + 10 ms", most(&beyond), Limit::AtMost(10.0));
    report.goal("a known one <= 5 ms", most(&cached), Limit::AtMost(5.0));
    report.note(
        "From rename(2) until `status` shows a call of the new instance, which is asked on the socket once the agent's log \
         says that it runs; that asking is part of the time. Compiling alone is salve-compile as the agent \
         runs it, its process included. The file before it was removed first. Each new one differs in a custom section.",
    );
    Ok(())
}

/// An agent with the policy for the plugin that will come, and a service whose state it knows.
fn agent(setting: &Setting, plugin: &str, config: &str) -> Result<Agent> {
    let builder: Builder = Agent::builder().program(setting.layout.salve()?);
    let keeper = format!("plugin = \"{KEEPER}\"\n[config]\nthreshold = 1e300\nservices = [\"demo\"]\n");
    builder
        .tables("[services.demo]\nmanager = \"command\"\nstart = [\"sleep\", \"1000\"]\nautostart = true\n")
        .plugin(setting.layout.guest(KEEPER)?)
        .policy("keeper.toml", &keeper)
        .policy("dropped.toml", &format!("plugin = \"{plugin}\"\n[config]\n{config}"))
        .start()
}

/// In milliseconds.
#[derive(Default)]
struct Drops {
    compile: Vec<f64>,
    cold: Vec<f64>,
    cached: Vec<f64>,
    look: Vec<f64>,
}

fn drops(setting: &Setting, agent: &Agent, name: &str, code: &[u8], rounds: usize) -> Result<Drops> {
    let waiting = agent.home().path().join("waiting.wasm");
    let place = agent.home().plugins().join(name).with_extension("wasm");
    let mut drops = Drops::default();
    wait::attempt(DEADLINE, || calls(agent, "keeper").ok().flatten()).context("the keeper is not called")?;
    for round in 0..rounds {
        let code = variant::of(code, round);
        // Before the drop and after it in turns: neither is to gain by what the other left in caches.
        if round % 2 == 0 {
            drops.compile.push(compile(setting, agent.home().path(), &code)?);
        }
        // The same bytes twice: the second time they are known.
        for (samples, rest) in [(&mut drops.cold, LOOK_AT_NEW), (&mut drops.cached, LOOK)] {
            fs::write(&waiting, &code)?;
            let mut log = Log::end_of(&agent.home().log())?;
            let begun = Instant::now();
            fs::rename(&waiting, &place)?;
            // A look at its log costs the agent nothing, while it compiles.
            while !log.says("running policy=\"dropped\"")? || calls(agent, "dropped")?.is_none() {
                ensure!(begun.elapsed() < DEADLINE, "{name} is not called\n{}", agent.log());
                thread::park_timeout(rest);
            }
            samples.push(begun.elapsed().as_secs_f64() * 1e3);
            let begun = Instant::now();
            calls(agent, "dropped")?;
            drops.look.push(begun.elapsed().as_secs_f64() * 1e3);
            fs::remove_file(&place)?;
            wait::attempt(DEADLINE, || calls(agent, "dropped").ok().filter(Option::is_none))
                .with_context(|| format!("{name} does not go"))?;
        }
        if round % 2 == 1 {
            drops.compile.push(compile(setting, agent.home().path(), &code)?);
        }
    }
    Ok(drops)
}

/// What is added to a log.
struct Log {
    file: File,
    added: String,
}

impl Log {
    fn end_of(path: &Path) -> Result<Self> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::End(0))?;
        Ok(Self { file, added: String::new() })
    }

    fn says(&mut self, words: &str) -> Result<bool> {
        self.file.read_to_string(&mut self.added)?;
        Ok(self.added.contains(words))
    }
}

/// How often the instance under this policy was called, once it was.
fn calls(agent: &Agent, policy: &str) -> Result<Option<u64>> {
    let mut stream = UnixStream::connect(agent.home().socket())?;
    stream.write_all(b"GET /v1/status HTTP/1.1\r\nHost: salve\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (_, body) = answer.split_once("\r\n\r\n").context("no answer of HTTP")?;
    let status: Status = serde_json::from_str(body).with_context(|| answer.clone())?;
    Ok(status.instance(policy).map(|instance| instance.calls).filter(|calls| *calls > 0))
}

/// What the compiler alone takes, as the agent starts it.
fn compile(setting: &Setting, room: &Path, code: &[u8]) -> Result<f64> {
    let program = setting.layout.salve()?.with_file_name("salve-compile");
    let (wasm, native) = (room.join("alone.wasm"), room.join("alone.native"));
    fs::write(&wasm, code)?;
    let begun = Instant::now();
    let status = Command::new(&program)
        .args(["--memory", "2147483648", "--cpu", "60", "--output", "536870912"])
        .env_clear()
        .env("RAYON_NUM_THREADS", thread::available_parallelism().map_or(1, |cores| cores.get().min(4)).to_string())
        .stdin(Stdio::from(File::open(&wasm)?))
        .stdout(Stdio::from(File::create(&native)?))
        .status()
        .with_context(|| format!("cannot start {}", program.display()))?;
    ensure!(status.success(), "{} ended with {status}", program.display());
    Ok(begun.elapsed().as_secs_f64() * 1e3)
}
