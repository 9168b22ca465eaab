//! The plugin's decisions, natively: who is in which trouble, and what is done about it in which order.

#![expect(clippy::unwrap_used, clippy::panic, reason = "the helpers of tests fail as the tests do")]

use std::time::Duration;

use runaway_process::RunawayProcess;
use salve_plugin_sdk::testing::Harness;
use salve_plugin_sdk::{Attempt, prelude::*, state};

const CONFIG: &str = r#"{
    "processes": ["worker"], "avoid": ["sacred.service"], "zombies": 3,
    "cpu": { "above": 0.9, "clear": 0.5, "for": "20s" }
}"#;
const CPU: &str = "process.cpu.utilization";
const WORKER: [(&str, &str); 4] = [
    ("process.executable.name", "worker"),
    ("process.pid", "7"),
    ("process.start_time", "700"),
    ("service.name", "app.service"),
];

type Plugin = Harness<RunawayProcess>;

/// One that knows nothing.
fn plugin(config: &str) -> Plugin {
    state::keys().iter().for_each(|key| state::delete(key).unwrap());
    Plugin::new(config).unwrap()
}

fn readings(plugin: &mut Plugin, count: u32, metric: &str, of: &[(&str, &str)], value: f64) -> Vec<Finding> {
    (0..count).flat_map(|_| plugin.sample(metric, of, value)).collect()
}

/// A worker that loops, and its fault.
fn looping(config: &str) -> (Plugin, Fault) {
    let mut plugin = plugin(config);
    let findings = readings(&mut plugin, 21, CPU, &WORKER, 1.0);
    let [Finding::Present(fault)] = &findings[..] else { panic!("{findings:?}") };
    let fault = fault.clone();
    (plugin, fault)
}

fn raised(findings: &[Finding]) -> Vec<(&str, &str)> {
    findings
        .iter()
        .filter_map(|finding| match finding {
            Finding::Present(fault) => Some((fault.kind.as_str(), fault.target.as_str())),
            Finding::Cleared(_) => None,
        })
        .collect()
}

fn cleared(findings: &[Finding], kind: &str, target: &str) -> bool {
    findings.contains(&Fault::new(kind, target).cleared())
}

/// What is done in one attempt after the other, until a person is asked.
fn ladder(plugin: &mut Plugin, fault: &Fault) -> (Vec<Action>, String) {
    let (mut actions, mut attempts): (Vec<Action>, Vec<Attempt>) = (vec![], vec![]);
    loop {
        match plugin.recover(fault, attempts.clone()) {
            Recovery::Act(plan) => {
                actions.extend(plan.actions.clone());
                attempts.push(plugin.attempt(attempts.len() as u32 + 1, &plan, Verdict::Unhealthy("still".into())));
            }
            Recovery::Escalate(reason) => return (actions, reason),
            Recovery::Wait(_) => panic!("it waits"),
        }
    }
}

fn stuck(subject: &str, pid: i64, how: &str, parent: i64) -> Event {
    Event::new("process.state", format!("{subject}[{pid}]"))
        .with("process.executable.name", subject)
        .with("process.pid", pid)
        .with("process.state", how)
        .with("process.parent_pid", parent)
        .with("process.state.duration", 5.0)
}

#[test]
fn cpu_that_lasts_is_a_runaway_and_a_peak_is_not() {
    let mut plugin = plugin(CONFIG);
    for _ in 0..5 {
        assert!(readings(&mut plugin, 19, CPU, &WORKER, 1.0).is_empty());
        assert!(readings(&mut plugin, 1, CPU, &WORKER, 0.4).is_empty());
    }
    let (mut plugin, fault) = looping(CONFIG);
    assert_eq!((fault.kind.as_str(), fault.target.as_str()), ("process.runaway", "worker[7]"));
    assert_eq!(fault.summary, "worker[7] takes 100 % of a CPU");
    assert!(readings(&mut plugin, 30, CPU, &WORKER, 0.7).is_empty(), "between the two it stays");
    assert!(cleared(&readings(&mut plugin, 1, CPU, &WORKER, 0.3), "process.runaway", "worker[7]"));
}

#[test]
fn descriptors_count_by_what_it_may_have_and_threads_by_number() {
    let mut plugin = plugin(CONFIG);
    let mut findings = vec![];
    for _ in 0..31 {
        let samples = [
            ("process.unix.file_descriptor.count", &WORKER[..], 950.0),
            ("process.unix.file_descriptor.limit", &WORKER[..], 1024.0),
        ];
        findings.extend(plugin.batch(&samples, vec![]));
    }
    assert_eq!(raised(&findings), [("process.descriptors", "worker[7]")]);
    let fault = Fault::new("process.descriptors", "worker[7]").summary("many");
    let (actions, reason) = ladder(&mut plugin, &fault);
    assert_eq!(actions, [Action::restart_service("app.service")], "to renice it would not help");
    assert_eq!(reason, "many, also after an attempt");
    let findings = readings(&mut plugin, 61, "process.thread.count", &WORKER, 5000.0);
    assert!(raised(&findings).contains(&("process.threads", "worker[7]")));
    // Where the limit is not known, nothing is.
    let mut unknown = self::plugin(CONFIG);
    assert!(readings(&mut unknown, 100, "process.unix.file_descriptor.count", &WORKER, 1e6).is_empty());
}

#[test]
fn the_ladder_is_renice_then_the_unit_or_a_signal_then_a_person() {
    let renice = Action::renice_process(7, 700, 10);
    let signal = Action::signal_process(7, 700, "TERM").grace(Duration::from_secs(10));
    let with = |more: &str| CONFIG.replacen('{', &format!("{{ {more}, "), 1);
    for (config, expected) in [
        (CONFIG.to_owned(), vec![renice.clone(), Action::restart_service("app.service")]),
        (with(r#""then": "process.signal", "kill-after": "10s""#), vec![renice.clone(), signal]),
        (with(r#""then": "escalate", "nice": 5"#), vec![Action::renice_process(7, 700, 5)]),
        (with(r#""renice": false"#), vec![Action::restart_service("app.service")]),
    ] {
        let (mut plugin, fault) = looping(&config);
        let (actions, reason) = ladder(&mut plugin, &fault);
        assert_eq!(actions, expected, "{config}");
        assert!(reason.starts_with("worker[7] takes 100 % of a CPU, also after"), "{reason}");
        assert!(!plugin.diagnose(&fault).is_empty());
    }
}

#[test]
fn what_is_to_be_avoided_or_may_be_another_is_left_alone() {
    let sacred = [WORKER[0], WORKER[1], WORKER[2], ("service.name", "sacred.service")];
    let nameless = [WORKER[0], WORKER[1]];
    for (of, why) in [(&sacred[..], "one of those to `avoid`"), (&nameless[..], "nothing that may be done")] {
        let mut plugin = plugin(CONFIG);
        let findings = readings(&mut plugin, 21, CPU, of, 1.0);
        let [Finding::Present(fault)] = &findings[..] else { panic!("{findings:?}") };
        let (actions, reason) = ladder(&mut plugin, fault);
        assert!(actions.is_empty() && reason.contains(why), "{reason}");
    }
}

#[test]
fn it_worked_when_it_is_tame_or_gone() {
    let (mut plugin, fault) = looping(CONFIG);
    assert!(matches!(plugin.verify(&fault, vec![]), Verdict::Unhealthy(_)));
    let Recovery::Act(plan) = plugin.recover(&fault, vec![]) else { panic!("a plan") };
    let mut attempt = plugin.attempt(1, &plan, Verdict::Undecided);
    attempt.verdict = None;
    assert_eq!(plugin.verify(&fault, vec![attempt.clone()]), Verdict::Undecided, "it may calm down");
    let mut failed = attempt.clone();
    failed.outcomes[0].ok = false;
    assert!(matches!(plugin.verify(&fault, vec![failed]), Verdict::Unhealthy(_)));
    readings(&mut plugin, 1, CPU, &WORKER, 0.1);
    assert_eq!(plugin.verify(&fault, vec![attempt.clone()]), Verdict::Healthy);
    // Restarted: another process has its place, with the same number or not.
    let (mut plugin, fault) = looping(CONFIG);
    let next = [WORKER[0], ("process.pid", "8"), ("process.start_time", "800"), WORKER[3]];
    let mut attempt = plugin.attempt(1, &plan, Verdict::Undecided);
    attempt.verdict = None;
    let mut findings = readings(&mut plugin, 10, CPU, &next, 0.1);
    assert_eq!(plugin.verify(&fault, vec![attempt.clone()]), Verdict::Undecided, "it may only be slow to tell");
    findings.extend(readings(&mut plugin, 10, CPU, &next, 0.1));
    assert!(cleared(&findings, "process.runaway", "worker[7]"));
    assert_eq!(plugin.verify(&fault, vec![attempt]), Verdict::Healthy);
}

#[test]
fn a_number_that_is_used_again_is_another_process() {
    let mut plugin = plugin(CONFIG);
    readings(&mut plugin, 15, CPU, &WORKER, 1.0);
    let other = [WORKER[0], WORKER[1], ("process.start_time", "900"), WORKER[3]];
    assert!(readings(&mut plugin, 15, CPU, &other, 1.0).is_empty());
    assert_eq!(raised(&readings(&mut plugin, 6, CPU, &other, 1.0)), [("process.runaway", "worker[7]")]);
    assert_eq!(
        ladder(&mut plugin, &Fault::new("process.runaway", "worker[7]")).0[0],
        Action::renice_process(7, 900, 10)
    );
}

#[test]
fn a_restart_of_the_plugin_neither_heals_nor_forgets() {
    let (before, fault) = looping(CONFIG);
    let mut after = before.restart(CONFIG).unwrap();
    assert_eq!(after.verify(&fault, vec![]), Verdict::Undecided);
    assert!(matches!(after.recover(&fault, vec![]), Recovery::Wait(_)));
    assert!(readings(&mut after, 19, CPU, &WORKER, 1.0).is_empty(), "it is not known yet, and stands");
    assert_eq!(raised(&readings(&mut after, 2, CPU, &WORKER, 1.0)), [("process.runaway", "worker[7]")]);
    // It has calmed down, or is gone, meanwhile.
    let mut calm = after.restart(CONFIG).unwrap();
    assert!(cleared(&readings(&mut calm, 1, CPU, &WORKER, 0.1), "process.runaway", "worker[7]"));
    let (before, _) = looping(CONFIG);
    let mut gone = before.restart(CONFIG).unwrap();
    let findings: Vec<Finding> = (0..20).flat_map(|_| gone.batch(&[], vec![])).collect();
    assert!(cleared(&findings, "process.runaway", "worker[7]"));
}

#[test]
fn silence_of_the_collector_is_not_the_end_of_a_process_at_once() {
    let (mut plugin, _) = looping(CONFIG);
    plugin.pass(Duration::from_secs(40));
    assert_eq!(plugin.batch(&[], vec![]), []);
    plugin.pass(Duration::from_secs(40));
    assert!(cleared(&plugin.batch(&[], vec![]), "process.runaway", "worker[7]"));
}

#[test]
fn zombies_are_their_parents_fault() {
    let mut plugin = plugin(CONFIG);
    readings(&mut plugin, 1, CPU, &WORKER, 0.1);
    assert!(plugin.batch(&[], vec![stuck("child", 20, "zombie", 7), stuck("child", 21, "zombie", 7)]).is_empty());
    let findings = plugin.event(stuck("child", 22, "zombie", 7));
    let [Finding::Present(fault)] = &findings[..] else { panic!("{findings:?}") };
    assert_eq!(fault.summary, "worker[7] does not ask after 3 children that have ended");
    assert_eq!(ladder(&mut plugin, fault).0, [Action::restart_service("app.service")]);
    let findings = plugin.event(stuck("child", 22, "gone", 7));
    assert!(cleared(
        &[findings, readings(&mut plugin, 15, CPU, &WORKER, 0.1)].concat(),
        "process.zombies",
        "worker[7]"
    ));
    // A parent that nobody watches has its number for a name, and the unit of its children.
    let orphans = (30..33).map(|pid| stuck("child", pid, "zombie", 99)).collect();
    assert_eq!(raised(&plugin.batch(&[], orphans)), [("process.zombies", "[99]")]);
    let fault = Fault::new("process.zombies", "[99]");
    assert!(matches!(plugin.recover(&fault, vec![]), Recovery::Escalate(_)), "of which no unit is known");
    plugin.event(stuck("child", 31, "zombie", 99).with("service.name", "parent.service"));
    assert_eq!(ladder(&mut plugin, &fault).0, [Action::restart_service("parent.service")]);
}

#[test]
fn one_that_is_stuck_is_told_and_never_killed() {
    let mut plugin = plugin(CONFIG);
    plugin.pass(Duration::from_secs(60));
    assert!(plugin.event(stuck("worker", 7, "disk-sleep", 1)).is_empty());
    plugin.pass(Duration::from_secs(120));
    let findings = plugin.batch(&[], vec![]);
    let [Finding::Present(fault)] = &findings[..] else { panic!("{findings:?}") };
    assert_eq!((fault.kind.as_str(), fault.severity), ("process.stuck", Severity::Warning));
    assert_eq!(fault.summary, "worker[7] waits in the kernel for 2m 6s now");
    let (actions, reason) = ladder(&mut plugin, fault);
    assert!(actions.is_empty() && reason.contains("nothing was done"), "{reason}");
    assert!(cleared(&plugin.event(stuck("worker", 7, "running", 1)), "process.stuck", "worker[7]"));
    assert_eq!(plugin.verify(fault, vec![]), Verdict::Healthy);
}

#[test]
fn a_process_calls_itself_what_it_likes() {
    let mut plugin = plugin(r#"{ "processes": ["*"], "cpu": { "above": 0.9 } }"#);
    let long = "x".repeat(1000);
    for (name, pid) in [("evil\n[1]", "66"), (long.as_str(), "67"), ("[7]", "68"), ("", "69")] {
        let of = [("process.executable.name", name), ("process.pid", pid), ("process.start_time", "1")];
        let findings = readings(&mut plugin, 1, CPU, &of, 2.0);
        let (_, target) = raised(&findings)[0];
        assert!(target.len() <= 256 && !target.contains('\n'), "{target:?}");
        let fault = Fault::new("process.runaway", target);
        let Recovery::Act(plan) = plugin.recover(&fault, vec![]) else { panic!("a plan") };
        assert_eq!(plan.actions, [Action::renice_process(pid.parse().unwrap(), 1, 10)]);
    }
}

#[test]
fn garbage_says_nothing() {
    let mut plugin = plugin(CONFIG);
    for value in [f64::NAN, f64::INFINITY, -1.0] {
        assert!(readings(&mut plugin, 100, CPU, &WORKER, value).is_empty());
    }
    assert!(readings(&mut plugin, 100, CPU, &[("process.pid", "many")], 9.0).is_empty());
    plugin.event(Event::new("process.state", "x").with("process.state", "zombie"));
    plugin.event(Event::new("process.state", "y").with("process.state", 7_i64));
    plugin.event(stuck("z", -1, "zombie", -1).with("process.state.duration", f64::NAN));
    for n in 0..6000 {
        let pid = n.to_string();
        plugin.sample(CPU, &[("process.executable.name", "x"), ("process.pid", &pid)], 1.0);
    }
    for kind in ["process.runaway", "process.zombies", "else"] {
        let unknown = Fault::new(kind, "nobody[1]");
        assert!(!matches!(plugin.recover(&unknown, vec![]), Recovery::Act(_)));
        assert!(!matches!(plugin.verify(&unknown, vec![]), Verdict::Unhealthy(_)));
    }
}

#[test]
fn a_configuration_that_makes_no_sense_is_refused() {
    for (config, reason) in [
        (r#"{ "nice": 20 }"#, "between -20 and 19"),
        (r#"{ "kill-after": "1s" }"#, "belongs to"),
        (r#"{ "then": "host.reboot" }"#, "unknown variant `host.reboot`"),
        (r#"{ "cpu": { "above": 0.5, "clear": 0.9 } }"#, "make it less"),
        (r#"{ "process": ["a"] }"#, "unknown field `process`"),
    ] {
        let error = Plugin::new(config).err().unwrap();
        assert!(error.contains(reason), "{config}: {error}");
    }
}

#[test]
fn the_ready_policy_is_valid() {
    let policy: serde_json::Value = toml::from_str(include_str!("../policy.toml")).unwrap();
    assert_eq!((policy["plugin"].as_str(), policy["mode"].as_str()), (Some("runaway-process"), Some("approve")));
    Plugin::new(&policy["config"].to_string()).unwrap();
}
