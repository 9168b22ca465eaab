//! `salve plugin`: looking at plugins, and vouching for them.

mod inspect;
mod keygen;
mod list;
mod password;
mod sign;
mod verify;

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::json;

use super::{Outcome, OutputArgs, client, output};
use crate::config::PublicKey;

#[derive(Debug, Args)]
pub(super) struct ReleaseArgs {
    /// The plugin, or the one policy under which it is to run again.
    name: String,
    /// Why, for those who read the ledger.
    #[arg(long, default_value = "", value_name = "TEXT")]
    reason: String,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the plugins the agent has.
    List(OutputArgs),
    /// Show what a plugin's file is, what it may look at and what it asks for, and print a policy ready to paste. Runs
    /// nothing of it but `describe`, in the sandbox.
    Inspect(inspect::InspectArgs),
    /// Make a pair of keys: NAME.key to sign with, NAME.pub for the agent's configuration.
    Keygen(keygen::KeygenArgs),
    /// Sign files as `minisign -S` does: FILE.minisig is written beside each.
    Sign(sign::SignArgs),
    /// Verify a file by the signature beside it, as `minisign -V` does.
    Verify(verify::VerifyArgs),
    /// Give a plugin another chance that failed so often that it is quarantined.
    Release(ReleaseArgs),
}

pub(super) fn run(socket: &Path, command: Command) -> anyhow::Result<Outcome> {
    match command {
        Command::List(args) => list::run(socket, &args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Keygen(args) => keygen::run(&args),
        Command::Sign(args) => sign::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Release(ReleaseArgs { name, reason }) => {
            let path = format!("/v1/plugins/{}/release", client::escaped(&name));
            client::say(socket, &path, &json!({ "reason": reason }))
        }
    }
}

/// A public key from the command line: the key itself, or a file.
fn public_key(text: &str) -> anyhow::Result<PublicKey> {
    let read = || std::fs::read_to_string(text).with_context(|| format!("cannot read the key {text}"));
    let content = if PublicKey::is_inline(text) { text.to_owned() } else { read()? };
    PublicKey::parse(&content).map_err(|why| anyhow::anyhow!("{text} is {why}"))
}

/// A file with another ending added to its name.
fn with_ending(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// What somebody else wrote, on one line and without a word to the terminal.
fn plain(text: &str) -> String {
    let harmless = |letter: char| match letter {
        '\t' => ' ',
        letter if letter.is_control() => '\u{fffd}',
        letter => letter,
    };
    text.chars().map(harmless).collect()
}
