//! A directory with a complete, small configuration: one service, the plugin that restarts it, and the policy for that.

use std::{
    env, fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{DirBuilderExt, MetadataExt},
    },
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::{packages, shell};

/// How long the path of a unix socket may be.
const SOCKET_PATH_MAX: usize = 107;

/// What the service runs, and so how its process is recognised.
const SERVICE: [&str; 2] = ["sleep", "infinity"];

const POLICY: &str = r#"# What the plugin service-restart may do, and how often.
plugin = "service-restart"
mode = "auto"

[config]
services = ["demo"]

[grant]
actions = ["service.restart:demo", "service.start:demo", "service.reset-failed:demo"]

[guard]
attempts = 3
backoff = { initial = "1s", factor = 2.0, max = "5m", reset-after = "10m" }
"#;

/// The directory and where the agent listens.
pub(crate) struct Quickstart {
    pub(crate) directory: PathBuf,
    pub(crate) socket: PathBuf,
}

impl Quickstart {
    /// Describes the directory; [`Self::write`] makes it.
    pub(crate) fn new(directory: PathBuf) -> Result<Self> {
        let socket = directory.join("salve.sock");
        if fits(&socket) {
            return Ok(Self { directory, socket });
        }
        let name = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let socket = short_directory(&name)?.join("salve.sock");
        println!("{} is too long for a socket; it is at {}", directory.display(), socket.display());
        Ok(Self { directory, socket })
    }

    /// Writes what is missing of the configuration and puts the plugin in. A file that is there may have been edited
    /// and is kept.
    pub(crate) fn write(&self, plugin: &Path) -> Result<()> {
        for folder in ["plugins", "policies.d", "state"] {
            shell::make_directory(&self.directory.join(folder))?;
        }
        write_missing(&self.configuration(), &self.configuration_text())?;
        write_missing(&self.directory.join("policies.d/demo.toml"), POLICY)?;
        crate::plugins::install(plugin, &self.directory.join("plugins"))
    }

    /// The agent's configuration file.
    pub(crate) fn configuration(&self) -> PathBuf {
        self.directory.join("salve.toml")
    }

    /// Where the agent keeps the pid of the service.
    pub(crate) fn pid_file(&self) -> PathBuf {
        self.directory.join("state/services/demo.pid")
    }

    /// The service's process, if it lives: a dead one, even if not reaped yet, has no command line.
    pub(crate) fn service(&self) -> Option<u32> {
        let pid = fs::read_to_string(self.pid_file()).ok()?.trim().parse().ok()?;
        let command_line = fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
        command_line.split_terminator('\0').eq(SERVICE).then_some(pid)
    }

    fn configuration_text(&self) -> String {
        let socket = self.socket.strip_prefix(&self.directory).unwrap_or(&self.socket);
        let [program, argument] = SERVICE;
        format!(
            r#"# A quick start: paths are relative to this file.
plugins = "plugins"
policies = "policies.d"
state = "state"

[api]
socket = {socket}

[services.demo]
manager = "command"
start = ["{program}", "{argument}"]
autostart = true
"#,
            // A JSON string is a TOML string.
            socket = Value::from(socket.to_string_lossy())
        )
    }
}

/// Whether a socket can have this path.
fn fits(socket: &Path) -> bool {
    socket.as_os_str().as_bytes().len() <= SOCKET_PATH_MAX
}

/// A directory of the user's own with a short path.
fn short_directory(name: &str) -> Result<PathBuf> {
    let user = packages::user_id().context("cannot tell which user this is: is /proc mounted?")?;
    let directory = match env::var_os("XDG_RUNTIME_DIR") {
        Some(runtime) => Path::new(&runtime).join(format!("salve-{name}")),
        None => Path::new("/tmp").join(format!("salve-{user}-{name}")),
    };
    let made = fs::DirBuilder::new().mode(0o700).recursive(true).create(&directory);
    made.with_context(|| format!("cannot make {} for the agent's socket", directory.display()))?;
    let owner = fs::symlink_metadata(&directory).map(|metadata| metadata.uid()).ok();
    ensure!(owner == Some(user), "{} is another user's; remove it or set XDG_RUNTIME_DIR", directory.display());
    if !fits(&directory.join("salve.sock")) {
        bail!("{} is too long for a socket; set XDG_RUNTIME_DIR to a shorter one", directory.display());
    }
    Ok(directory)
}

/// Writes a file unless it is there.
fn write_missing(file: &Path, contents: &str) -> Result<()> {
    if file.exists() {
        println!("  {} (kept as it is)", shell::short(file));
        return Ok(());
    }
    shell::replace(file, contents.as_bytes())?;
    println!("  {}", shell::short(file));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_path_has_its_limit() {
        assert!(fits(Path::new(&"x".repeat(107))));
        assert!(!fits(Path::new(&"x".repeat(108))));
    }

    #[test]
    fn a_socket_in_the_directory_is_written_relative_to_it() {
        let near = Quickstart { directory: "/a".into(), socket: "/a/salve.sock".into() };
        assert!(near.configuration_text().contains("socket = \"salve.sock\""));
        let far = Quickstart { directory: "/a".into(), socket: "/b/salve.sock".into() };
        assert!(far.configuration_text().contains("socket = \"/b/salve.sock\""));
    }
}
