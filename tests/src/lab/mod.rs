//! Real hosts for tests, booted in a fraction of a second.
//!
//! A [`Host`] is systemd as PID 1, with journald and D-Bus, in namespaces of its own: PIDs, mounts, cgroups, IPC,
//! hostname and network. Its root is a throw-away layer over the root of this machine, so every program that is
//! installed here is there too, at the same path, and what the host writes is gone with it. `/tmp`, `/run` and `/dev`
//! are its own. Local configuration of systemd is left out: all machines boot the same host, with nothing enabled.
//!
//! ```no_run
//! use salve_tests::lab;
//!
//! # fn test() -> anyhow::Result<()> {
//! let Some(host) = lab::host_or_skip("web") else { return Ok(()) };
//! host.write("/etc/systemd/system/app.service", "[Service]\nExecStart=sleep infinity\n")?;
//! host.run(&["systemctl", "start", "app"])?;
//! # Ok(())
//! # }
//! ```
//!
//! To boot one takes root, systemd and the tools of util-linux and iproute2: [`available`] says what is missing.

mod available;
mod cage;
mod cgroup;
mod files;
mod host;
mod network;
mod power;
mod room;
mod skip;
mod units;
mod web;

pub use available::{Missing, available};
pub use cage::Cage;
pub use host::{Builder, Host};
pub use network::Network;
pub use skip::{had_or_skip, host_or_skip, skip, skip_without};
