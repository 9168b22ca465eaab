//! `cargo xtask run --demo`: kills the demo service, and shows how it is healed.

use std::{
    fs,
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{quickstart::Quickstart, shell, wait, workspace::Workspace};

/// How long the agent may take to start, and then to heal.
const DEADLINE: Duration = Duration::from_secs(30);

/// How long it may take to stop before it is killed.
const STOP: Duration = Duration::from_secs(10);

/// How often a file is looked at, and how often the agent is asked.
const LOOK: Duration = Duration::from_millis(1);
const ASK: Duration = Duration::from_millis(100);

/// Runs the whole story in target/quickstart-demo. If it does not end well, the agent's log is shown.
pub(crate) fn run(workspace: &Workspace, release: bool) -> Result<()> {
    let (salve, plugin) = super::run::build(workspace, release)?;
    let quickstart = Quickstart::new(workspace.target.join("quickstart-demo"))?;
    wipe(&quickstart)?;
    quickstart.write(&plugin)?;

    let log = quickstart.directory.join("agent.log");
    let told = Agent::start(salve, quickstart, &log).and_then(|mut agent| tell(&mut agent));
    if told.is_err() {
        eprintln!("\nThe agent's log ({}):\n", shell::short(&log));
        eprintln!("{}", fs::read_to_string(&log).unwrap_or_default());
    }
    told.context("the demo failed")
}

/// From the service's death to the incident's end.
fn tell(agent: &mut Agent) -> Result<()> {
    wait::until("the agent to run the plugin", DEADLINE, ASK, || agent.status())?;
    let old = wait::until("the service to be started", DEADLINE, LOOK, || agent.service(None))?;
    let before = agent.healed()?;
    println!("\nThe agent has started the service `demo` as process {old}. Killing it with SIGKILL.");

    let killed = Instant::now();
    shell::signal(old, "KILL")?;
    let new = wait::until("the service to live again", DEADLINE, LOOK, || agent.service(Some(old)))?;
    let took = killed.elapsed();
    println!("It lives again as process {new}, after {} ms.\n", took.as_millis());

    let id = wait::until("its incident to be resolved", DEADLINE, ASK, || {
        agent.running()?;
        Ok(agent.healed()?.into_iter().find(|id| !before.contains(id)))
    })?;
    println!("{}", agent.ask(&["incident", "show", &id])?);
    println!("Healed: {} ms from the kill to the new process.", took.as_millis());
    Ok(())
}

/// The agent under the demo. Dropped, it ends, and so does the service.
struct Agent {
    salve: PathBuf,
    quickstart: Quickstart,
    process: Child,
}

impl Agent {
    fn start(salve: PathBuf, quickstart: Quickstart, log: &Path) -> Result<Self> {
        let output = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let errors = output.try_clone().context("cannot share the log file")?;
        let mut agent = Command::new(&salve);
        agent.arg("agent").arg("--config").arg(quickstart.configuration());
        println!("$ {}", shell::line(&agent));
        let process = agent.stdout(output).stderr(errors).spawn();
        let process = process.with_context(|| format!("cannot start {}", salve.display()))?;
        Ok(Self { salve, quickstart, process })
    }

    /// An error once the agent has ended.
    fn running(&mut self) -> Result<()> {
        match self.process.try_wait().context("cannot watch the agent")? {
            Some(status) => bail!("the agent has ended ({status})"),
            None => Ok(()),
        }
    }

    /// Whether the agent answers. What it answers is not judged: a host may have other troubles.
    fn status(&mut self) -> Result<Option<()>> {
        self.running()?;
        let answer = self.command(&["status", "--json"]).output().context("cannot ask the agent")?;
        let Ok(status) = serde_json::from_slice::<Value>(&answer.stdout) else { return Ok(None) };
        // A fault that comes before the plugin does is healed too, but only once the plugin is compiled.
        let policies = status.get("policies").and_then(Value::as_array);
        let runs = |policy: &Value| policy.pointer("/instance/state").is_some_and(|state| state == "running");
        let running = policies.is_some_and(|all| !all.is_empty() && all.iter().all(runs));
        Ok(running.then_some(()))
    }

    /// The service's process, once it lives and is not the old one.
    fn service(&mut self, old: Option<u32>) -> Result<Option<u32>> {
        self.running()?;
        Ok(self.quickstart.service().filter(|pid| Some(*pid) != old))
    }

    /// The resolved incidents of the service.
    fn healed(&self) -> Result<Vec<String>> {
        let incidents = self.ask(&["incident", "list", "--json"])?;
        let incidents: Vec<Value> =
            serde_json::from_str(&incidents).context("`incident list --json` is not an array")?;
        let has = |incident: &Value, key: &str, value: &str| incident.get(key).is_some_and(|found| found == value);
        let healed = incidents.iter().filter(|it| has(it, "target", "demo") && has(it, "state", "resolved"));
        Ok(healed.filter_map(|it| it.get("id")).map(|id| id.as_str().map_or(id.to_string(), str::to_owned)).collect())
    }

    fn stop(&mut self) -> Result<()> {
        shell::signal(self.process.id(), "TERM")?;
        wait::until("the agent to end", STOP, LOOK, || Ok(self.process.try_wait()?)).map(drop)
    }

    fn ask(&self, question: &[&str]) -> Result<String> {
        shell::output(self.command(question))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.salve);
        command.arg("--socket").arg(&self.quickstart.socket).args(arguments);
        command
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if self.running().and_then(|()| self.stop()).is_err() {
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
        stop_service(&self.quickstart);
    }
}

/// Ends what an interrupted demo has left, and removes its directory.
fn wipe(quickstart: &Quickstart) -> Result<()> {
    stop_service(quickstart);
    let directory = &quickstart.directory;
    match directory.exists() {
        true => fs::remove_dir_all(directory).with_context(|| format!("cannot remove {}", directory.display())),
        false => Ok(()),
    }
}

fn stop_service(quickstart: &Quickstart) {
    if let Some(pid) = quickstart.service() {
        let _ = shell::signal(pid, "TERM");
    }
}
