//! What becomes of the incidents of a plugin that is quarantined.

use super::*;

fn release(desk: &mut Desk) -> Result<String, String> {
    desk.say(Word::Release { name: "p".into(), reason: "it is better".into() })
}

#[test]
fn open_incidents_escalate_and_go_on_when_it_is_released() {
    let mut desk = Desk::new(auto());
    desk.until_recover();
    desk.quarantine_as("web", auto(), "basis");
    assert_eq!(desk.state_of("demo"), Escalated);
    assert_eq!(desk.last_reason(), "its plugin p is quarantined: 5 strikes");
    assert_eq!(desk.notices(), [NoticeKind::PluginQuarantined, NoticeKind::Escalated]);

    // However long it takes, nothing is tried again, and nothing is forgotten.
    desk.wait(seconds(100_000));
    assert_eq!((desk.state_of("demo"), desk.engine.open()), (Escalated, 1));

    desk.questions.clear();
    assert!(release(&mut desk).unwrap().contains("released by root: it is better; it starts again under policy web"));
    assert!(release(&mut desk).unwrap_err().contains("no plugin or policy `p` is quarantined"));
    desk.arrive(auto(), "basis");
    desk.verify(Verdict::Unhealthy("still down".into()));
    assert_eq!(desk.last_reason(), "its plugin is not quarantined any more");
    desk.recover(act("demo"));
    desk.perform(true);
    desk.wait(seconds(1));
    desk.verify(Verdict::Healthy);
    assert_eq!(desk.state_of("demo"), Resolved);
    let freed = desk.records.iter().find_map(|record| match record {
        Record::Freed { policy, actor, .. } => Some((policy.as_str(), actor.as_deref())),
        _ => None,
    });
    assert_eq!(freed, Some(("web", Some("root"))));
    assert!(desk.notices().contains(&NoticeKind::PluginUp));
}

#[test]
fn in_every_state_an_incident_comes_to_a_person_without_another_action() {
    // Found, and not yet explained; deferred; waiting for a yes; waiting for nobody in observe mode.
    let mut desk = Desk::new(auto());
    desk.find(Finding::Present(fault("found")));
    desk.find(Finding::Present(fault("deferred")));
    desk.answer_about("deferred", Topic::Diagnose, Reply::Causes(vec![]));
    desk.answer_about("deferred", Topic::Recover, Reply::Recovery(Recovery::Wait(seconds(5))));
    desk.arrive_as("asks", Rules { mode: Mode::Approve, ..auto() }, "basis");
    desk.propose("asks", "asked");
    desk.arrive_as("looks", Rules { mode: Mode::Observe, ..auto() }, "basis");
    desk.propose("looks", "seen");
    assert_eq!([Deferred, AwaitingApproval, Suppressed], ["deferred", "asked", "seen"].map(|it| desk.state_of(it)));
    for policy in ["web", "asks", "looks"] {
        desk.quarantine_as(policy, auto(), "basis");
    }
    for target in ["found", "deferred", "asked", "seen"] {
        assert_eq!(desk.state_of(target), Escalated, "{target}");
    }
    assert!(desk.orders.is_empty());
}

#[test]
fn what_is_under_way_is_finished_and_then_goes_to_a_person() {
    let mut desk = Desk::new(auto());
    desk.until_recover();
    desk.recover(act("demo"));
    desk.quarantine_as("web", auto(), "basis");
    assert_eq!(desk.state_of("demo"), Recovering);
    desk.perform(true);
    desk.wait(seconds(1));
    assert_eq!(desk.state_of("demo"), Verifying);
    // Nobody can tell whether it worked: what is asked is answered with the reason, at once.
    desk.answer(Topic::Verify, Err("it is down".into()));
    desk.answer(Topic::Recover, Err("it is down".into()));
    assert_eq!(desk.state_of("demo"), Escalated);
    assert_eq!(desk.last_reason(), "its plugin p is quarantined: 5 strikes");

    // The same while it waits for the verdict.
    let mut desk = Desk::new(auto());
    desk.until_recover();
    desk.recover(act("demo"));
    desk.perform(true);
    desk.wait(seconds(1));
    desk.quarantine_as("web", auto(), "basis");
    assert_eq!(desk.state_of("demo"), Escalated);
    assert!(desk.engine.locks.is_empty() && desk.engine.under_way.is_empty());
}

#[test]
fn it_lasts_over_a_restart_and_ends_with_other_bytes() {
    let mut desk = Desk::new(auto());
    desk.until_recover();
    desk.quarantine_as("web", auto(), "basis");
    let past = recalled(&desk.records, desk.now);
    assert_eq!(past.quarantines.len(), 1);
    let mut desk = Desk::with(HostRules::default(), past);
    desk.quarantine_as("web", auto(), "basis");
    assert!(desk.records.is_empty(), "it is known: {:?}", desk.records);
    // It is somebody's all the same.
    desk.wait(seconds(100));
    assert!(desk.records.is_empty(), "{:?}", desk.records);

    desk.arrive(auto(), "other bytes");
    assert!(desk.records.iter().any(|record| matches!(record, Record::Freed { actor: None, .. })));
    desk.verify(Verdict::Unhealthy("still down".into()));
    desk.recover(act("demo"));
    assert_eq!(desk.orders.len(), 1);
}

#[test]
fn without_its_plugin_a_quarantine_keeps_nobody_from_being_orphaned() {
    let mut desk = Desk::new(auto());
    desk.until_recover();
    desk.quarantine_as("web", auto(), "basis");
    desk.give(Input::Gone { policy: "web".into() });
    desk.wait(seconds(61));
    assert_eq!(desk.state_of("demo"), Orphaned);
}
