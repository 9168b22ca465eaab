//! Whether this machine can boot hosts.

use std::env;
use std::error::Error;
use std::fmt::{self, Display, Formatter};
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use rustix::fs::{Access, access};

use super::cgroup;

const PROGRAMS: [&str; 6] = ["sh", "unshare", "nsenter", "mount", "pivot_root", "ip"];
const SYSTEMD: [&str; 2] = ["/usr/lib/systemd/systemd", "/lib/systemd/systemd"];

/// Tries, in namespaces that end with it, what a boot will do first.
const REHEARSAL: &str = "mount -t tmpfs tmpfs /tmp && mkdir /tmp/upper /tmp/work /tmp/root && \
     mount -t overlay overlay -o lowerdir=/,upperdir=/tmp/upper,workdir=/tmp/work /tmp/root && \
     mount -t proc proc /tmp/root/proc";

/// Why this machine cannot boot hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missing {
    /// The tests run as an ordinary user.
    Root,
    /// A program is not installed.
    Program(&'static str),
    /// systemd is not installed.
    Systemd,
    /// There is no version 2 hierarchy of cgroups that we may write to.
    Cgroup,
    /// The kernel, or the container that the tests run in, refuses namespaces or overlays.
    Namespaces(String),
}

impl Display for Missing {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Missing::Root => write!(f, "the lab needs root: run the tests as root"),
            Missing::Program(name) => write!(f, "the lab needs `{name}`: install util-linux and iproute2"),
            Missing::Systemd => write!(f, "the lab needs systemd: install it (it need not be running)"),
            Missing::Cgroup => write!(f, "the lab needs cgroup v2, writable: mount it at /sys/fs/cgroup"),
            Missing::Namespaces(why) => {
                write!(f, "the lab needs namespaces and overlayfs (in a container: --privileged): {why}")
            }
        }
    }
}

impl Error for Missing {}

/// Whether this machine can boot hosts, and if not, what it lacks. Asks once per process.
pub fn available() -> Result<(), Missing> {
    static ANSWER: OnceLock<Result<(), Missing>> = OnceLock::new();
    ANSWER.get_or_init(inspect).clone()
}

/// Where systemd is installed.
pub(super) fn systemd() -> Option<&'static str> {
    SYSTEMD.into_iter().find(|path| Path::new(path).exists())
}

fn inspect() -> Result<(), Missing> {
    if !rustix::process::geteuid().is_root() {
        return Err(Missing::Root);
    }
    if let Some(program) = PROGRAMS.into_iter().find(|program| !installed(program)) {
        return Err(Missing::Program(program));
    }
    systemd().ok_or(Missing::Systemd)?;
    access(cgroup::root().join("cgroup.procs"), Access::WRITE_OK).map_err(|_| Missing::Cgroup)?;
    let namespaces = ["--fork", "--pid", "--mount", "--cgroup", "--uts", "--ipc", "--net"];
    match Command::new("unshare").args(namespaces).args(["sh", "-c", REHEARSAL]).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(Missing::Namespaces(String::from_utf8_lossy(&output.stderr).trim_end().to_owned())),
        Err(error) => Err(Missing::Namespaces(error.to_string())),
    }
}

fn installed(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|directory| access(directory.join(program), Access::EXEC_OK).is_ok())
}
