//! A process that a test has started, and that does not outlive the test.

use std::fs;
use std::os::fd::OwnedFd;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::{reaper, wait};

/// A running process, in a process group of its own. Dropping it kills it.
///
/// Signals go through a pidfd, so they can never reach a stranger that was given the same number later.
#[derive(Debug)]
pub struct Process {
    child: Child,
    pid: Pid,
    pidfd: OwnedFd,
}

impl Process {
    /// Starts `command` on this machine.
    pub fn spawn(command: &mut Command) -> Result<Process> {
        let child = reaper::spawn(command).with_context(|| format!("cannot start {command:?}"))?;
        let pid = Pid::from_child(&child);
        Ok(Process { child, pid, pidfd: pidfd_open(pid, PidfdFlags::empty())? })
    }

    /// Starts `command`, an `nsenter` which forks, and holds the child: a signal to `nsenter` would not reach it.
    pub(crate) fn spawn_entering(command: &mut Command) -> Result<Process> {
        let mut process = Process::spawn(command)?;
        let found = wait::attempt(Duration::from_secs(10), || match process.child.try_wait() {
            Ok(None) => only_child(process.pid).map(Ok),
            ended => Some(Err(ended)),
        });
        match found.context("nsenter did not fork")? {
            Ok(pid) => process.pid = pid,
            Err(ended) => bail!("{command:?} ended at once: {ended:?}"),
        }
        process.pidfd = pidfd_open(process.pid, PidfdFlags::empty())?;
        Ok(process)
    }

    /// Its number as this machine sees it.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Its number as it is seen where it runs: inside a host of the lab another one than [`Process::pid`].
    pub fn pid_inside(&self) -> Option<Pid> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
        Pid::from_raw(numbers.split_whitespace().last()?.parse().ok()?)
    }

    /// When it started, in clock ticks since the boot: field 22 of `/proc/PID/stat`.
    pub fn start_time(&self) -> Option<u64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).ok()?;
        // The second field, the name in parentheses, may hold spaces and parentheses itself.
        stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
    }

    /// Sends it `signal`.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        pidfd_send_signal(&self.pidfd, signal).with_context(|| format!("cannot signal {}", self.pid))
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits until it has ended, but no longer than `deadline`.
    pub fn wait(&mut self, deadline: Duration) -> Option<ExitStatus> {
        wait::attempt(deadline, || self.ended())
    }

    /// Kills it at once, and returns when it is gone.
    pub fn kill(mut self) -> Option<ExitStatus> {
        self.finish()
    }

    /// The pipe to its standard input, if it was started with one and it was not taken yet.
    pub fn stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// The pipe from its standard output, if it was started with one and it was not taken yet.
    pub fn stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    fn finish(&mut self) -> Option<ExitStatus> {
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL); // It may have ended by itself.
        self.child.wait().ok()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.finish();
        reaper::forget(&self.child);
    }
}

fn only_child(parent: Pid) -> Option<Pid> {
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    Pid::from_raw(children.split_whitespace().next()?.parse().ok()?)
}
