//! Running the commands of a service.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::group::{Group, KILL_TIMEOUT};
use super::process::Exit;
use super::spec::CommandSpec;

/// Why a command did not work.
#[derive(Debug, thiserror::Error)]
pub(super) enum RunError {
    #[error("cannot execute `{command}`: {error}")]
    Spawn { command: String, error: io::Error },
    #[error("`{command}` did not return within {} s and was killed", limit.as_secs_f64())]
    TimedOut { command: String, limit: Duration },
    #[error("`{command}` failed: {status}")]
    Failed { command: String, status: ExitStatus },
    #[error("within {} s {} did not name a process that runs", limit.as_secs_f64(), pidfile.display())]
    NoProcess { pidfile: PathBuf, limit: Duration },
}

impl RunError {
    /// systemd's word for it.
    pub(super) fn result(&self) -> &'static str {
        match self {
            Self::Spawn { .. } => "resources",
            Self::TimedOut { .. } | Self::NoProcess { .. } => "timeout",
            Self::Failed { .. } => self.exit().result(),
        }
    }

    /// How the command ended, if it ran and ended by itself.
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Failed { status, .. } => Exit::from(*status),
            _ => Exit::default(),
        }
    }
}

/// Starts a command that goes on by itself, even when the agent ends.
pub(super) fn spawn(argv: &[String], spec: &CommandSpec) -> Result<Child, RunError> {
    prepare(argv, spec)
        .and_then(|mut command| command.spawn())
        .map_err(|error| RunError::Spawn { command: argv.join(" "), error })
}

/// Runs a command that is expected to return 0 within `limit`. Beyond that its group is killed.
pub(super) async fn run(argv: &[String], spec: &CommandSpec, limit: Duration) -> Result<(), RunError> {
    run_noted(argv, spec, limit, |_| ()).await
}

/// The same; `note` is told the command's process before it is waited for.
pub(super) async fn run_noted(
    argv: &[String],
    spec: &CommandSpec,
    limit: Duration,
    note: impl FnOnce(u32),
) -> Result<(), RunError> {
    let command = || argv.join(" ");
    let unstarted = |error| RunError::Spawn { command: command(), error };
    let mut child = prepare(argv, spec).and_then(|mut it| it.kill_on_drop(true).spawn()).map_err(unstarted)?;
    let group = child.id().and_then(Group::led_by);
    if let Some(pid) = child.id() {
        note(pid);
    }
    let Ok(status) = timeout(limit, child.wait()).await else {
        if let Some(group) = group {
            group.signal(Signal::KILL);
        }
        // Reaped by tokio if it does not end at once.
        let _ = timeout(KILL_TIMEOUT, child.wait()).await;
        return Err(RunError::TimedOut { command: command(), limit });
    };
    match status.map_err(unstarted)? {
        status if status.success() => Ok(()),
        status => Err(RunError::Failed { command: command(), status }),
    }
}

/// In a process group of its own, so that what hits the agent's group does not hit it.
fn prepare(argv: &[String], spec: &CommandSpec) -> io::Result<Command> {
    let Some((program, arguments)) = argv.split_first() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the command is empty"));
    };
    let mut command = Command::new(program);
    command.args(arguments).envs(&spec.environment).stdin(Stdio::null()).process_group(0);
    if let Some(directory) = &spec.directory {
        command.current_dir(directory);
    }
    match &spec.output {
        Some(path) => {
            let output = File::options().create(true).append(true).open(path).map_err(|error| {
                io::Error::new(error.kind(), format!("cannot write its output to {}: {error}", path.display()))
            })?;
            command.stdout(output.try_clone()?).stderr(output);
        }
        None => {
            command.stdout(Stdio::null()).stderr(Stdio::null());
        }
    }
    Ok(command)
}
