//! With a script in place of `journalctl`.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

use rustix::process::{Pid, test_kill_process};

use super::super::LogSpec;
use super::super::tests::Bench;
use super::*;
use crate::signal::Attribute;
use crate::signal::collector::Condition;

/// A `journalctl` that notes its arguments and its pid and then does what `body` says.
fn script(bench: &Bench, body: &str) -> String {
    let path = bench.path("journalctl");
    let dir = bench.dir.path().display();
    let text = format!("#!/bin/sh\necho \"$*\" >> {dir}/calls\necho $$ >> {dir}/pids\n{body}\n");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

fn calls(bench: &Bench, file: &str) -> Vec<String> {
    let text = std::fs::read_to_string(bench.path(file)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn record(cursor: &str, unit: &str, message: &str) -> String {
    format!(r#"{{"__CURSOR":"{cursor}","_SYSTEMD_UNIT":"{unit}","MESSAGE":"{message}","PRIORITY":"3"}}"#)
}

#[tokio::test(flavor = "multi_thread")]
async fn records_become_events_and_a_restart_goes_on_behind_the_last() {
    let mut bench = Bench::new();
    let first = record("c1", "nginx.service", "upstream timed out");
    let other = record("c2", "nginx.service", "fine");
    // The rest of the journal comes once it is asked what comes behind the first two.
    let last = record("c3", "nginx.service", "timed out again");
    let body = format!(
        "case \"$*\" in *--after-cursor=c2*) echo '{last}' ;; *--lines=0*) echo '{first}'; echo '{other}' ;; esac\nexec sleep 60"
    );
    let program = script(&bench, &body);
    bench.want(&[("subject", "nginx.service")], Some("timed out"));
    bench.start(BTreeMap::new(), &program);
    let event = bench.event().await;
    assert_eq!((event.subject.as_str(), event.body.as_str()), ("nginx.service", "upstream timed out"));
    assert!(event.attributes.contains(&Attribute::new("log.severity", "err")), "{event:?}");
    bench.until("c2 is noted", |bench| bench.places.cursor(NAME).as_deref() == Some("c2")).await;
    let pid = Pid::from_raw(calls(&bench, "pids")[0].parse().unwrap()).unwrap();
    bench.stop().await;
    bench.until("it ended with its reader", |_| test_kill_process(pid).is_err()).await;
    bench.start(BTreeMap::new(), &program);
    assert_eq!(bench.body().await, "timed out again");
    let calls = calls(&bench, "calls");
    assert!(calls[0].contains("--lines=0 --unit=nginx.service"), "{calls:?}");
    assert!(calls[1].contains("--no-tail --after-cursor=c2 --unit=nginx.service"), "{calls:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_counted_and_an_end_is_told_and_mended() {
    let mut bench = Bench::new();
    let good = record("c1", "a.service", "good");
    let after = record("c2", "a.service", "after");
    let body = format!(
        "case \"$*\" in *--after-cursor=c1*) echo '{after}'; exec sleep 60 ;; esac\n\
         head -c 3000000 /dev/zero | tr '\\0' x; echo; printf '\\377\\n{{\\n'; echo '{good}'\n\
         echo 'Failed to do that' >&2; exit 1"
    );
    let program = script(&bench, &body);
    bench.want(&[("log.source", "journal")], None);
    bench.start(BTreeMap::new(), &program);
    assert_eq!(bench.body().await, "good");
    bench
        .until("the complaint is told", |bench| {
            let view = bench.health.view().into_iter().find(|view| view.source == "log/journal");
            view.is_some_and(|view| view.reason.is_some_and(|reason| reason.contains("Failed to do that")))
        })
        .await;
    assert_eq!(bench.body().await, "after");
    bench.until("ok", |bench| bench.condition("log/journal") == Some(Condition::Ok)).await;
    let view = bench.health.view().into_iter().find(|view| view.source == "log/journal").unwrap();
    assert_eq!((view.dropped, view.failures), (3, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn named_matches_have_their_own_and_nobody_elses() {
    let mut bench = Bench::new();
    let message = record("c1", "sshd.service", "hello");
    let program = script(&bench, &format!("echo '{message}'; exec sleep 60"));
    let only = JournalMatch { identifiers: vec!["sshd".to_owned()], ..JournalMatch::default() };
    // No unit, no journal: only the match that has this name.
    bench.want(&[("subject", "logins")], None);
    let logs = BTreeMap::from([("logins".to_owned(), LogSpec::Journal(only))]);
    bench.start(logs, &program);
    let event = bench.event().await;
    assert_eq!(event.subject, "logins");
    assert!(event.attributes.contains(&Attribute::new("service.name", "sshd.service")));
    assert!(calls(&bench, "calls")[0].ends_with("--lines=0 --identifier=sshd"), "{:?}", calls(&bench, "calls"));
    assert_eq!((calls(&bench, "calls").len(), bench.condition("log/journal")), (1, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_without_journalctl_is_no_fault() {
    let mut bench = Bench::new();
    bench.want(&[("subject", "a.service")], None);
    bench.start(BTreeMap::new(), "/nonexistent/journalctl");
    bench.until("absent", |bench| bench.condition("log/journal") == Some(Condition::Absent)).await;
}

#[test]
fn subjects_that_are_units() {
    for unit in ["nginx.service", "app@*.service", "*.mount"] {
        assert!(is_unit(unit), "{unit}");
    }
    for other in ["*", "app", ".service", "app.log", "service"] {
        assert!(!is_unit(other), "{other}");
    }
}

/// Writes a journal of its own, where the host has what it takes.
fn journal_of(bench: &Bench, messages: std::ops::Range<u64>) -> bool {
    let entry = |n| {
        format!(
            "__REALTIME_TIMESTAMP={}\n__MONOTONIC_TIMESTAMP={n}\n_BOOT_ID={:032x}\nPRIORITY=3\n_PID=7\n_COMM=nginx\n\
             _SYSTEMD_UNIT=nginx.service\nMESSAGE=message {n} {}\n\n",
            1_700_000_000_000_000_u64 + n,
            7,
            "x".repeat(6000),
        )
    };
    let entries: String = messages.map(entry).collect();
    std::fs::write(bench.path("entries"), entries).unwrap();
    let remote = std::process::Command::new("/lib/systemd/systemd-journal-remote")
        .arg(format!("--output={}", bench.path("journal/x.journal").display()))
        .arg(bench.path("entries"))
        .output();
    remote.is_ok_and(|output| output.status.success())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_journalctl_goes_on_behind_the_cursor() {
    let mut bench = Bench::new();
    std::fs::create_dir(bench.path("journal")).unwrap();
    if !journal_of(&bench, 1..3) {
        eprintln!("skipped: this host has no systemd-journal-remote to write a journal with");
        return;
    }
    let program = script(&bench, &format!("exec journalctl --directory={} \"$@\"", bench.path("journal").display()));
    // The first record's cursor, as an earlier agent would have left it.
    let first = std::process::Command::new("journalctl")
        .args(["--output=json", "--lines=2", "--directory"])
        .arg(bench.path("journal"))
        .output()
        .unwrap();
    let line = first.stdout.split(|byte| *byte == b'\n').next().unwrap();
    bench.places.put_cursor(NAME, Some(Record::parse(line).unwrap().cursor));
    bench.want(&[("subject", "nginx.service"), ("log.severity", "err")], None);
    bench.start(BTreeMap::new(), &program);
    let event = bench.event().await;
    assert!(event.body.starts_with("message 2 x") && event.body.len() > 6000, "{}", event.body.len());
    assert!(event.attributes.contains(&Attribute::new("process.pid", 7_i64)), "{event:?}");
    assert!(journal_of(&bench, 3..4));
    assert!(bench.body().await.starts_with("message 3 x"));
}
