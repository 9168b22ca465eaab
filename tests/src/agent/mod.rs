//! The agent under test: the real program, in a directory of its own, on this machine or on a host of the [lab](crate::lab).

mod answers;
mod binary;
mod builder;
mod home;
mod service;

use std::fs::{self, File, OpenOptions};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, ExitStatus, Output, Stdio};
use std::time::Duration;
use std::{env, thread};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal};
use serde_json::Value;

pub use answers::{Action, Attempt, Incident, Instance, Outcome, Plugin, Policy, Status, Transition};
pub use binary::{binary, target};
pub use builder::Builder;
pub use home::Home;

use crate::lab::Host;
use crate::process::Process;
use crate::wait;

const READY: Duration = Duration::from_secs(20);
const STOPPED: Duration = Duration::from_secs(20);

/// A `salve agent` that is killed when dropped. If that happens because the test panics, the end of its log is printed.
#[derive(Debug)]
pub struct Agent {
    process: Option<Process>, // First, because it goes before its directory and its host.
    home: Home,
    program: String,
    environment: Vec<(String, String)>,
    host: Option<Host>,
}

impl Agent {
    /// Describes an agent.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Starts it again, after [`Agent::kill`], [`Agent::stop`] or a power cut, in the same directory. Returns when it
    /// answers.
    pub fn start(&mut self) -> Result<()> {
        self.process = None; // What a power cut has left of it.
        let log = OpenOptions::new().create(true).append(true).open(self.home.log())?;
        let mut command = self.command();
        command.arg("agent").arg("--config").arg(self.home.config());
        command.stdout(log.try_clone()?).stderr(log);
        let mut process = match &self.host {
            Some(host) => host.spawn(&mut command),
            None => Process::spawn(&mut command),
        }
        .with_context(|| self.last_words())?;
        // Whether all is well is for the test to judge: a broken policy makes `status` fail, and yet the agent is up.
        // A program is started only once somebody listens: that takes more than all the rest of a start.
        let stands_in = || self.home.socket().is_file();
        let listens = || stands_in() || UnixStream::connect(self.home.socket()).is_ok();
        let answers = || listens() && serde_json::from_slice::<Value>(&self.cli(&["status", "--json"]).stdout).is_ok();
        let ready = wait::attempt(READY, || match process.ended() {
            Some(status) => Some(Err(status)),
            None => answers().then_some(Ok(())),
        });
        match ready {
            Some(Ok(())) => self.process = Some(process),
            Some(Err(status)) => bail!("the agent ended: {status}\n{}", self.last_words()),
            None => bail!("the agent did not answer for {READY:?}\n{}", self.last_words()),
        }
        Ok(())
    }

    /// Kills it as `kill -9` does.
    #[track_caller]
    pub fn kill(&mut self) {
        self.take().kill();
    }

    /// Asks it to stop, by SIGTERM, and returns how it ended.
    ///
    /// # Panics
    /// When it takes longer than 20 s.
    #[track_caller]
    pub fn stop(&mut self) -> ExitStatus {
        let mut process = self.take();
        let _ = process.signal(Signal::TERM); // If it has ended already, so much the better.
        match process.wait(STOPPED) {
            Some(status) => status,
            None => panic!("the agent did not stop for {STOPPED:?}\n{}", self.last_words()),
        }
    }

    /// Stops it and starts it again.
    #[track_caller]
    pub fn restart(&mut self) -> Result<()> {
        self.stop();
        self.start()
    }

    /// Its number as this machine sees it.
    #[track_caller]
    pub fn pid(&self) -> Pid {
        match &self.process {
            Some(process) => process.pid(),
            None => panic!("the agent is not running"),
        }
    }

    /// The directory with all its files.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// Runs `salve` with these arguments as an operator would, where the agent is, against its socket.
    #[track_caller]
    pub fn cli(&self, arguments: &[&str]) -> Output {
        match self.command().arg("--socket").arg(self.home.socket()).args(arguments).output() {
            Ok(output) => output,
            Err(error) => panic!("cannot start {}: {error}", self.program),
        }
    }

    /// Runs `salve agent` with another configuration, which has to be refused as bad with exit code 2, and returns what it
    /// says.
    ///
    /// # Panics
    /// When it runs, or ends otherwise.
    #[track_caller]
    pub fn refusal(&self, config: &Path) -> String {
        let said = self.home.path().join("refusal.log");
        let refused = || -> Result<Option<ExitStatus>> {
            let mut command = self.command();
            command.arg("agent").arg("--config").arg(config).stdout(Stdio::null()).stderr(File::create(&said)?);
            let mut process = match &self.host {
                Some(host) => host.spawn(&mut command)?,
                None => Process::spawn(&mut command)?,
            };
            Ok(process.wait(STOPPED))
        };
        let status = match refused() {
            Ok(status) => status,
            Err(error) => panic!("cannot start {}: {error:#}", self.program),
        };
        let said = fs::read_to_string(&said).unwrap_or_default();
        assert_eq!(status.and_then(|status| status.code()), Some(2), "{status:?}: {said}");
        said
    }

    /// Runs [`Agent::cli`] with `--json`, which has to succeed: what it wrote to standard output.
    ///
    /// # Panics
    /// When it fails, or writes no JSON; then with what it wrote, and the end of the agent's log.
    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> Value {
        let output = self.cli(&[arguments, &["--json"]].concat());
        match serde_json::from_slice(&output.stdout) {
            Ok(value) if output.status.success() => value,
            _ => panic!("salve {}: {output:?}\n{}", arguments.join(" "), self.last_words()),
        }
    }

    /// All it has written to standard output and standard error since its first start.
    pub fn log(&self) -> String {
        self.home.read_log()
    }

    /// The program, where the agent runs. Its environment is that of the agent.
    fn command(&self) -> Command {
        let mut command = match &self.host {
            Some(host) => host.command(&self.program),
            None => Command::new(&self.program),
        };
        command.envs(self.environment.iter().map(|(key, value)| (key, value)));
        command
    }

    #[track_caller]
    fn take(&mut self) -> Process {
        match self.process.take() {
            Some(process) => process,
            None => panic!("the agent is not running"),
        }
    }

    /// The end of its log, for those who look for what went wrong.
    fn last_words(&self) -> String {
        let log = self.log();
        let skip = log.lines().count().saturating_sub(40);
        let tail: Vec<&str> = log.lines().skip(skip).collect();
        format!("the end of the agent's log:\n{}", tail.join("\n"))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.process.take());
        if self.host.is_none() {
            service::end_all(&self.home); // On a host they end with it.
        }
        if thread::panicking() {
            eprintln!("{}", self.last_words());
            if env::var_os("SALVE_KEEP").is_some() {
                eprintln!("kept: {}", self.home.keep().display());
            }
        }
    }
}
