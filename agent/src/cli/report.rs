use std::path::Path;
use std::time::Duration;

use clap::Args;

use super::output::Page;
use super::{Outcome, OutputArgs, client, output};
use crate::incident::ledger::{Group, GroupBy, Report};

#[derive(Debug, Args)]
pub(super) struct ReportArgs {
    /// How far back.
    #[arg(long, default_value = "30d", value_parser = humantime::parse_duration, value_name = "DURATION")]
    since: Duration,
    /// A line for each target, kind, policy or plugin-digest.
    #[arg(long, default_value = GroupBy::default().as_str(), value_name = "WHAT")]
    by: GroupBy,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn run(socket: &Path, args: &ReportArgs) -> anyhow::Result<Outcome> {
    let path = format!("/v1/report?since={}s&by={}", args.since.as_secs(), args.by.as_str());
    let report: Report = client::get(socket, &path)?.map_err(anyhow::Error::msg)?;
    if args.output.json {
        output::json(&report)?;
    } else {
        tell(&report).print()?;
    }
    Ok(Outcome::Fine)
}

fn tell(report: &Report) -> Page {
    let mut page = Page::default();
    page.line(format_args!("{} to {}", output::time(report.from), output::time(report.to)));
    page.gap();
    let by = report.by.as_str().to_uppercase();
    let heading =
        [&*by, "INCIDENTS", "OPEN", "PER DAY", "MTTD", "MTTR", "MTBF", "AVAILABLE", "HEALED ALONE", "BACK IN 24 H"];
    page.table(
        heading,
        report.groups.iter().chain([&report.total]).map(|group| {
            [
                short(&group.name),
                group.incidents.to_string(),
                group.open.to_string(),
                format!("{:.2}", group.failure_rate),
                time(group.mttd_s),
                time(group.mttr_s),
                time(group.mtbf_s),
                share(group.availability, 3),
                share(group.healed_alone, 0),
                share(group.recurrence, 0),
            ]
        }),
    );
    let of = |group: &Group| -> Vec<[String; 5]> {
        let tries = group.actions.iter();
        let line = tries.map(|(kind, tries)| {
            let (attempts, judged) = (tries.attempts.to_string(), tries.judged.to_string());
            [short(&group.name), kind.clone(), attempts, judged, share(tries.worked, 1)]
        });
        line.collect()
    };
    let tried: Vec<_> = report.groups.iter().chain([&report.total]).flat_map(of).collect();
    if !tried.is_empty() {
        page.gap();
        page.table([&*by, "ACTION", "ATTEMPTS", "JUDGED", "WORKED"], tried);
    }
    page
}

/// A plugin's digest as far as people tell digests apart.
fn short(name: &str) -> String {
    match name.split_once('@') {
        Some((plugin, digest)) if digest.len() == 64 => {
            format!("{plugin}@{}", digest.chars().take(12).collect::<String>())
        }
        _ => name.to_owned(),
    }
}

fn share(share: Option<f64>, decimals: usize) -> String {
    share.map_or("-".to_owned(), |share| format!("{:.decimals$} %", share * 100.0))
}

/// Seconds to three digits or so, in the unit that people would choose.
fn time(seconds: Option<f64>) -> String {
    match seconds {
        None => "-".to_owned(),
        Some(seconds) if seconds < 1.0 => format!("{:.0} ms", seconds * 1e3),
        Some(seconds) if seconds < 120.0 => format!("{seconds:.1} s"),
        Some(seconds) if seconds < 7200.0 => format!("{:.1} min", seconds / 60.0),
        Some(seconds) if seconds < 172_800.0 => format!("{:.1} h", seconds / 3600.0),
        Some(seconds) => format!("{:.1} d", seconds / 86_400.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_names_are_short() {
        let shown = [None, Some(0.25), Some(90.0), Some(180.0), Some(7200.0), Some(432_000.0)].map(time);
        assert_eq!(shown, ["-", "250 ms", "90.0 s", "3.0 min", "2.0 h", "5.0 d"]);
        assert_eq!(short(&format!("service-restart@{}", "ab".repeat(32))), "service-restart@abababababab");
        assert_eq!(short("getty@tty1.service"), "getty@tty1.service");
        assert_eq!(share(Some(0.99951), 3), "99.951 %");
    }
}
