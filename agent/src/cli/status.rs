use std::path::Path;

use super::output::Page;
use super::{Outcome, OutputArgs, client, output};
use crate::control::StatusView;
use crate::signal::Usage;

pub(super) fn run(socket: &Path, args: &OutputArgs) -> anyhow::Result<Outcome> {
    let status: StatusView = client::get(socket, "/v1/status")?.map_err(anyhow::Error::msg)?;
    let problems = status.problems();
    if args.json {
        output::json(&status)?;
    } else {
        show(&status, &problems).print()?;
    }
    Ok(if problems.is_empty() { Outcome::Fine } else { Outcome::NotFine })
}

fn history(history: &Usage) -> String {
    let size = |bytes: usize| bytesize::ByteSize(bytes as u64).to_string();
    let early = match history.evicted {
        0 => String::new(),
        evicted => format!("; {evicted} samples gone before their time ([collect] history)"),
    };
    format!("history: {} series in {} of {}{early}", history.series, size(history.bytes), size(history.budget))
}

fn show(status: &StatusView, problems: &[String]) -> Page {
    let mut page = Page::default();
    let since = output::time(status.started_at);
    page.line(format_args!("salve {} (pid {}), since {since}, ceiling {}", status.version, status.pid, status.ceiling));
    let open: Vec<String> = status.open_incidents.iter().map(|(state, count)| format!("{count} {state}")).collect();
    page.line(format_args!("open incidents: {}", if open.is_empty() { "none".to_owned() } else { open.join(", ") }));
    if status.history.series > 0 {
        page.line(history(&status.history));
    }
    for hold in &status.holds {
        let on = match (&hold.policy, &hold.target) {
            (None, None) => "everything".to_owned(),
            (policy, target) => {
                let policy = policy.as_ref().map(|policy| format!("policy {policy}"));
                let target = target.as_ref().map(|target| format!("target {target}"));
                policy.into_iter().chain(target).collect::<Vec<_>>().join(", ")
            }
        };
        let until = hold.until.map_or("resumed".to_owned(), output::time);
        page.line(format_args!("paused until {until}: {on}, by {}: {}", hold.actor, hold.reason));
    }
    page.gap();
    page.table(
        ["POLICY", "PLUGIN", "MODE", "STATE", "CALLS", "TRAPS", "DROPPED"],
        status.fleet.policies.iter().map(|policy| {
            let instance = policy.instance.as_ref();
            let state = instance.map_or("not running", |instance| instance.state.as_str());
            let count = |read: fn(&crate::plugin::InstanceView) -> u64| {
                instance.map_or("-".to_owned(), |instance| read(instance).to_string())
            };
            let mode = if policy.written { policy.mode.clone() } else { format!("{} (no policy)", policy.mode) };
            [
                policy.name.clone(),
                policy.plugin.clone(),
                mode,
                state.to_owned(),
                count(|instance| instance.calls),
                count(|instance| instance.traps),
                count(|instance| instance.dropped),
            ]
        }),
    );
    if !problems.is_empty() {
        page.gap();
        problems.iter().for_each(|problem| page.line(format_args!("! {problem}")));
    }
    page
}
