//! How long a service is away (see `recovery`) while a plugin beside the one that heals it runs in an endless loop, or
//! twenty do; and beside a start program of Monit's that hangs.
//!
//! The looping ones would take the CPU from whatever is measured beside them, so each setting has the machine for itself, and
//! the settings come in turns.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use salve_tests::agent::{Agent, Status};
use salve_tests::process::Process;
use salve_tests::reaper::Reaper;
use salve_tests::wait;

use super::Setting;
use super::peers::{Services, is_installed};
use super::recovery::{HOST, policy, rest};
use super::report::{Limit, Report, Row, median};
use super::service::Service;

const SERVER: &str = include_str!("server.c");

/// As they are shown; for Salve, how many plugins loop beside, and whether they are quarantined by and by.
const SETTINGS: [(&str, Beside); 6] = [
    ("Salve", Beside::Looping(0)),
    ("Salve, beside one looping plugin", Beside::Looping(1)),
    ("Salve, beside 20", Beside::Looping(20)),
    ("Salve, beside 20 quarantined", Beside::Quarantined(20)),
    ("Monit", Beside::Monit(false)),
    ("Monit, beside a hung start program", Beside::Monit(true)),
];

#[derive(Clone, Copy)]
enum Beside {
    Looping(usize),
    Quarantined(usize),
    Monit(bool),
}

/// No number of strikes leads to quarantine, and a new instance comes at once: a plugin that loops for ever.
const FOR_EVER: &str = "[agent.supervision]\nstrikes = \"1000000/1m\"\nbackoff = { initial = \"0s\", max = \"0s\" }\n";

/// As many strikes as ever, one right after the other.
const SOON: &str = "[agent.supervision]\nbackoff = { initial = \"0s\", max = \"0s\" }\n";

const DEADLINE: Duration = Duration::from_secs(120);

const LOOP: &str = "plugin = \"misbehaving\"\n[config]\nin = \"detect\"\ndeed = \"loop\"\n";

/// What looks after the service.
#[expect(dead_code, reason = "they are held, and end with this")]
enum Healer {
    Salve(Box<Agent>),
    Monit(Process),
}

pub(super) fn run(setting: &Setting, report: &mut Report) -> Result<()> {
    let (passes, rounds, waits) = if setting.quick { (1, 5, 2) } else { (3, 10, 2) };
    let server = setting.layout.compile("server", SERVER)?;
    let _reaper = Reaper::start()?;
    let mut samples: Vec<Vec<f64>> = vec![Vec::new(); SETTINGS.len()];
    for _ in 0..passes {
        for ((name, beside), samples) in SETTINGS.iter().zip(&mut samples) {
            let room = tempfile::tempdir()?;
            let services = Services::new(room.path().join("s"), &server, 1)?;
            let socket = services.sockets().into_iter().next().context("no service")?;
            let Some(_healer) = healer(setting, &services, *beside)? else { continue };
            let took = recoveries(&socket, if matches!(beside, Beside::Monit(true)) { waits } else { rounds });
            let took = took.with_context(|| (*name).to_owned())?;
            println!("{name}: {took:.1?} ms");
            samples.extend(took);
        }
    }
    let rows: Vec<Row<'_>> = SETTINGS.iter().zip(&samples).map(|((name, _), samples)| Row { name, samples }).collect();
    report.samples("kill -9 until the next process answers", "ms", &rows, &["Salve", "Monit"]);
    let of = |place: usize| samples.get(place).and_then(|samples| median(samples));
    let ratio = |place| of(place).zip(of(0)).map(|(beside, alone)| beside / alone);
    report.goal("beside one <= 1.5x of none", ratio(1), Limit::AtMost(1.5));
    report.goal("beside 20 <= 1.5x of none", ratio(2), Limit::AtMost(1.5));
    report.note(
        "A looping plugin is stopped after 100 ms of CPU, and a new instance of it loops at once, for ever: supervision, \
         which would quarantine it at its fifth strike, is set never to. The 20 quarantined are as supervision leaves them.",
    );
    Ok(())
}

/// None where Monit is not installed.
fn healer(setting: &Setting, services: &Services, beside: Beside) -> Result<Option<Healer>> {
    let (count, table) = match beside {
        Beside::Looping(count) => (count, FOR_EVER),
        Beside::Quarantined(count) => (count, SOON),
        Beside::Monit(_) if !is_installed("monit") => return Ok(None),
        Beside::Monit(true) => return Ok(Some(Healer::Monit(services.monit_beside_hung()?))),
        Beside::Monit(false) => return Ok(Some(Healer::Monit(services.monit()?))),
    };
    let builder = services.salve(&setting.layout.salve()?).tables(&format!("{HOST}{table}"));
    let builder =
        builder.plugin(setting.layout.plugin("service-restart")?).plugin(setting.layout.guest("misbehaving")?);
    let mut builder = builder.policy("bench.toml", &policy("s0"));
    if count == 0 {
        builder = builder.policy("misbehaving.toml", "plugin = \"misbehaving\"\n");
    }
    for number in 0..count {
        builder = builder.policy(&format!("loop{number}.toml"), LOOP);
    }
    let agent = builder.start()?;
    wait::attempt(DEADLINE, || {
        let status: Status = serde_json::from_slice(&agent.cli(&["status", "--json"]).stdout).ok()?;
        status.instance("bench").filter(|instance| instance.state == "running").map(drop)
    })
    .context("the plugin that heals does not run")?;
    if matches!(beside, Beside::Quarantined(_)) {
        wait::attempt(DEADLINE, || (quarantined(&agent) == count).then_some(()))
            .with_context(|| format!("{} of {count} are quarantined", quarantined(&agent)))?;
    }
    Ok(Some(Healer::Salve(Box::new(agent))))
}

fn quarantined(agent: &Agent) -> usize {
    let status = serde_json::from_slice(&agent.cli(&["status", "--json"]).stdout);
    let instances =
        status.map(|status: Status| status.policies).unwrap_or_default().into_iter().filter_map(|it| it.instance);
    instances.filter(|instance| instance.state == "quarantined").count()
}

fn recoveries(socket: &Path, rounds: usize) -> Result<Vec<f64>> {
    let mut service = Service::found(socket)?;
    let trials = (0..rounds).map(|_| Ok(service.kill(rest())?.took.as_secs_f64() * 1e3));
    trials.collect()
}
