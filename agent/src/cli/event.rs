use std::path::Path;

use anyhow::Context;
use clap::Subcommand;
use serde_json::{Value, json};

use super::{Outcome, client};
use crate::clock::{Clock, SystemClock};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Tell the agent, and the plugins that want to know, that something happened outside.
    Send(SendArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct SendArgs {
    /// What happened: a CloudEvents type, such as `com.example.deployment.began`.
    #[arg(value_name = "TYPE")]
    name: String,
    /// What it happened to; the source, if not given.
    #[arg(long, value_name = "SUBJECT")]
    subject: Option<String>,
    /// Who says so.
    #[arg(long, default_value = "/salve/cli", value_name = "SOURCE")]
    source: String,
    /// Tells it from others of the same source: one that is sent again is taken once. Another each time, if not given.
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Details.
    #[arg(long, value_name = "JSON")]
    data: Option<String>,
}

pub(super) fn run(socket: &Path, command: Command) -> anyhow::Result<Outcome> {
    let Command::Send(SendArgs { name, subject, source, id, data }) = command;
    let data = data.map(|text| {
        serde_json::from_str::<Value>(&text)
            .with_context(|| format!("--data {text}: no JSON, for example {{\"version\": \"1.2\"}}"))
    });
    let id = id.unwrap_or_else(|| format!("{}-{}", SystemClock::new().now().wall.as_nanos(), std::process::id()));
    let mut event = json!({ "specversion": "1.0", "id": id, "source": source, "type": name });
    if let Some(event) = event.as_object_mut() {
        event.extend(subject.map(|subject| ("subject".to_owned(), subject.into())));
        event.extend(data.transpose()?.map(|data| ("data".to_owned(), data)));
    }
    client::say_as(socket, "/v1/events", "application/cloudevents+json", &event)
}
