//! `salve watch`: the metrics as they go.

mod screen;
mod spark;
mod view;

use std::io::{IsTerminal, stdout};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use form_urlencoded::Serializer;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Outcome, client};
use crate::control::HistoryView;
use screen::Screen;

/// How often it looks.
const EVERY: Duration = Duration::from_secs(1);
/// How far back one metric is shown.
const WINDOW: Duration = Duration::from_secs(300);
/// How far back a series is listed: as long as the agent remembers one by default.
const LISTED: Duration = Duration::from_secs(24 * 3600);

#[derive(Debug, Args)]
pub(super) struct WatchArgs {
    /// Which metric (`*` stands for anything); without one, the series that the agent knows.
    metric: Option<String>,
    /// Only series with this attribute (`*` in the value stands for anything); may be given several times.
    #[arg(long = "match", value_name = "KEY=VALUE")]
    matching: Vec<String>,
    /// How far back; 5m for a metric, 1d for the list.
    #[arg(long, value_parser = humantime::parse_duration, value_name = "DURATION")]
    window: Option<Duration>,
    /// Print once and end, as where the output is no terminal.
    #[arg(long)]
    once: bool,
    /// Print JSON: a line for each series, again each second unless --once is given.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(socket: &Path, args: &WatchArgs) -> anyhow::Result<Outcome> {
    let watch = Watch { socket: socket.to_owned(), path: path(args) };
    // What is wrong at first is wrong with the command.
    let first = watch.look()?;
    if args.json {
        return watch.json(first, args.once);
    }
    if args.once || !stdout().is_terminal() {
        let (width, _) = screen::size();
        let lines = view::lines(&first, args.metric.as_deref(), width);
        screen::print(&format!("{}\n", lines.join("\n")))?;
        return Ok(found(&first));
    }
    watch.live(first, args.metric.as_deref())
}

/// It is fine if there is something to see.
fn found(view: &HistoryView) -> Outcome {
    if view.series.is_empty() { Outcome::NotFine } else { Outcome::Fine }
}

/// What the agent is asked.
fn path(args: &WatchArgs) -> String {
    let listing = args.metric.is_none();
    let window = args.window.unwrap_or(if listing { LISTED } else { WINDOW });
    let mut query = Serializer::new(String::new());
    query.append_pair("metric", args.metric.as_deref().unwrap_or("*"));
    query.append_pair("window", &format!("{}ms", window.as_millis()));
    for matching in &args.matching {
        query.append_pair("match", matching);
    }
    // A list shows no course of things.
    if listing && !args.json {
        query.append_pair("points", "0");
    }
    format!("/v1/history?{}", query.finish())
}

struct Watch {
    socket: PathBuf,
    path: String,
}

impl Watch {
    fn look(&self) -> anyhow::Result<HistoryView> {
        client::get(&self.socket, &self.path)?.map_err(anyhow::Error::msg)
    }

    /// A page that is drawn each second, until it is ended. An agent that is away for a while is waited for.
    fn live(&self, first: HistoryView, metric: Option<&str>) -> anyhow::Result<Outcome> {
        let mut pause = Pause::new()?;
        let screen = Screen::new()?;
        let mut view = Ok(first);
        loop {
            let lines = match &view {
                Ok(view) => view::lines(view, metric, screen::size().0),
                Err(error) => vec![format!("{error:#}")],
            };
            screen.draw(&lines)?;
            if !pause.goes_on() {
                return Ok(Outcome::Fine);
            }
            view = self.look();
        }
    }

    /// JSON lines, until it is ended or nobody reads them.
    fn json(&self, first: HistoryView, once: bool) -> anyhow::Result<Outcome> {
        let mut pause = Pause::new()?;
        let mut view = first;
        loop {
            let mut lines = String::new();
            for series in &view.series {
                lines += &serde_json::to_string(series)?;
                lines.push('\n');
            }
            let read = screen::print(&lines)?;
            if once || !read {
                return Ok(if once { found(&view) } else { Outcome::Fine });
            }
            if !pause.goes_on() {
                return Ok(Outcome::Fine);
            }
            view = self.look()?;
        }
    }
}

/// The time between two looks, which SIGINT and SIGTERM end.
struct Pause {
    runtime: tokio::runtime::Runtime,
    interrupt: Signal,
    terminate: Signal,
}

impl Pause {
    fn new() -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let entered = runtime.enter();
        let (interrupt, terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        drop(entered);
        Ok(Self { runtime, interrupt, terminate })
    }

    fn goes_on(&mut self) -> bool {
        self.runtime.block_on(async {
            tokio::select! {
                _ = self.interrupt.recv() => false,
                _ = self.terminate.recv() => false,
                () = tokio::time::sleep(EVERY) => true,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_holds_what_was_typed() {
        let args = WatchArgs {
            metric: Some("a&b".into()),
            matching: vec!["k=v w".into(), "x=*".into()],
            window: Some(Duration::from_millis(1500)),
            once: true,
            json: false,
        };
        assert_eq!(path(&args), "/v1/history?metric=a%26b&window=1500ms&match=k%3Dv+w&match=x%3D*");
        let list = WatchArgs { metric: None, matching: vec![], window: None, ..args };
        assert_eq!(path(&list), "/v1/history?metric=*&window=86400000ms&points=0");
    }
}
