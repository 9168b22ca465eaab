//! A host under power: its keeper, and the way into its namespaces.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::process::{ChildStdin, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::available::{available, systemd};
use super::cgroup::Cgroup;
use super::room::Room;
use crate::process::Process;
use crate::run::run;
use crate::wait;

const KEEPER: &str = include_str!("keeper.sh");
const BOOT: &str = include_str!("boot.sh");
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const DEADLINE: Duration = Duration::from_secs(30);

/// Dropping it is a power cut: everything in the host ends at once, and is gone when the drop returns.
#[derive(Debug)]
pub(super) struct Power {
    keeper: Process,
    switch: Option<ChildStdin>,
    pid: Pid,
    pidfd: OwnedFd,
    _cgroup: Cgroup,
}

impl Power {
    /// Starts the boot of a host called `name`; [`Power::boots`] waits for its end.
    pub(super) fn on(room: &Room, name: &str) -> Result<Power> {
        available()?;
        let cgroup = Cgroup::create(room.name())?;
        let mut command = Command::new("sh");
        command.args(["-c", KEEPER, "salve-lab"]).arg(cgroup.path()).arg(BOOT).arg(room.path());
        command.args([name, systemd().unwrap_or_default()]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(File::create(room.log())?);
        let mut keeper = Process::spawn(&mut command)?;
        let switch = keeper.stdin();
        let mut pid = String::new();
        BufReader::new(keeper.stdout().context("no pipe")?).read_line(&mut pid)?;
        let pid = pid.trim().parse().ok().and_then(Pid::from_raw).context("nothing started")?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
        Ok(Power { keeper, switch, pid, pidfd, _cgroup: cgroup })
    }

    /// Waits until the host has booted.
    pub(super) fn boots(&self) -> Result<()> {
        // Until PID 1 has become systemd, its mounts are still those of this machine: do not enter before.
        let systemd = || fs::read_to_string(format!("/proc/{}/comm", self.pid)).is_ok_and(|comm| comm == "systemd\n");
        wait::attempt(DEADLINE, || (systemd() || !self.is_on()).then_some(()));
        let mut state = String::new();
        let booted = wait::attempt(DEADLINE, || {
            let output = self.is_on().then(|| self.command("systemctl").arg("is-system-running").output());
            let Some(Ok(output)) = output else { return Some(false) };
            state = String::from_utf8_lossy(&output.stdout).into_owned();
            matches!(state.trim(), "running" | "degraded").then_some(true)
        });
        (booted == Some(true)).then_some(()).with_context(|| format!("systemd is {:?}", state.trim()))?;
        run(self.command("systemctl").args(["is-active", "dbus"])).map(drop).context("no D-Bus: install dbus")
    }

    /// Its PID 1, as this machine sees it.
    pub(super) fn pid(&self) -> Pid {
        self.pid
    }

    /// Whether its PID 1 is alive.
    pub(super) fn is_on(&self) -> bool {
        let mut ended = [PollFd::new(&self.pidfd, PollFlags::IN)];
        poll(&mut ended, Some(&Timespec::default())) == Ok(0)
    }

    /// `program`, to be run inside, with nothing of our environment.
    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.env_clear().envs([("PATH", PATH), ("HOME", "/root"), ("LANG", "C.UTF-8")]);
        command.args(["--target", &self.pid.to_string(), "--all", "--", program]);
        command
    }
}

impl Drop for Power {
    fn drop(&mut self) {
        drop(self.switch.take());
        self.keeper.wait(DEADLINE);
    }
}
