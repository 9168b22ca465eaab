//! A host, from its first boot to its last power cut.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, bail};
use rustix::process::Pid;

use super::network::Network;
use super::power::Power;
use super::room::Room;
use crate::process::Process;
use crate::run::run;

/// A booted host. Clones are the same host; when the last one is dropped its power is cut and nothing of it is left.
#[derive(Debug, Clone)]
pub struct Host(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    machine: Mutex<Option<Machine>>, // First, because the power goes before the room.
    room: Room,
    wanted: Builder,
}

/// What a power cut takes.
#[derive(Debug)]
struct Machine {
    power: Power,
    port: Option<String>,
}

/// What a host is to be like, before it boots.
#[derive(Debug, Clone)]
pub struct Builder {
    name: String,
    network: Option<(Network, String)>,
}

impl Builder {
    /// Connects its `eth0` to `network`, with an address such as `10.77.0.1/24`. Without, it has the loopback only.
    pub fn address(mut self, network: &Network, address: &str) -> Builder {
        self.network = Some((network.clone(), address.to_owned()));
        self
    }

    /// Boots it.
    pub fn boot(self) -> Result<Host> {
        let room = Room::take(&self.name)?;
        let host = Host(Arc::new(Parts { machine: Mutex::new(None), room, wanted: self }));
        host.power_on()?;
        Ok(host)
    }
}

impl Host {
    /// Describes a host; `name` is its hostname, and need not be unique.
    pub fn named(name: &str) -> Builder {
        Builder { name: name.to_owned(), network: None }
    }

    /// Boots a host with no network but the loopback. D-Bus and journald run when this returns.
    pub fn boot(name: &str) -> Result<Host> {
        Host::named(name).boot()
    }

    /// Cuts the power: every process in the host ends at once, and what it wrote is lost, but for [`Host::dir`].
    pub fn power_cut(&self) {
        drop(self.machine().take());
    }

    /// Boots it again after a power cut, with a fresh disk and with [`Host::dir`] as the power cut left it.
    pub fn power_on(&self) -> Result<()> {
        let Parts { room, wanted, .. } = &*self.0;
        let mut machine = self.machine();
        if machine.is_some() {
            bail!("{} is under power", wanted.name);
        }
        let boot = || {
            let power = Power::on(room, &wanted.name)?;
            let plug = |(network, address): &(Network, String)| network.plug(power.pid(), address);
            let port = wanted.network.as_ref().map(plug).transpose()?;
            power.boots()?;
            anyhow::Ok(Machine { power, port })
        };
        let log = || fs::read_to_string(room.log()).unwrap_or_default();
        *machine = Some(boot().with_context(|| format!("{} did not boot\n{}", wanted.name, log()))?);
        Ok(())
    }

    /// Takes it off its network.
    pub fn cut(&self) -> Result<()> {
        self.set_port("down")
    }

    /// Puts it back on its network.
    pub fn join(&self) -> Result<()> {
        self.set_port("up")
    }

    /// Its PID 1, as this machine sees it.
    pub fn pid(&self) -> Pid {
        self.with_power(Power::pid)
    }

    /// A directory that the host sees under the same path, and in both directions at once, inotify included. It
    /// outlasts power cuts, and is removed with the host. It is the way to hand over files while the host runs.
    pub fn dir(&self) -> PathBuf {
        self.0.room.shared()
    }

    /// `program`, to be run inside as root from `/`, with a clean environment. For what runs long see [`Host::spawn`]:
    /// a `Child` of this command is only the `nsenter` around the program.
    ///
    /// # Panics
    /// When the host has no power, as do all that reach inside: the number of its PID 1 may be another process by now.
    #[track_caller]
    pub fn command(&self, program: &str) -> Command {
        self.with_power(|power| power.command(program))
    }

    /// Runs a command inside and returns what it wrote to standard output; an error has its status and its stderr.
    #[track_caller]
    pub fn run(&self, command: &[&str]) -> Result<String> {
        let (program, arguments) = command.split_first().context("no command")?;
        run(self.command(program).args(arguments))
    }

    /// Starts a [`Host::command`] that runs until it is killed, or dropped.
    pub fn spawn(&self, command: &mut Command) -> Result<Process> {
        Process::spawn_entering(command)
    }

    #[track_caller]
    fn with_power<T>(&self, look: impl FnOnce(&Power) -> T) -> T {
        match &*self.machine() {
            Some(Machine { power, .. }) if power.is_on() => look(power),
            _ => panic!("{} has no power", self.0.wanted.name),
        }
    }

    fn set_port(&self, state: &str) -> Result<()> {
        let machine = self.machine();
        let port = machine.as_ref().and_then(|machine| machine.port.as_ref());
        let ((network, _), port) = self.0.wanted.network.as_ref().zip(port).context("it is on no network")?;
        network.set(port, state)
    }

    fn machine(&self) -> MutexGuard<'_, Option<Machine>> {
        self.0.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
