//! What an agent under test is to be like.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{Agent, Home, binary};
use crate::lab::Host;

const PATHS: &str = r#"plugins = "plugins"
policies = "policies.d"
state = "state"
"#;
const API: &str = r#"
[api]
socket = "salve.sock"
"#;

/// An agent to be: made by [`Agent::builder`].
#[derive(Debug, Default)]
pub struct Builder {
    host: Option<Host>,
    program: Option<PathBuf>,
    settings: String,
    tables: String,
    plugins: Vec<PathBuf>,
    policies: Vec<(String, String)>,
    environment: Vec<(String, String)>,
}

impl Builder {
    /// Runs it on `host` instead of on this machine. Its directory is then in [`Host::dir`]: it outlasts power cuts,
    /// and is the same path inside and outside.
    pub fn inside(mut self, host: &Host) -> Builder {
        self.host = Some(host.clone());
        self
    }

    /// Takes another program than [`binary`] finds.
    pub fn program(mut self, path: impl Into<PathBuf>) -> Builder {
        self.program = Some(path.into());
        self
    }

    /// Adds a line to the head of `salve.toml`, such as `interval = "1s"`.
    pub fn setting(mut self, line: &str) -> Builder {
        self.settings += &format!("{line}\n");
        self
    }

    /// Adds to the end of `salve.toml`: keys of `[api]`, then tables.
    pub fn tables(mut self, text: &str) -> Builder {
        self.tables += &format!("{text}\n");
        self
    }

    /// Configures a service of the agent's own: `script` is what `sh` runs in [`Home`]'s directory to start it. Each start
    /// adds a line to `NAME.starts`. `more` are further lines of the entry, such as `autostart = true`.
    ///
    /// What is left of it is killed when the [`Agent`] is dropped, unless it has left the process group of its script; for
    /// that there is a [`Reaper`](crate::reaper::Reaper).
    pub fn service(self, name: &str, script: &str, more: &str) -> Builder {
        // A string of JSON is one of TOML.
        let start = serde_json::json!(["sh", "-c", format!("echo $$ >>{name}.starts; {script}")]);
        self.tables(&format!("[services.{name}]\nmanager = \"command\"\ndirectory = \".\"\nstart = {start}\n{more}"))
    }

    /// Installs a plugin: copies the file, under its own name.
    pub fn plugin(mut self, file: impl Into<PathBuf>) -> Builder {
        self.plugins.push(file.into());
        self
    }

    /// Installs a policy: writes `text` to the file `name`.
    pub fn policy(mut self, name: &str, text: &str) -> Builder {
        self.policies.push((name.to_owned(), text.to_owned()));
        self
    }

    /// Sets a variable of its environment. On a host it has none but these, `PATH`, `HOME` and `LANG`.
    pub fn env(mut self, key: &str, value: &str) -> Builder {
        self.environment.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Writes everything but does not start it: [`Agent::start`] does.
    pub fn prepare(self) -> Result<Agent> {
        let home = Home::create(&self.host.as_ref().map_or_else(env::temp_dir, Host::dir))?;
        fs::write(home.config(), [PATHS, &self.settings, API, &self.tables].concat())?;
        for plugin in &self.plugins {
            let name = plugin.file_name().context("a plugin without a name")?;
            fs::copy(plugin, home.plugins().join(name)).with_context(|| plugin.display().to_string())?;
        }
        for (name, text) in &self.policies {
            fs::write(home.policies().join(name), text)?;
        }
        let program = self.program.map_or_else(binary, Ok)?;
        let program = visible(&program, self.host.as_ref(), &home)?.display().to_string();
        Ok(Agent { process: None, home, program, environment: self.environment, host: self.host })
    }

    /// Starts it, and returns when it answers.
    pub fn start(self) -> Result<Agent> {
        let mut agent = self.prepare()?;
        agent.start()?;
        Ok(agent)
    }
}

/// Where the agent's host finds `program`: in its place, unless that is in `/tmp` or on another file system than the
/// root; then in a copy.
fn visible(program: &Path, host: Option<&Host>, home: &Home) -> Result<PathBuf> {
    let program = fs::canonicalize(program).with_context(|| format!("no {}", program.display()))?;
    if host.is_none_or(|host| host.sees(&program)) {
        return Ok(program);
    }
    let copy = home.path().join("salve");
    fs::copy(&program, &copy)?;
    // It looks for its compiler beside itself.
    let compiler = program.with_file_name("salve-compile");
    if compiler.is_file() {
        fs::copy(compiler, copy.with_file_name("salve-compile"))?;
    }
    Ok(copy)
}
