//! A host that has less memory than this machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::Host;
use crate::wait;

/// Where version 1 of cgroups keeps the memory.
const V1: &str = "/sys/fs/cgroup/memory";
/// Where version 2 is, if the memory is kept there.
const V2: &str = "/sys/fs/cgroup";

/// A limit of memory for all that is started on a host from then on. What it takes beyond that, it has to give back first:
/// the kernel counts the time as pressure, while this machine has memory enough.
///
/// Make it before the host, so that the host goes first.
#[derive(Debug)]
pub struct Cage {
    /// In version 1, the cgroup that is ours.
    own: Option<PathBuf>,
    bytes: u64,
}

impl Cage {
    /// For a host that is yet to boot; none where nothing limits memory.
    pub fn new(bytes: u64) -> Result<Option<Cage>> {
        if Path::new(V1).join("memory.limit_in_bytes").is_file() {
            let name = tempfile::Builder::new().prefix("salve-cage-").tempdir_in(V1)?.keep();
            fs::write(name.join("memory.limit_in_bytes"), bytes.to_string())?;
            return Ok(Some(Cage { own: Some(name), bytes }));
        }
        let delegated = fs::read_to_string(Path::new(V2).join("cgroup.subtree_control")).unwrap_or_default();
        let is_kept = delegated.split_whitespace().any(|controller| controller == "memory");
        Ok(is_kept.then_some(Cage { own: None, bytes }))
    }

    /// Locks it up.
    pub fn hold(&self, host: &Host) -> Result<()> {
        let pid = host.pid();
        if let Some(own) = &self.own {
            return Ok(fs::write(own.join("cgroup.procs"), pid.to_string())?);
        }
        let cgroup = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
        let path = cgroup.lines().find_map(|line| line.strip_prefix("0::/")).context("no cgroup v2")?;
        let top = path.split('/').next().context("it is in the root")?;
        Ok(fs::write(Path::new(V2).join(top).join("memory.max"), self.bytes.to_string())?)
    }
}

impl Drop for Cage {
    fn drop(&mut self) {
        if let Some(own) = &self.own {
            wait::attempt(Duration::from_secs(5), || fs::remove_dir(own).ok());
        }
    }
}
