use super::*;
use crate::action::{Action, Outcome};
use crate::clock::Timestamp;
use crate::incident::{Cause, Fault, Severity, State, Verdict};
use crate::signal::{Attribute, Value};

pub(super) fn at(seconds: u64) -> Timestamp {
    Timestamp::from_nanos(seconds * 1_000_000_000)
}

fn now() -> Now {
    Now { wall: at(1000), mono: Duration::from_secs(100_000) }
}

pub(super) fn incident(id: &str) -> crate::incident::Incident {
    crate::incident::Incident {
        id: id.into(),
        plugin: "service-restart".into(),
        policy: "web".into(),
        fault: Fault {
            kind: "service.down".into(),
            target: "demo".into(),
            severity: Severity::Error,
            summary: "demo is failed".into(),
            evidence: vec![
                Attribute::new("service.result", "signal"),
                Attribute::new("process.exit.signal", Value::Integer(9)),
                Attribute::new("share", Value::Number(0.5)),
            ],
        },
        state: State::Detected,
        opened_at: at(100),
        resolved_at: None,
        causes: vec![],
        attempts: vec![],
        digest: "d".into(),
        since: at(100),
        occurred_at: at(99),
        round: 0,
        pending: None,
        cause: None,
        flapping: false,
        resolution: None,
        basis: "a/b".into(),
    }
}

fn moved(id: &str, from: State, to: State, seconds: u64) -> Record {
    let (id, reason, basis) = (id.into(), "why".into(), "a/b".into());
    let resolution = (to == State::Resolved).then_some(crate::incident::Resolution::Healed);
    Record::Moved { id, from, to, at: at(seconds), reason, basis, actor: None, cause: None, resolution }
}

fn life(id: &str) -> Vec<Record> {
    life_at(id, 100)
}

/// A whole life of an incident, as records.
pub(super) fn life_at(id: &str, opened: u64) -> Vec<Record> {
    let action = Action { kind: "service.restart".into(), target: "demo".into(), parameters: vec![] };
    let took = Duration::from_micros(1500);
    let outcome = Outcome { action: action.clone(), ok: true, detail: "pid 1 -> 2".into(), took };
    let cause = Cause { summary: "signal 9 ended it".into(), path: vec![], confidence: 0.7, evidence: vec![] };
    let mut began = incident(id);
    (began.opened_at, began.since, began.occurred_at) = (at(opened), at(opened), at(opened - 1));
    vec![
        Record::Opened(Box::new(began)),
        Record::Diagnosed { id: id.into(), causes: vec![cause] },
        moved(id, State::Detected, State::Diagnosed, opened + 1),
        moved(id, State::Diagnosed, State::Recovering, opened + 2),
        Record::Began {
            id: id.into(),
            attempt: 1,
            at: at(opened + 2),
            round: 1,
            streak: 4,
            digest: "d".into(),
            targets: vec!["demo".into()],
            actions: vec![action],
        },
        Record::Done { id: id.into(), attempt: 1, step: 0, outcome },
        moved(id, State::Recovering, State::Verifying, opened + 3),
        Record::Judged { id: id.into(), attempt: 1, at: at(opened + 4), verdict: Verdict::Unhealthy("no".into()) },
        moved(id, State::Verifying, State::Diagnosed, opened + 4),
        moved(id, State::Diagnosed, State::Resolved, opened + 5),
    ]
}

#[test]
fn what_is_committed_is_read_back_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(&dir.path().join("state")).unwrap();
    ledger.commit(&life("0001")).unwrap();
    ledger.commit(&[Record::Opened(Box::new(incident("0002")))]).unwrap();
    drop(ledger);

    let ledger = Ledger::open(&dir.path().join("state")).unwrap();
    assert_eq!(ledger.past(now()).unwrap().open, [incident("0002")]);
    let reader = ledger.reader().unwrap();
    let all = reader.list(false, 10).unwrap();
    assert_eq!(all.iter().map(|incident| &*incident.id).collect::<Vec<_>>(), ["0002", "0001"]);
    let closed = &all[1];
    assert_eq!((closed.state, closed.resolved_at), (State::Resolved, Some(at(105))));
    assert_eq!(closed.fault, incident("0001").fault);
    let attempt = &closed.attempts[0];
    assert_eq!(attempt.verdict, Some(Verdict::Unhealthy("no".into())));
    assert_eq!(attempt.outcomes[0].took, Duration::from_micros(1500));
    let states: Vec<_> = reader.transitions("0001").unwrap().iter().map(|step| step.to).collect();
    let expected =
        [State::Detected, State::Diagnosed, State::Recovering, State::Verifying, State::Diagnosed, State::Resolved];
    assert_eq!(states, expected);
}

#[test]
fn a_batch_is_stored_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(dir.path()).unwrap();
    let orphan = Record::Done {
        id: "nobody".into(),
        attempt: 1,
        step: 0,
        outcome: Outcome {
            action: Action { kind: "k".into(), target: "t".into(), parameters: vec![] },
            ok: true,
            detail: String::new(),
            took: Duration::ZERO,
        },
    };
    assert!(ledger.commit(&[Record::Opened(Box::new(incident("0001"))), orphan]).is_err());
    assert!(ledger.past(now()).unwrap().open.is_empty());
}

#[test]
fn an_id_is_found_by_its_beginning() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(dir.path()).unwrap();
    for id in ["6abc", "6abd", "7zzz"] {
        ledger.commit(&[Record::Opened(Box::new(incident(id)))]).unwrap();
    }
    let reader = ledger.reader().unwrap();
    let found = |prefix| reader.find(prefix).unwrap().len();
    assert_eq!((found("6abc"), found("7"), found("6ab"), found("8")), (1, 1, 2, 0));
}

#[test]
fn backoff_remembers_across_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(dir.path()).unwrap();
    ledger.commit(&life("0001")).unwrap();
    let now = Now { wall: at(110), mono: Duration::from_secs(1000) };
    let recency = ledger.past(now).unwrap().recency[&("web".to_owned(), "demo".to_owned())];
    assert_eq!(recency.streak, 4);
    assert_eq!(recency.last_began, Some(Duration::from_secs(992)));
    assert_eq!(recency.healthy_since, Some(Duration::from_secs(995)));
}

#[test]
fn a_state_directory_that_is_none_is_refused_with_a_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = Ledger::open(&file.join("state")).unwrap_err().to_string();
    assert!(error.contains("state directory") && error.contains("salve.toml"), "{error}");
}

#[test]
fn a_newer_ledger_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(Ledger::open(dir.path()).unwrap());
    let connection = Connection::open(dir.path().join(FILE)).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let error = Ledger::open(dir.path()).unwrap_err();
    assert!(matches!(error, LedgerError::Schema { .. }), "{error}");
}

#[test]
fn plugin_state_is_kept_apart_bounded_and_durable() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path()).unwrap();
    let state = ledger.plugin_state().unwrap();
    let quota = Quota::default();
    let set = |policy: &str, key: &str, value: &[u8]| state.set(policy, key, value, &quota);
    set("web", "a", b"1").unwrap();
    set("web", "a", b"2").unwrap();
    set("db", "a", b"3").unwrap();
    assert_eq!(state.get("web", "a", &quota).unwrap().as_deref(), Some(&b"2"[..]));
    assert!(set("web", &"k".repeat(129), b"").unwrap_err().contains("128"));
    assert!(set("web", "big", &vec![0; 65537]).unwrap_err().contains("65536"));
    for n in 1..256 {
        set("web", &format!("k{n}"), b"").unwrap();
    }
    assert!(set("web", "one more", b"").unwrap_err().contains("256"));
    set("web", "a", b"4").unwrap();
    state.delete("web", "k1", &quota).unwrap();
    let full = Quota { bytes: 10, ..quota };
    state.set("small", "key", b"1234567", &full).unwrap();
    let error = state.set("small", "k", b"", &full).unwrap_err();
    assert!(error.contains("11 bytes in all; at most 10"), "{error}");
    // What is written again does not count twice.
    state.set("small", "key", b"7654321", &full).unwrap();
    drop((state, ledger));
    let state = Ledger::open(dir.path()).unwrap().plugin_state().unwrap();
    assert_eq!(state.keys("web", &quota).unwrap().len(), 255);
    assert_eq!(state.get("web", "a", &quota).unwrap().as_deref(), Some(&b"4"[..]));
}
