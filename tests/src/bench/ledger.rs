//! The ledger with a million incidents of 400 days: what each costs, and how long the list and the report take.

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use salve::action::{Action, Outcome};
use salve::clock::Timestamp;
use salve::incident::ledger::{GroupBy, Ledger, LedgerReader};
use salve::incident::{Cause, Fault, Incident, Record, Resolution, Severity, State, Verdict};
use salve::signal::Attribute;

use super::Setting;
use super::report::{Limit, Report, Row, median};

/// Incidents in one commit while the ledger is filled.
const COMMIT: usize = 1000;
/// Incidents that are committed alone.
const SINGLE: usize = 200;
const DAY: Duration = Duration::from_secs(24 * 3600);
const AGE: Duration = Duration::from_secs(400 * 24 * 3600);
const TARGETS: u64 = 200;
const SECOND: u64 = 1_000_000_000;

const LIST: &str = "incident list, the newest 100";
const OPEN: &str = "incident list --open";
const MONTH: &str = "report --since 30d --by target";
const VERSIONS: &str = "report --since 30d --by plugin-digest";
const ALL: &str = "report --since 400d --by target";

pub(super) fn run(setting: &Setting, report: &mut Report) -> Result<()> {
    let count: u64 = if setting.quick { 100_000 } else { 1_000_000 };
    let rounds = if setting.quick { 5 } else { 20 };
    let state = setting.layout.results().join("ledger-state");
    // Left behind by a run that was broken off.
    drop(fs::remove_dir_all(&state));
    let measured = measure(&state, count, rounds, report);
    drop(fs::remove_dir_all(&state));
    measured
}

fn measure(state: &Path, count: u64, rounds: usize, report: &mut Report) -> Result<()> {
    let mut ledger = Ledger::open(state)?;
    let now = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos())?;
    let apart = u64::try_from(AGE.as_nanos())? / count;
    let opened = |number: u64| now - (count - number) * apart;

    let start = Instant::now();
    let mut records = Vec::new();
    for number in 0..count {
        records.extend(life(number, opened(number)));
        if (number + 1) % COMMIT as u64 == 0 {
            ledger.commit(&records)?;
            records.clear();
        }
    }
    ledger.commit(&records)?;
    let took = start.elapsed().as_secs_f64() * 1e6 / count as f64;

    let mut alone = Vec::new();
    for number in 0..SINGLE as u64 {
        let records = life(count + number, now - SECOND * 60 + number);
        let start = Instant::now();
        ledger.commit(&records)?;
        alone.push(start.elapsed().as_secs_f64() * 1e6);
    }
    let bytes = fs::metadata(state.join("ledger.sqlite")).context("there is no ledger")?.len() as f64 / count as f64;
    let filled = vec![(format!("{count} incidents, {COMMIT} a commit"), vec![took, bytes])];
    report.values("Filling the ledger, an incident", &["µs", "bytes"], &filled);
    report.samples(
        "One incident, all its records in one commit",
        "µs",
        &[Row { name: "durable commit", samples: &alone }],
        &[],
    );

    let reader = ledger.reader()?;
    let to = Timestamp::from_nanos(now);
    let since = |age: Duration| Timestamp::from_nanos(now - u64::try_from(age.as_nanos()).unwrap_or(now));
    let listed = |reader: &LedgerReader, open| reader.list(open, 100).map(|list| list.len());
    ensure!(listed(&reader, false)? == 100, "the list is short");
    let reported =
        |age, by| reader.report(since(age), to, by).map(|it| usize::try_from(it.total.incidents).unwrap_or(0));
    let expected = usize::try_from(count * 30 / 400)?;
    let seen = reported(30 * DAY, GroupBy::Target)?;
    ensure!(seen.abs_diff(expected) <= SINGLE + 2, "the report sees {seen} incidents instead of {expected}");

    let mut rows = [LIST, OPEN, MONTH, VERSIONS, ALL].map(|name| (name, Vec::new()));
    for round in 0..rounds {
        for (name, samples) in &mut rows {
            // The whole ledger takes long, and is no goal.
            if *name == ALL && round > 2 {
                continue;
            }
            let start = Instant::now();
            black_box(match *name {
                LIST => listed(&reader, false)?,
                OPEN => listed(&reader, true)?,
                MONTH => reported(30 * DAY, GroupBy::Target)?,
                VERSIONS => reported(30 * DAY, GroupBy::PluginDigest)?,
                _ => reported(AGE, GroupBy::Target)?,
            });
            samples.push(start.elapsed().as_secs_f64() * 1e3);
        }
    }
    let shown: Vec<Row<'_>> = rows.iter().map(|(name, samples)| Row { name, samples }).collect();
    report.samples("Reading it", "ms", &shown, &[]);
    let of = |name: &str| rows.iter().find(|(it, _)| *it == name).and_then(|(_, it)| median(it));
    report.goal("incident list <= 50 ms", of(LIST), Limit::AtMost(50.0));
    report.goal("report --since 30d <= 1000 ms", of(MONTH), Limit::AtMost(1000.0));
    report.note("Bytes are those of the ledger's file with its indices. The reader is the agent's own; the way over the socket is not in it.");
    Ok(())
}

/// An incident that was healed in two seconds by one restart; one in twenty needed a person's eye.
fn life(number: u64, opened: u64) -> [Record; 9] {
    let id = format!("{number:09}");
    let target = format!("service-{:03}.service", number % TARGETS);
    let at = |millis: u64| Timestamp::from_nanos(opened + millis * 1_000_000);
    let digest = if number.is_multiple_of(3) { "3f".repeat(32) } else { "a7".repeat(32) };
    let basis = format!("{}/{digest}", "5c".repeat(32));
    let action = Action { kind: "service.restart".into(), target: target.clone(), parameters: vec![] };
    let incident = Incident {
        id: id.clone(),
        plugin: "service-restart".into(),
        digest: digest.clone(),
        policy: "web".into(),
        fault: Fault {
            kind: "service.down".into(),
            target: target.clone(),
            severity: Severity::Error,
            summary: format!("{target} is failed: its main process was ended by signal 9"),
            evidence: vec![Attribute::new("service.result", "signal"), Attribute::new("service.state", "failed")],
        },
        state: State::Detected,
        since: at(0),
        occurred_at: Timestamp::from_nanos(opened - 5_000_000),
        opened_at: at(0),
        resolved_at: None,
        causes: vec![],
        attempts: vec![],
        round: 0,
        pending: None,
        cause: None,
        flapping: false,
        resolution: None,
        basis: basis.clone(),
    };
    let cause = Cause { summary: "signal 9 ended it".into(), path: vec![], confidence: 0.7, evidence: vec![] };
    let moved = |from, to: State, millis, reason: &str| Record::Moved {
        id: id.clone(),
        from,
        to,
        at: at(millis),
        reason: reason.into(),
        basis: basis.clone(),
        actor: (to == State::Resolved && number.is_multiple_of(20)).then(|| "root".to_owned()),
        cause: None,
        resolution: (to == State::Resolved).then_some(Resolution::Healed),
    };
    let outcome = Outcome {
        action: action.clone(),
        ok: true,
        detail: "active, main process 1234 -> 5678".into(),
        took: Duration::from_millis(12),
    };
    [
        Record::Opened(Box::new(incident)),
        Record::Diagnosed { id: id.clone(), causes: vec![cause] },
        moved(State::Detected, State::Diagnosed, 1, "1 cause"),
        moved(State::Diagnosed, State::Recovering, 2, "attempt 1: service.restart"),
        Record::Began {
            id: id.clone(),
            attempt: 1,
            at: at(2),
            round: 0,
            streak: 1,
            digest,
            targets: vec![target],
            actions: vec![action],
        },
        Record::Done { id: id.clone(), attempt: 1, step: 0, outcome },
        moved(State::Recovering, State::Verifying, 15, "all done"),
        Record::Judged { id: id.clone(), attempt: 1, at: at(2000), verdict: Verdict::Healthy },
        moved(State::Verifying, State::Resolved, 2000, "verified healthy"),
    ]
}
