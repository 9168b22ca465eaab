//! What becomes of a ledger over the years: full disks, damage, pruning, migrations, and what is read out of it.

use std::fs;
use std::process::Command;

use super::tests::{at, incident, life_at};
use super::*;
use crate::action::Evidence;
use crate::incident::{Notice, NoticeKind, Resolution, State};

const DAY: u64 = 86_400;

fn orphan() -> Record {
    Record::Collected { id: "nobody".into(), attempt: 1, evidence: vec![evidence()] }
}

fn evidence() -> Evidence {
    Evidence { name: "journal:200".into(), text: "oops".into(), ok: true, truncated: false, took_ms: 1.5 }
}

fn notice(key: &str, seconds: u64) -> Record {
    let (kind, key, reason) = (NoticeKind::Escalated, key.into(), "why".into());
    Record::Notice(Box::new(Notice { kind, at: at(seconds), key, reason, incident: None, actions: vec![] }))
}

fn ids(ledger: &Ledger) -> Vec<String> {
    ledger.reader().unwrap().list(false, 10_000).unwrap().into_iter().map(|incident| incident.id).collect()
}

fn rows(ledger: &Ledger, table: &str) -> u32 {
    ledger.connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
}

/// An incident that is larger than what is left of a page.
fn large(id: &str) -> Record {
    let mut incident = incident(id);
    incident.fault.summary = "x".repeat(100_000);
    Record::Opened(Box::new(incident))
}

#[test]
fn a_full_ledger_spends_the_reserve_and_says_that_it_may_pass() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open_with(dir.path(), 64 << 10).unwrap();
    assert!(!ledger.reserve_spent() && dir.path().join("ledger.reserve").exists());
    ledger.connection.pragma_update(None, "max_page_count", 1).unwrap();
    let error = ledger.commit(&[large("0001")]).unwrap_err();
    assert!(!error.is_lasting(), "{error}");
    assert!(ledger.reserve_spent() && !dir.path().join("ledger.reserve").exists());
    assert!(ledger.commit_lenient(&[large("0001")]).is_err(), "nothing is left out for a full disk");
    ledger.connection.pragma_update(None, "max_page_count", 1_000_000).unwrap();
    ledger.commit(&[large("0001")]).unwrap();
    assert_eq!(ids(&ledger), ["0001"]);
}

/// On a file system of its own, which takes root; there this test runs itself again.
#[test]
fn on_a_disk_that_is_really_full_the_reserve_takes_the_records() {
    const DIR: &str = "SALVE_TEST_FULL_DISK";
    const NAME: &str = "incident::ledger::keeping_tests::on_a_disk_that_is_really_full_the_reserve_takes_the_records";
    let Some(dir) = std::env::var_os(DIR) else {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let script = r#"mount -t tmpfs -o size=8m tmpfs "$SALVE_TEST_FULL_DISK" && exec "$0" --exact "$1" --nocapture"#;
        let mut again = Command::new("unshare");
        again.args(["--mount", "sh", "-c", script]).arg(std::env::current_exe().unwrap()).arg(NAME);
        let output = again.env(DIR, dir.path()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{output:?}");
        return;
    };
    let state = Path::new(&dir).join("state");
    let mut ledger = Ledger::open_with(&state, 1 << 20).unwrap();
    ledger.commit(&life_at("0", 100)).unwrap();
    assert!(!ledger.reserve_spent());
    let filler = Path::new(&dir).join("filler");
    assert!(fs::write(&filler, vec![1; 16 << 20]).is_err(), "the disk is full");

    let mut stored = 0;
    let error = (1..10_000).find_map(|n: u32| match ledger.commit(&life_at(&format!("{n:05}"), 100)) {
        Ok(()) => {
            stored = n;
            None
        }
        Err(error) => Some(error),
    });
    let error = error.unwrap();
    assert!(!error.is_lasting() && ledger.reserve_spent(), "{error}");
    assert!(stored > 10, "{stored} stored on a reserve of 1 MiB");
    drop(ledger);
    let mut ledger = Ledger::open_with(&state, 1 << 20).unwrap();
    assert!(ledger.set_aside().is_none() && ledger.reserve_spent());
    fs::remove_file(filler).unwrap();
    ledger.commit(&life_at("z", 100)).unwrap();
    assert_eq!(ids(&ledger).len() as u32, stored + 2, "what was said to be stored is");
}

#[test]
fn what_can_never_be_accepted_is_left_out_alone() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open_with(dir.path(), 0).unwrap();
    let mut records = life_at("0001", 100);
    records.insert(3, orphan());
    records.push(Record::Opened(Box::new(incident("0001"))));
    assert!(ledger.commit(&records).unwrap_err().is_lasting());
    let refused = ledger.commit_lenient(&records).unwrap();
    let last = records.len() - 1;
    assert_eq!(refused.iter().map(|(place, _)| *place).collect::<Vec<_>>(), [3, last]);
    assert!(refused.iter().all(|(_, error)| error.is_lasting()));
    assert_eq!(ledger.reader().unwrap().transitions("0001").unwrap().len(), 6);
    assert_eq!(ledger.commit_lenient(&life_at("0002", 100)).unwrap().len(), 0);
}

#[test]
fn a_busy_ledger_may_take_a_record_later() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open_with(dir.path(), 0).unwrap();
    ledger.connection.busy_timeout(Duration::ZERO).unwrap();
    let other = Connection::open(dir.path().join(FILE)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert!(!ledger.commit_lenient(&life_at("0001", 100)).unwrap_err().is_lasting());
    other.execute_batch("ROLLBACK").unwrap();
    ledger.commit(&life_at("0001", 100)).unwrap();
}

#[test]
fn a_file_that_is_no_ledger_is_set_aside_whole() {
    let dir = tempfile::tempdir().unwrap();
    let garbage = "this is not a database, and long enough to be noticed as none".repeat(20);
    fs::write(dir.path().join(FILE), &garbage).unwrap();
    let mut ledger = Ledger::open_with(dir.path(), 0).unwrap();
    let aside = ledger.set_aside().unwrap();
    assert!(aside.file_name().unwrap().to_str().unwrap().starts_with("ledger.damaged-2"), "{aside:?}");
    assert_eq!(fs::read_to_string(aside).unwrap(), garbage);
    ledger.commit(&life_at("0001", 100)).unwrap();
    drop(ledger);
    let ledger = Ledger::open_with(dir.path(), 0).unwrap();
    assert_eq!((ledger.set_aside(), ids(&ledger).len()), (None, 1));
}

#[test]
fn a_ledger_with_broken_pages_is_set_aside_also_in_its_middle() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    let mut ledger = Ledger::open_with(dir.path(), 0).unwrap();
    for n in 0..300 {
        ledger.commit(&life_at(&format!("{n:04}"), 100 + n)).unwrap();
    }
    drop(ledger);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 16_384].fill(0xa5);
    fs::write(&path, &bytes).unwrap();
    let ledger = Ledger::open_with(dir.path(), 0).unwrap();
    assert_eq!(fs::read(ledger.set_aside().unwrap()).unwrap().len(), bytes.len());
    assert!(ids(&ledger).is_empty());
}

#[test]
fn what_cannot_be_opened_is_not_damaged() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join(FILE)).unwrap();
    let error = Ledger::open_with(dir.path(), 0).unwrap_err();
    assert!(matches!(error, LedgerError::Open { .. }) && error.to_string().contains("may read and write"), "{error}");
    assert!(dir.path().join(FILE).is_dir());
    // Nor is a newer one, which is refused and stays.
    let dir = tempfile::tempdir().unwrap();
    drop(Ledger::open_with(dir.path(), 0).unwrap());
    Connection::open(dir.path().join(FILE)).unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert!(matches!(Ledger::open_with(dir.path(), 0), Err(LedgerError::Schema { .. })));
    assert!(matches!(LedgerReader::open(dir.path()), Err(LedgerError::Version { found: 99, .. })));
    assert_eq!(fs::read_dir(dir.path()).unwrap().filter(|it| it.as_ref().unwrap().path().ends_with(FILE)).count(), 1);
}

#[test]
fn the_old_and_the_too_many_leave_in_bites_with_all_that_hangs_on_them() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open_with(dir.path(), 0).unwrap();
    ledger.commit(&[Record::Opened(Box::new(incident("0000"))), notice("0000", 100)]).unwrap();
    for day in 1..=9 {
        let id = format!("{day:04}");
        ledger.commit(&life_at(&id, day * DAY)).unwrap();
        ledger.commit(&[Record::Collected { id: id.clone(), attempt: 1, evidence: vec![evidence()] }]).unwrap();
        ledger.commit(&[notice(&id, day * DAY)]).unwrap();
    }
    let now = at(10 * DAY);
    // By age: those of the days 1 to 4 ended more than five days ago; two at a time.
    let keep = Duration::from_secs(5 * DAY);
    let pruned = ledger.prune(now, keep, 100, 2).unwrap();
    assert_eq!(pruned, Pruned { incidents: 2, notices: 2, more: true });
    assert_eq!(ids(&ledger).len(), 8);
    assert_eq!(ledger.prune(now, keep, 100, 500).unwrap().incidents, 2);
    assert_eq!(ledger.prune(now, keep, 100, 500).unwrap(), Pruned { incidents: 0, notices: 0, more: false });
    assert_eq!(ids(&ledger), ["0009", "0008", "0007", "0006", "0005", "0000"], "the open one stays, however old");

    // By count: the open one counts, and stays.
    ledger.commit(&life_at("0010", 9 * DAY + 100)).unwrap();
    assert_eq!(ledger.prune(now, keep, 3, 500).unwrap().incidents, 4);
    assert_eq!(ids(&ledger), ["0010", "0009", "0000"]);
    assert_eq!(ledger.prune(now, Duration::ZERO, 0, 500).unwrap().incidents, 2);
    assert_eq!(ledger.prune(now, Duration::ZERO, 0, 500).unwrap().incidents, 0);
    let left = ["incident", "transition", "attempt", "outcome", "evidence", "notice"].map(|table| rows(&ledger, table));
    // The newest notice stays besides that of the open one: channels remember by its number how far they are.
    assert_eq!(left, [1, 1, 0, 0, 0, 2]);
}

#[test]
fn an_export_has_every_incident_once_with_all_that_belongs_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open_with(dir.path(), 0).unwrap();
    for n in 0..450 {
        ledger.commit(&life_at(&format!("{n:04}"), 1000 + n)).unwrap();
    }
    ledger.commit(&[Record::Collected { id: "0007".into(), attempt: 1, evidence: vec![evidence()] }]).unwrap();
    let read = |since, reader: &LedgerReader| {
        let (mut export, mut text) = (Export::new(at(since)), Vec::new());
        while let Some(lines) = export.next(reader).unwrap() {
            assert!(lines.iter().filter(|byte| **byte == b'\n').count() <= 200);
            text.extend(lines);
        }
        let lines = String::from_utf8(text).unwrap();
        lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()).collect::<Vec<_>>()
    };
    let all = read(0, &ledger.reader().unwrap());
    assert_eq!(all.len(), 450);
    assert!((0..).zip(&all).all(|(n, line)| line["id"] == format!("{n:04}")));
    let line = &all[7];
    assert_eq!((&line["resolution"], &line["digest"]), (&"healed".into(), &"d".into()));
    assert_eq!(line["transitions"].as_array().unwrap().len(), 6);
    assert_eq!(line["attempts"][0]["outcomes"][0]["detail"], "pid 1 -> 2");
    assert_eq!(line["attempts"][0]["verdict"], "unhealthy");
    assert_eq!(line["attempts"][0]["collected"][0]["text"], "oops");
    assert_eq!(read(1440, &ledger.reader().unwrap()).len(), 10);
    assert_eq!(read(5000, &ledger.reader().unwrap()).len(), 0);
    drop(ledger);
    assert_eq!(read(0, &LedgerReader::open(dir.path()).unwrap()), all, "the same from the file alone");
    assert!(matches!(LedgerReader::open(&dir.path().join("none")), Err(LedgerError::Open { .. })));
    assert!(!dir.path().join("none").exists(), "reading makes nothing");
}

#[test]
fn the_report_reads_what_was_committed() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open_with(dir.path(), 0).unwrap();
    ledger.commit(&life_at("0001", 100)).unwrap();
    let report = |from, by| ledger.reader().unwrap().report(at(from), at(1000), by).unwrap();
    let all = report(0, GroupBy::PluginDigest);
    let [group] = &*all.groups else { panic!("{:?}", all.groups) };
    assert_eq!((&*group.name, group.incidents, group.open), ("service-restart@d", 1, 0));
    assert_eq!((group.mttd_s, group.mttr_s, group.mtbf_s), (Some(1.0), Some(5.0), Some(995.0)));
    assert_eq!((group.downtime_s, group.healed_alone), (5.0, Some(1.0)));
    let tries = group.actions["service.restart"];
    assert_eq!((tries.attempts, tries.judged, tries.healthy, tries.worked), (1, 1, 0, Some(0.0)));
    for (by, name) in [(GroupBy::Target, "demo"), (GroupBy::Kind, "service.down"), (GroupBy::Policy, "web")] {
        let report = report(0, by);
        assert_eq!((&*report.groups[0].name, report.groups.len()), (name, 1));
        assert_eq!(report.total, Group { name: "total".into(), ..group.clone() });
    }
    // One that was opened before the window.
    let later = report(102, GroupBy::Target).total;
    assert_eq!((later.incidents, later.downtime_s, later.mttr_s), (0, 3.0, None));
    assert_eq!(report(105, GroupBy::Target).total, Group { name: "total".into(), ..Group::default() });

    // A person was needed; and one that is open.
    let mut escalated = life_at("0002", 200);
    let (from, to) = (State::Diagnosed, State::Escalated);
    let (reason, basis) = (String::new(), String::new());
    let moved = Record::Moved {
        id: "0002".into(),
        from,
        to,
        at: at(201),
        reason,
        basis,
        actor: None,
        cause: None,
        resolution: None,
    };
    escalated.insert(3, moved);
    ledger.commit(&escalated).unwrap();
    let mut open = incident("0003");
    (open.opened_at, open.occurred_at) = (at(900), at(900));
    ledger.commit(&[Record::Opened(Box::new(open))]).unwrap();
    let total = ledger.reader().unwrap().report(at(0), at(1000), GroupBy::Kind).unwrap().total;
    assert_eq!((total.incidents, total.open, total.healed_alone), (3, 1, Some(0.5)));
    assert_eq!((total.downtime_s, total.recurrence), (110.0, Some(1.0)));
    let late = ledger.reader().unwrap().report(at(950), at(1000), GroupBy::Kind).unwrap().total;
    assert_eq!((late.incidents, late.downtime_s, late.availability), (0, 50.0, Some(0.0)));
}

#[test]
fn a_ledger_of_the_last_version_is_brought_up_with_what_the_report_needs() {
    let dir = tempfile::tempdir().unwrap();
    let mut old = Connection::open(dir.path().join(FILE)).unwrap();
    schema::migrate_to(&mut old, 2);
    old.execute_batch(
        r#"INSERT INTO incident (id, plugin, policy, kind, target, severity, summary, evidence, causes, state, opened_at,
                                 resolved_at, basis, resolution)
           VALUES ('1', 'p', 'web', 'k', 't', 'error', 's', '[]', '[]', 'resolved', 0, 5, '', 'healed'),
                  ('2', 'p', 'web', 'k', 't', 'error', 's', '[]', '[]', 'escalated', 9, NULL, '', NULL);
           INSERT INTO transition (incident, to_state, at, reason) VALUES ('1', 'resolved', 5, ''), ('2', 'escalated', 9, '');
           INSERT INTO attempt (incident, number, started_at, streak, actions, verdict) VALUES
             ('1', 1, 1, 1, '[{"kind":"a","target":"t"},{"kind":"b","target":"t"},{"kind":"a","target":"u"}]', '{"verdict":"healthy"}'),
             ('2', 1, 2, 1, '[{"kind":"a","target":"t"}]', '{"verdict":"unhealthy","reason":"no"}'),
             ('2', 2, 3, 1, '[]', NULL);"#,
    )
    .unwrap();
    drop(old);
    let ledger = Ledger::open_with(dir.path(), 0).unwrap();
    let report = ledger.reader().unwrap().report(at(0), at(1), GroupBy::Kind).unwrap().total;
    assert_eq!(report.healed_alone, Some(0.5));
    let tries = |kind: &str| (report.actions[kind].attempts, report.actions[kind].judged, report.actions[kind].healthy);
    assert_eq!((tries("a"), tries("b")), ((2, 2, 1), (1, 1, 1)));
    assert_eq!(ledger.reader().unwrap().list(false, 9).unwrap()[1].resolution, Some(Resolution::Healed));
}
