//! The command line: a file per command.

mod agent;
mod check;
mod client;
mod event;
mod hold;
mod incident;
mod ledger;
mod output;
mod plugin;
mod report;
mod status;
mod watch;

#[cfg(test)]
pub(crate) use client::get;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Exit codes: 0 fine, 1 the thing asked about is not fine, 2 bad usage or configuration.
#[derive(Debug, Parser)]
#[command(name = "salve", version, about = "A host agent that heals", max_term_width = 100)]
pub struct Cli {
    /// The agent's socket.
    #[arg(long, global = true, env = "SALVE_SOCKET", default_value = "/run/salve/salve.sock", value_name = "PATH")]
    socket: PathBuf,
    #[command(subcommand)]
    command: Command,
}

/// How a command ended; an error is bad usage or configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// What was asked about is fine.
    Fine,
    /// It is not.
    NotFine,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the agent, in the foreground.
    Agent(ConfigArgs),
    /// Check the configuration, the policies and the plugins, without running anything but `describe` and `configure`.
    Check(ConfigArgs),
    /// Show whether the agent is well, and what it runs.
    Status(OutputArgs),
    /// Show the metrics that plugins subscribed to, as they go.
    Watch(watch::WatchArgs),
    /// Have nothing done for now: at all, by a policy, or to a target. Detection goes on; it lasts over restarts.
    Pause(hold::PauseArgs),
    /// End a hold, or close the storm breaker.
    Resume(hold::ResumeArgs),
    /// Look at plugins.
    #[command(subcommand)]
    Plugin(plugin::Command),
    /// Look at incidents, and decide where a person has to.
    #[command(subcommand)]
    Incident(incident::Command),
    /// Tell the agent what happened elsewhere.
    #[command(subcommand)]
    Event(event::Command),
    /// Say how often what failed, for how long, and how well it was healed.
    Report(report::ReportArgs),
    /// Look at the ledger as a whole.
    #[command(subcommand)]
    Ledger(ledger::Command),
}

#[derive(Debug, Args)]
struct ConfigArgs {
    /// The agent's configuration.
    #[arg(long, default_value = "/etc/salve/salve.toml", value_name = "FILE")]
    config: PathBuf,
}

#[derive(Debug, Args)]
struct OutputArgs {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Cli {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<Outcome> {
        let socket = self.socket;
        match self.command {
            Command::Agent(args) => agent::run(&args),
            Command::Check(args) => check::run(&args),
            Command::Status(args) => status::run(&socket, &args),
            Command::Watch(args) => watch::run(&socket, &args),
            Command::Pause(args) => hold::pause(&socket, args),
            Command::Resume(args) => hold::resume(&socket, args),
            Command::Plugin(command) => plugin::run(&socket, command),
            Command::Incident(command) => incident::run(&socket, command),
            Command::Event(command) => event::run(&socket, command),
            Command::Report(args) => report::run(&socket, &args),
            Command::Ledger(command) => ledger::run(&socket, command),
        }
    }
}
