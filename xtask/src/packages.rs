//! Programs that the end-to-end tests and the benchmarks use, and the Debian packages they come in.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result};

use crate::shell;

/// A Debian package that something here needs.
pub(crate) struct Package {
    name: &'static str,
    /// A program of the package, or a file of it: where that is, nothing needs to be installed.
    proof: &'static str,
    why: &'static str,
    /// The systemd unit that the package would start at each boot. Nobody asked for that, so it is disabled again.
    unit: Option<&'static str>,
}

/// What the lab boots its hosts with, and what runs on them.
pub(crate) const LAB: &[Package] = &[
    Package { name: "systemd", proof: "/usr/lib/systemd/systemd", why: "PID 1 of the lab's hosts", unit: None },
    Package {
        name: "dbus",
        proof: "/usr/lib/systemd/system/dbus.service",
        why: "how the agent hears from systemd",
        unit: None,
    },
    Package { name: "util-linux", proof: "unshare", why: "the namespaces that make a process a host", unit: None },
    Package { name: "iproute2", proof: "ip", why: "the lab's private network", unit: None },
    Package { name: "procps", proof: "pgrep", why: "finding a host's processes", unit: None },
    Package {
        name: "nginx-light",
        proof: "nginx",
        why: "a real service to break and heal",
        unit: Some("nginx.service"),
    },
    Package {
        name: "postgresql",
        proof: "pg_createcluster",
        why: "databases to break and heal, one of several",
        unit: Some("postgresql.service"),
    },
    Package {
        name: "redis-server",
        proof: "redis-server",
        why: "a service that others depend on",
        unit: Some("redis-server.service"),
    },
    Package { name: "minisign", proof: "minisign", why: "signatures that others make and verify", unit: None },
    Package { name: "stress-ng", proof: "stress-ng", why: "load, and memory that runs short", unit: None },
    Package { name: "openssl", proof: "openssl", why: "a server whose certificate runs out", unit: None },
    Package {
        name: "monitoring-plugins-basic",
        proof: "/usr/lib/nagios/plugins/check_disk",
        why: "checks by the conventions of Nagios",
        unit: None,
    },
    Package {
        name: "prometheus-alertmanager",
        proof: "prometheus-alertmanager",
        why: "a receiver of notices",
        unit: Some("prometheus-alertmanager.service"),
    },
    Package { name: "podman", proof: "podman", why: "real containers, by the Docker API", unit: Some("podman.socket") },
    Package { name: "runc", proof: "runc", why: "what podman runs containers with", unit: None },
    Package {
        name: "busybox-static",
        proof: "/usr/share/doc/busybox-static/copyright",
        why: "all that is in a test's container",
        unit: None,
    },
];

/// The healers that the benchmarks measure beside this one.
pub(crate) const PEERS: &[Package] = &[
    Package { name: "runit", proof: "runsv", why: "the fastest supervisor", unit: None },
    Package { name: "monit", proof: "monit", why: "the closest in what it does", unit: Some("monit.service") },
];

/// Installs what is missing, where that can be done, and hands back what is missing still.
pub(crate) fn install<'a>(wanted: impl IntoIterator<Item = &'a Package>) -> Result<Vec<&'a Package>> {
    let missing: Vec<_> = wanted.into_iter().filter(|package| shell::find_program(package.proof).is_none()).collect();
    if missing.is_empty() || !is_root() || shell::find_program("apt-get").is_none() {
        return Ok(missing);
    }
    for package in &missing {
        println!("  installing {}: {}", package.name, package.why);
    }
    apt_get(&["update"])?;
    let policy = NoServices::begin()?;
    let names = missing.iter().map(|package| package.name);
    apt_get(&["install", "--yes", "--no-install-recommends"].into_iter().chain(names).collect::<Vec<_>>())?;
    drop(policy);
    for unit in missing.iter().filter_map(|package| package.unit) {
        let mut disable = Command::new("systemctl");
        disable.args(["disable", "--quiet", unit]).stderr(Stdio::null());
        // Without systemd nothing would start it.
        let _ = disable.status();
    }
    Ok(Vec::new())
}

/// The packages in a line each, with what they are wanted for.
pub(crate) fn list(packages: &[&Package]) -> String {
    packages.iter().map(|package| format!("  {:<12} {}\n", package.name, package.why)).collect()
}

/// Whether this process may install packages and boot the lab's hosts.
pub(crate) fn is_root() -> bool {
    user_id() == Some(0)
}

/// The user this process runs as.
pub(crate) fn user_id() -> Option<u32> {
    fs::metadata("/proc/self").ok().map(|process| process.uid())
}

fn apt_get(arguments: &[&str]) -> Result<()> {
    let mut apt = Command::new("apt-get");
    apt.args(["-qq", "-o", "DPkg::Lock::Timeout=120", "-o", "Dpkg::Use-Pty=0"]).args(arguments);
    apt.env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
    shell::run(apt).context("the packages could not be installed (is this machine online?)")
}

/// While this lives, no package that is installed starts its service.
///
/// Debian asks `/usr/sbin/policy-rc.d` before it starts one, and 101 means no. One that is there already is the
/// administrator's (a container's says no as well) and stays.
struct NoServices(Option<PathBuf>);

impl NoServices {
    fn begin() -> Result<Self> {
        let policy = Path::new("/usr/sbin/policy-rc.d");
        if policy.exists() {
            return Ok(Self(None));
        }
        let policy = Self(Some(policy.to_owned()));
        policy.write().context("cannot keep packages from starting their services")?;
        Ok(policy)
    }

    fn write(&self) -> Result<()> {
        if let Some(policy) = &self.0 {
            fs::write(
                policy,
                "#!/bin/sh\n# Put here by Salve's `cargo xtask` while it installs; safe to remove.\nexit 101\n",
            )?;
            fs::set_permissions(policy, fs::Permissions::from_mode(0o755))?;
        }
        Ok(())
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if let Some(policy) = &self.0 {
            let _ = fs::remove_file(policy);
        }
    }
}
