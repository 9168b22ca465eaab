use std::path::Path;

use clap::{Args, Subcommand};
use serde_json::json;

use super::output::Page;
use super::{Outcome, OutputArgs, client, output};
use crate::control::{IncidentDetail, IncidentView};
use crate::incident::{State, Verdict};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List incidents, the newest first.
    List {
        /// Only those that are open.
        #[arg(long)]
        open: bool,
        /// At most so many.
        #[arg(long, default_value_t = 100)]
        limit: u32,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Tell the story of one incident.
    Show {
        /// Its id, or the beginning of it.
        id: String,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Agree to the plan that waits for a person.
    Approve(Word),
    /// Say no to it: the incident stays with you, and is not tried again by itself.
    Deny(Word),
    /// Close an incident that nobody else will.
    Resolve(Word),
}

#[derive(Debug, Args)]
pub(super) struct Word {
    /// The incident's id, or the beginning of it.
    id: String,
    /// Why; it is kept with the incident.
    #[arg(long, default_value = "", value_name = "TEXT")]
    reason: String,
}

pub(super) fn run(socket: &Path, command: Command) -> anyhow::Result<Outcome> {
    match command {
        Command::List { open, limit, output } => list(socket, open, limit, &output),
        Command::Show { id, output } => show(socket, &id, &output),
        Command::Approve(word) => say(socket, "approve", &word),
        Command::Deny(word) => say(socket, "deny", &word),
        Command::Resolve(word) => say(socket, "resolve", &word),
    }
}

fn say(socket: &Path, what: &str, word: &Word) -> anyhow::Result<Outcome> {
    let id = checked(&word.id)?;
    client::say(socket, &format!("/v1/incidents/{id}/{what}"), &json!({ "reason": word.reason }))
}

/// An id is typed by a person, and goes into a path.
fn checked(id: &str) -> anyhow::Result<&str> {
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        anyhow::bail!("`{id}` is not an incident's id; `salve incident list` shows them");
    }
    Ok(id)
}

fn list(socket: &Path, open: bool, limit: u32, args: &OutputArgs) -> anyhow::Result<Outcome> {
    let path = format!("/v1/incidents?open={open}&limit={limit}");
    let incidents: Vec<IncidentView> = client::get(socket, &path)?.map_err(anyhow::Error::msg)?;
    if args.json {
        output::json(&incidents)?;
        return Ok(Outcome::Fine);
    }
    let mut page = Page::default();
    page.table(
        ["ID", "OPENED", "STATE", "SEVERITY", "POLICY", "TARGET", "ATTEMPTS", "TOOK", "SUMMARY"],
        incidents.into_iter().map(|incident| {
            let took = incident.resolved_at.map(|resolved| resolved.since(incident.opened_at));
            [
                incident.id,
                output::time(incident.opened_at),
                incident.state.to_string(),
                incident.severity.as_str().to_owned(),
                incident.policy,
                incident.target,
                incident.attempts.len().to_string(),
                took.map_or("-".to_owned(), |took| format!("{:.1} s", took.as_secs_f64())),
                incident.summary,
            ]
        }),
    );
    page.print()?;
    Ok(Outcome::Fine)
}

fn show(socket: &Path, id: &str, args: &OutputArgs) -> anyhow::Result<Outcome> {
    let id = checked(id)?;
    let detail: IncidentDetail = match client::get(socket, &format!("/v1/incidents/{id}"))? {
        Ok(detail) => detail,
        Err(message) => {
            eprintln!("salve: {message}; `salve incident list` shows them");
            return Ok(Outcome::NotFine);
        }
    };
    if args.json {
        output::json(&detail)?;
    } else {
        tell(&detail).print()?;
    }
    Ok(Outcome::Fine)
}

fn tell(detail: &IncidentDetail) -> Page {
    let mut page = Page::default();
    let IncidentDetail { incident, transitions, collected } = detail;
    page.line(format_args!("incident {}: {} ({})", incident.id, incident.summary, incident.state));
    page.line(format_args!("  {} at {}, severity {}", incident.kind, incident.target, incident.severity.as_str()));
    let digest: String = incident.plugin_digest.chars().take(12).collect();
    page.line(format_args!("  found by {}@{digest} under policy {}", incident.plugin, incident.policy));
    for attribute in &incident.evidence {
        // A value may have lines; none of them may look like one of this page.
        let value = attribute.value.to_string().replace('\n', "\n    | ");
        page.line(format_args!("  {} = {value}", attribute.key));
    }
    for cause in &incident.causes {
        page.line(format_args!("  cause: {} (confidence {:.0} %)", cause.summary, cause.confidence * 100.0));
    }
    page.gap();
    for step in transitions {
        page.line(format_args!("{}  {:17} {}", step.at, step.to, step.reason));
    }
    if let Some(pending) = &incident.pending {
        page.gap();
        page.line(match (&pending.approved_by, incident.state) {
            (Some(by), _) => format!("agreed to by {by}, until {}:", pending.expires_at),
            (None, State::AwaitingApproval) => {
                let (id, until) = (&incident.id, pending.expires_at);
                format!("`salve incident approve {id}` (or deny) until {until} decides on:")
            }
            (None, _) => "said no to:".to_owned(),
        });
        pending.actions.iter().for_each(|action| page.line(format_args!("  {action}")));
    }
    for piece in collected {
        let left_out = if piece.evidence.truncated { ", not all of it" } else { "" };
        page.gap();
        page.line(format_args!("{} before attempt {}{left_out}:", piece.evidence.name, piece.attempt));
        piece.evidence.text.lines().for_each(|line| page.line(format_args!("  {line}")));
    }
    for attempt in &incident.attempts {
        let verdict = match &attempt.verdict {
            Some(Verdict::Healthy) => "healthy".to_owned(),
            Some(Verdict::Unhealthy(reason)) => format!("unhealthy: {reason}"),
            Some(Verdict::Undecided) | None => "not judged yet".to_owned(),
        };
        page.gap();
        page.line(format_args!("attempt {}, {}: {verdict}", attempt.number, attempt.started));
        for outcome in &attempt.outcomes {
            let mark = if outcome.ok { "done" } else { "FAILED" };
            page.line(format_args!(
                "  {mark} {} in {:.1} ms: {}",
                outcome.action,
                outcome.took.as_secs_f64() * 1e3,
                outcome.detail
            ));
        }
        for action in attempt.actions.iter().skip(attempt.outcomes.len()) {
            page.line(format_args!("  not done: {action}"));
        }
    }
    page
}
