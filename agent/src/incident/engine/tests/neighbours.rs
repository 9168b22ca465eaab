//! What a policy says and does must not keep others from healing.

use super::*;

/// May run one command, and nothing else.
fn harmless() -> Rules {
    Rules { grant: vec![Pattern::parse("command.run:noop*").unwrap()], attempts: 1000, ..auto() }
}

fn noop(number: u32) -> Recovery {
    let action = Action { kind: "command.run".into(), target: format!("noop-{number}"), parameters: vec![] };
    let for_ever = Duration::from_secs(86400);
    Recovery::Act(Plan { actions: vec![action], settle: for_ever, deadline: for_ever })
}

/// A host with the policies `web` and, with few rights, `hostile`.
fn two(host: HostRules) -> Desk {
    let mut desk = Desk::on(host, auto());
    desk.arrive_as("hostile", harmless(), "basis");
    desk
}

/// The hostile one finds a fault, and has a command run for it.
fn act_for(desk: &mut Desk, target: &str, number: u32) {
    desk.find_as("hostile", Finding::Present(fault(target)));
    desk.answer_about(target, Topic::Diagnose, Reply::Causes(vec![]));
    desk.answer_about(target, Topic::Recover, Reply::Recovery(noop(number)));
}

#[test]
fn a_storm_of_one_policy_stops_that_policy_alone() {
    let breaker = Breaker { incidents: 3, actions: 100, within: seconds(600) };
    let mut desk = two(HostRules { breaker, ..HostRules::default() });
    (0..100).for_each(|n| desk.find_as("hostile", Finding::Present(fault(&format!("t{n}")))));
    assert_eq!(desk.notices(), [NoticeKind::BreakerOpened], "told once, and nothing else");
    assert_eq!(desk.engine.open(), 30, "what is found without end is not taken down without end");
    desk.answer_about("t1", Topic::Diagnose, Reply::Causes(vec![]));
    desk.answer_about("t1", Topic::Recover, Reply::Recovery(noop(1)));
    assert_eq!(desk.state_of("t1"), Deferred);
    assert!(desk.last_reason().contains("by breaker"), "{}", desk.last_reason());
    desk.propose("web", "demo");
    assert_eq!(desk.state_of("demo"), Recovering, "{}", desk.last_reason());
    desk.say(Word::Resume { policy: Some("hostile".into()), target: None, all: false }).unwrap();
    assert_eq!(desk.notices().last(), Some(&NoticeKind::BreakerClosed));
}

#[test]
fn so_do_too_many_actions_of_one_policy() {
    let breaker = Breaker { incidents: 100, actions: 2, within: seconds(600) };
    let mut desk = two(HostRules { breaker, ..HostRules::default() });
    (0..3).for_each(|n| act_for(&mut desk, &format!("t{n}"), n));
    assert_eq!(["t1", "t2"].map(|target| desk.state_of(target)), [Recovering, Deferred]);
    desk.propose("web", "demo");
    assert_eq!(desk.state_of("demo"), Recovering, "{}", desk.last_reason());
}

#[test]
fn a_storm_that_is_nobodys_alone_stops_everything() {
    let breaker = Breaker { incidents: 4, actions: 100, within: seconds(600) };
    let mut desk = two(HostRules { breaker, ..HostRules::default() });
    for policy in ["a", "b", "c"] {
        desk.arrive_as(policy, auto(), "basis");
        desk.find_as(policy, Finding::Present(fault(policy)));
    }
    desk.find_as("hostile", Finding::Present(fault("h")));
    desk.propose("web", "demo");
    assert_eq!(desk.state_of("demo"), Deferred);
    desk.say(Word::CloseBreaker).unwrap();
}

#[test]
fn plans_that_settle_for_ever_leave_others_a_place() {
    let mut desk = two(HostRules { max_plans: 2, ..HostRules::default() });
    desk.arrive_as("third", harmless(), "basis");
    (0..3).for_each(|n| act_for(&mut desk, &format!("t{n}"), n));
    assert_eq!(["t0", "t1", "t2"].map(|target| desk.state_of(target)), [Recovering, Recovering, Deferred]);
    desk.propose("web", "demo");
    assert_eq!(desk.state_of("demo"), Deferred, "two act");
    desk.perform(true);
    // It has a place now: the other one still acts.
    desk.answer_about("demo", Topic::Recover, Reply::Recovery(act("demo")));
    assert_eq!(desk.state_of("demo"), Recovering, "{}", desk.last_reason());
    desk.propose("web", "other");
    assert_eq!(desk.state_of("other"), Deferred, "a second one waits for a place of its own");
    assert_eq!(desk.state_of("t2"), Deferred);
}

#[test]
fn what_a_policy_may_not_touch_it_keeps_others_from_only_while_it_acts() {
    let mut desk = two(HostRules::default());
    act_for(&mut desk, "demo", 1);
    desk.find(Finding::Present(Fault { kind: "service.slow".into(), ..fault("demo") }));
    desk.answer(Topic::Diagnose, Ok(Reply::Causes(vec![])));
    desk.recover(act("demo"));
    assert_eq!(desk.states().last(), Some(&Deferred), "it acts");
    desk.perform(true);
    desk.answer(Topic::Diagnose, Ok(Reply::Causes(vec![])));
    desk.recover(act("demo"));
    assert_eq!(desk.states().last(), Some(&Recovering), "{}", desk.last_reason());
}

#[test]
fn the_same_fault_found_by_others_meanwhile_counts_when_it_has_acted() {
    let mut desk = two(HostRules::default());
    act_for(&mut desk, "demo", 1);
    desk.find(Finding::Present(fault("demo")));
    assert_eq!(desk.engine.open(), 1);
    desk.perform(true);
    assert_eq!(desk.engine.open(), 2);
}

#[test]
fn what_a_policy_has_no_say_in_is_no_cause() {
    let mut desk = two(HostRules::default());
    desk.find_as("hostile", Finding::Present(fault("db")));
    desk.give(Input::Gone { policy: "hostile".into() });
    desk.propose("web", "app");
    assert_eq!(desk.state_of("app"), Recovering, "{}", desk.last_reason());
    // Unless the operator lets it explain that target.
    let mut desk = Desk::new(auto());
    desk.arrive_as("told", Rules { explains: vec!["db".into()], ..harmless() }, "basis");
    desk.find_as("told", Finding::Present(fault("db")));
    desk.propose("web", "app");
    assert_eq!(desk.state_of("app"), Suppressed, "{}", desk.last_reason());
}
