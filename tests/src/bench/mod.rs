//! The benchmarks: a file each, with the peers measured in the same run, in turns.
//!
//! Nothing here fails because a number is bad: goals are printed as met or missed. What fails is a benchmark that could
//! not be carried out.

mod day;
mod dispatch;
mod engine;
mod footprint;
mod hot_drop;
mod hung;
mod layout;
mod ledger;
mod peers;
mod pressure;
mod recovery;
mod report;
mod scale;
mod service;
mod signals;
mod stats;
mod usage;
mod variant;

use anyhow::{Context, Result, bail};

use layout::Layout;
use report::Report;

const USAGE: &str = "\
Usage: salve-bench [--quick] [NAME]

  recovery   kill -9 of a service until its successor answers
  dispatch   one detection on 50 readings
  footprint  memory and CPU of an agent that has nothing to heal
  hung-neighbour  a recovery beside plugins in an endless loop
  hot-drop   a plugin's rename into its directory until it is called
  scale      up to a thousand instances with 50 readings each
  day        24 hours of signals in a minute: whether memory stays flat
  engine     faults opened, planned and healed a second, with a plugin and an actuator that take no time
  ledger     a ledger of a million incidents: what each costs, and how long reading takes
  signals    from a cause to the plugin's mailbox, log lines a second, thousands of processes

Without NAME all of them. --quick measures less long. `cargo xtask bench [NAME]` builds what they need first.
";

/// Every benchmark, in the order they run in.
const BENCHMARKS: [(&str, Benchmark); 10] = [
    ("recovery", recovery::run),
    ("dispatch", dispatch::run),
    ("footprint", footprint::run),
    ("hung-neighbour", hung::run),
    ("hot-drop", hot_drop::run),
    ("scale", scale::run),
    ("day", day::run),
    ("engine", engine::run),
    ("ledger", ledger::run),
    ("signals", signals::run),
];

type Benchmark = fn(&Setting, &mut Report) -> Result<()>;

/// What every benchmark is given.
struct Setting {
    layout: Layout,
    quick: bool,
}

/// Runs what the command line asks for.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let (mut quick, mut name) = (false, None);
    for argument in arguments {
        match argument.as_str() {
            "--quick" => quick = true,
            "--help" | "-h" => {
                print!("{USAGE}");
                return Ok(());
            }
            other if name.is_none() && BENCHMARKS.iter().any(|(known, _)| *known == other) => name = Some(other),
            other => bail!("`{other}` makes no sense here\n\n{USAGE}"),
        }
    }
    let layout = Layout::find()?;
    let setting = Setting { layout, quick };
    for (known, benchmark) in BENCHMARKS {
        if name.is_none_or(|name| name == known) {
            let mut report = Report::begin(known);
            benchmark(&setting, &mut report).with_context(|| format!("{known} could not be measured"))?;
            report.save(&setting.layout.results())?;
        }
    }
    Ok(())
}
