//! The healers, each with services (`server.c`) to look after.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use rustix::fs::{Access, access};
use salve_tests::agent::{Agent, Builder};
use salve_tests::process::Process;

/// Services that somebody looks after: each a socket in one directory.
pub(super) struct Services {
    directory: PathBuf,
    server: PathBuf,
    count: usize,
}

impl Services {
    /// As many as `count`, in a new directory.
    pub(super) fn new(directory: PathBuf, server: &Path, count: usize) -> Result<Self> {
        fs::create_dir(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
        Ok(Self { directory, server: server.to_owned(), count })
    }

    /// Where they answer.
    pub(super) fn sockets(&self) -> Vec<PathBuf> {
        self.names().iter().map(|name| self.socket(name)).collect()
    }

    /// `s0`, `s1`, …
    pub(super) fn names(&self) -> Vec<String> {
        (0..self.count).map(|number| format!("s{number}")).collect()
    }

    fn socket(&self, name: &str) -> PathBuf {
        self.directory.join(name).with_extension("sock")
    }

    /// An agent that runs them by its own `command` manager. What it is to do about them is for policies to say.
    pub(super) fn salve(&self, program: &Path) -> Builder {
        let mut tables = String::new();
        for name in self.names() {
            let (server, socket) = (self.server.display(), self.socket(&name));
            let socket = socket.display();
            tables += &format!(
                "[services.{name}]\nmanager = \"command\"\nstart = [\"{server}\", \"{socket}\"]\nautostart = true\n"
            );
        }
        Agent::builder().program(program).tables(&tables)
    }

    /// runit: `runsvdir`, which starts a `runsv` for each.
    pub(super) fn runit(&self) -> Result<Process> {
        let directory = self.directory.join("services");
        for name in self.names() {
            let folder = directory.join(&name);
            fs::create_dir_all(&folder)?;
            let script = format!("#!/bin/sh\nexec {} {}\n", self.server.display(), self.socket(&name).display());
            let run = folder.join("run");
            fs::write(&run, script)?;
            fs::set_permissions(&run, fs::Permissions::from_mode(0o755))?;
        }
        Process::spawn(quiet(Command::new("runsvdir").arg("-P").arg(directory)))
    }

    /// Starts them all as Monit would, which takes half a second for each: it finds them running.
    pub(super) fn begin_for_monit(&self) -> Result<()> {
        for name in self.names() {
            let (socket, pid) = (self.socket(&name), self.directory.join(format!("{name}.pid")));
            let started = Command::new(&self.server).arg(socket).arg(pid).status()?;
            ensure!(started.success(), "{name} does not start: {started}");
        }
        Ok(())
    }

    /// Monit, looking each second, the shortest there is.
    pub(super) fn monit(&self) -> Result<Process> {
        self.monit_with(0, &[])
    }

    /// The same, with one more process to look after, which is not there and whose start program hangs.
    pub(super) fn monit_beside_hung(&self) -> Result<Process> {
        let pid = self.directory.join("hung.pid");
        let hung =
            format!("check process hung with pidfile {}\n  start program = \"/bin/sleep 1000\"\n", pid.display());
        self.monit_as(&hung, 0, &[])
    }

    /// The same, which asks the first `asked` on their socket as well, looks for a pattern in logs, and at the host where
    /// there are any.
    pub(super) fn monit_with(&self, asked: usize, logs: &[PathBuf]) -> Result<Process> {
        self.monit_as("", asked, logs)
    }

    fn monit_as(&self, before: &str, asked: usize, logs: &[PathBuf]) -> Result<Process> {
        let file = |name: &str| self.directory.join(name).display().to_string();
        let mut config = "set daemon 1\n".to_owned();
        for (setting, name) in [("logfile", "log"), ("pidfile", "pid"), ("idfile", "id"), ("statefile", "state")] {
            config += &format!("set {setting} {}\n", file(&format!("monit.{name}")));
        }
        config += before;
        for (number, name) in self.names().into_iter().enumerate() {
            let (server, socket, pid) = (self.server.display(), self.socket(&name), file(&format!("{name}.pid")));
            let socket = socket.display();
            config += &format!("check process {name} with pidfile {pid}\n");
            config += &format!("  start program = \"{server} {socket} {pid}\"\n");
            if number < asked {
                config += &format!("  if failed unixsocket {socket} then alert\n");
            }
        }
        for (number, log) in logs.iter().enumerate() {
            let log = log.display();
            config += &format!("check file l{number} with path {log}\n  if match \"ERROR\" then alert\n");
        }
        if !logs.is_empty() {
            config += "check system host\n";
            for load in ["1min", "5min", "15min"] {
                config += &format!("  if loadavg ({load}) > 1000 then alert\n");
            }
            for what in ["cpu usage", "cpu usage (user)", "cpu usage (system)", "memory usage", "swap usage"] {
                config += &format!("  if {what} > 99.9% then alert\n");
            }
        }
        let path = file("monitrc");
        fs::write(&path, config)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        Process::spawn(quiet(Command::new("monit").args(["-I", "-c", &path])))
    }
}

/// Whether a peer's program is there.
pub(super) fn is_installed(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|directory| access(directory.join(program), Access::EXEC_OK).is_ok())
}

fn quiet(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())
}
