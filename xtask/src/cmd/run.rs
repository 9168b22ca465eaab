//! `cargo xtask run`: an agent that looks after a demo service, from a fresh checkout, in one command.

use std::{
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::{
    plugins,
    quickstart::Quickstart,
    shell,
    workspace::{PLUGINS, Workspace},
};

/// Builds everything, writes what is missing of target/quickstart, and becomes the agent. Returns only if that fails.
pub(crate) fn run(workspace: &Workspace, release: bool) -> Result<()> {
    let (salve, plugin) = build(workspace, release)?;
    let quickstart = Quickstart::new(workspace.target.join("quickstart"))?;
    quickstart.write(&plugin)?;
    println!("{}", hints(&quickstart, &salve));

    let mut agent = Command::new(&salve);
    agent.arg("agent").arg("--config").arg(quickstart.configuration());
    println!("$ {}\n", shell::line(&agent));
    let error = agent.exec();
    Err(error).with_context(|| format!("cannot start {}", salve.display()))
}

/// Builds the stock plugins and the agent. Hands back the agent and the plugin that restarts services.
pub(super) fn build(workspace: &Workspace, release: bool) -> Result<(PathBuf, PathBuf)> {
    let plugins = workspace.target.join("plugins");
    plugins::build(workspace, PLUGINS, &plugins)?;
    let salve = workspace.build_agent(release)?;
    Ok((salve, plugins.join("service-restart.wasm")))
}

fn hints(quickstart: &Quickstart, salve: &Path) -> String {
    format!(
        "
The agent looks after one service, `demo`. From another terminal:

  hurt it         kill -9 $(cat {pid_file})
  see it healed   {salve} --socket {socket} incident list
                  {salve} --socket {socket} incident show ID
                  {salve} --socket {socket} status
  add a plugin    copy a .wasm into {plugins}
  let it act      write a policy into {policies}

Ctrl-C ends the agent. The service goes on; kill $(cat {pid_file}) ends it afterwards.
",
        pid_file = shell::short(&quickstart.pid_file()),
        salve = shell::short(salve),
        socket = shell::short(&quickstart.socket),
        plugins = shell::short(&quickstart.directory.join("plugins")),
        policies = shell::short(&quickstart.directory.join("policies.d")),
    )
}
