use super::*;

const DAY: u64 = 86_400;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_nanos(seconds * 1_000_000_000)
}

/// Opened then, seen so long before, resolved so long after.
fn span(target: &str, kind: &str, opened: u64, seen: u64, took: Option<u64>) -> Span {
    Span {
        group: target.into(),
        policy: "web".into(),
        kind: kind.into(),
        target: target.into(),
        occurred_at: at(opened - seen),
        opened_at: at(opened),
        resolved_at: took.map(|took| at(opened + took)),
        healed: took.is_some(),
        person: false,
    }
}

#[test]
fn every_figure_of_a_small_history() {
    let mut tally = Tally::new(at(10 * DAY), at(20 * DAY));
    // Reaches into the window: 100 s of downtime, and nothing else.
    tally.add(span("a", "down", 10 * DAY - 100, 0, Some(200)));
    tally.add(span("a", "down", 11 * DAY, 2, Some(10)));
    // Back within a day.
    tally.add(span("a", "down", 11 * DAY + 3600, 4, Some(30)));
    // A person had to close it; meanwhile another is open on the same target.
    tally.add(Span { healed: false, person: true, ..span("b", "down", 12 * DAY, 0, Some(1000)) });
    tally.add(span("b", "slow", 12 * DAY + 500, 0, Some(1000)));
    // Still open.
    tally.add(span("b", "down", 20 * DAY - 200, 0, None));
    tally.tried(&Count { group: "a".into(), kinds: "stop,start".into(), worked: Some(true), count: 3 });
    tally.tried(&Count { group: "a".into(), kinds: "start".into(), worked: Some(false), count: 1 });
    tally.tried(&Count { group: "a".into(), kinds: "start".into(), worked: None, count: 1 });
    let report = tally.finish(GroupBy::Target);

    let [b, a] = &*report.groups else { panic!("{:?}", report.groups) };
    let tries = |attempts, judged, healthy, worked| Tries { attempts, judged, healthy, worked: Some(worked) };
    let actions =
        BTreeMap::from([("start".to_owned(), tries(5, 4, 3, 0.75)), ("stop".to_owned(), tries(3, 3, 3, 1.0))]);
    let expected = Group {
        name: "a".into(),
        targets: 1,
        incidents: 2,
        open: 0,
        failure_rate: 0.2,
        mttd_s: Some(3.0),
        mttr_s: Some(20.0),
        mtbf_s: Some((864_000.0 - 140.0) / 2.0),
        downtime_s: 140.0,
        availability: Some(1.0 - 140.0 / 864_000.0),
        healed_alone: Some(1.0),
        recurrence: Some(0.5),
        actions: actions.clone(),
    };
    assert_eq!(a, &expected);
    let expected = Group {
        name: "b".into(),
        targets: 1,
        incidents: 3,
        open: 1,
        failure_rate: 0.3,
        mttd_s: Some(0.0),
        mttr_s: Some(2200.0 / 3.0),
        mtbf_s: Some((864_000.0 - 1700.0) / 3.0),
        downtime_s: 1700.0,
        availability: Some(1.0 - 1700.0 / 864_000.0),
        healed_alone: Some(0.5),
        recurrence: Some(0.0),
        actions: BTreeMap::new(),
    };
    assert_eq!(b, &expected);
    let expected = Group {
        name: "total".into(),
        targets: 2,
        incidents: 5,
        open: 1,
        failure_rate: 0.5,
        mttd_s: Some(1.2),
        mttr_s: Some(448.0),
        mtbf_s: Some((1_728_000.0 - 1840.0) / 5.0),
        downtime_s: 1840.0,
        availability: Some(1.0 - 1840.0 / 1_728_000.0),
        healed_alone: Some(0.75),
        recurrence: Some(0.25),
        actions,
    };
    assert_eq!(report.total, expected);
}

#[test]
fn a_fault_is_back_up_to_a_day_later_and_only_the_same_one() {
    let recurred = |second: Span| {
        let mut tally = Tally::new(at(0), at(20 * DAY));
        tally.add(span("a", "down", DAY, 0, Some(10)));
        tally.add(second);
        tally.finish(GroupBy::Target).total.recurrence
    };
    assert_eq!(recurred(span("a", "down", 2 * DAY + 10, 0, Some(1))), Some(0.5));
    assert_eq!(recurred(span("a", "down", 2 * DAY + 11, 0, Some(1))), Some(0.0));
    assert_eq!(recurred(span("a", "slow", DAY + 20, 0, Some(1))), Some(0.0));
    assert_eq!(recurred(span("b", "down", DAY + 20, 0, Some(1))), Some(0.0));
    assert_eq!(recurred(Span { policy: "db".into(), ..span("a", "down", DAY + 20, 0, Some(1)) }), Some(0.0));
}

#[test]
fn nothing_happened_is_a_report_too() {
    let report = Tally::new(at(0), at(DAY)).finish(GroupBy::Kind);
    assert_eq!(report.groups, []);
    assert_eq!(report.total, Group { name: "total".into(), ..Group::default() });
    assert_eq!(Tally::new(at(DAY), at(DAY)).finish(GroupBy::Kind).total.availability, None, "a window of no length");
}

#[test]
fn words_are_read_back_and_unknown_ones_list_the_known() {
    for by in GroupBy::ALL {
        assert_eq!(by.as_str().parse(), Ok(by));
    }
    assert!("host".parse::<GroupBy>().unwrap_err().contains("target, kind, policy, plugin-digest"));
}

#[test]
fn the_long_queries_read_indices_only() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = super::super::Ledger::open_with(dir.path(), 0).unwrap();
    let plan = |sql: &str| -> String {
        let mut explain = ledger.connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let lines = explain.query_map((0, 0), |row| row.get::<_, String>(3)).unwrap();
        lines.map(Result::unwrap).collect::<Vec<_>>().join("\n")
    };
    let [reaching, opened] = incident_queries(GroupBy::Kind);
    assert_eq!(plan(&opened), "SEARCH incident USING COVERING INDEX incident_report (opened_at>? AND opened_at<?)");
    let reaching = plan(&reaching);
    assert!(reaching.contains("COVERING INDEX incident_resolved (resolved_at>?)"), "{reaching}");
    assert!(!reaching.contains("SCAN incident"), "{reaching}");
    let tried = plan(&attempt_query(GroupBy::Kind));
    assert!(tried.contains("COVERING INDEX attempt_report (started_at>? AND started_at<?)"), "{tried}");
}
