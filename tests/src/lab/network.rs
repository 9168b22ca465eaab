//! A network between hosts, which nothing else is connected to.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::AsRawFd;
use std::process::{self, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, ensure};
use rustix::process::Pid;

use crate::process::Process;
use crate::run::run;

const BRIDGE: &str = "ip link add bridge0 type bridge && ip link set bridge0 up && echo up && read -r _";

/// A bridge in a network namespace of its own. Clones are the same network.
///
/// The namespace has no name and no process: it lives by the file held open here, and so ends with this process
/// whatever happens to it.
#[derive(Debug, Clone)]
pub struct Network {
    namespace: Arc<File>,
}

impl Network {
    /// Makes a new network. Each test has its own, so addresses can be the same in all of them.
    pub fn new() -> Result<Network> {
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", BRIDGE]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut maker = Process::spawn(&mut command)?;
        let mut said = String::new();
        BufReader::new(maker.stdout().context("no pipe")?).read_line(&mut said)?;
        ensure!(said == "up\n", "cannot make a bridge");
        let namespace = File::open(format!("/proc/{}/ns/net", maker.pid()))?;
        Ok(Network { namespace: Arc::new(namespace) })
    }

    /// Connects the host whose PID 1 is `pid`, as `eth0` with `address`, and returns the name of the port.
    pub(super) fn plug(&self, pid: Pid, address: &str) -> Result<String> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let port = format!("port{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let pid = pid.to_string();
        self.ip(&["link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", &pid])?;
        self.ip(&["link", "set", &port, "master", "bridge0", "up"])?;
        ip(&format!("/proc/{pid}/ns/net"), &["address", "add", address, "dev", "eth0"])?;
        ip(&format!("/proc/{pid}/ns/net"), &["link", "set", "eth0", "up"])?;
        Ok(port)
    }

    /// Puts `port` in or out of service.
    pub(super) fn set(&self, port: &str, state: &str) -> Result<()> {
        self.ip(&["link", "set", port, state])
    }

    fn ip(&self, arguments: &[&str]) -> Result<()> {
        ip(&format!("/proc/{}/fd/{}", process::id(), self.namespace.as_raw_fd()), arguments)
    }
}

/// Runs `ip` in a network namespace.
fn ip(namespace: &str, arguments: &[&str]) -> Result<()> {
    run(Command::new("nsenter").arg(format!("--net={namespace}")).arg("ip").args(arguments)).map(drop)
}
