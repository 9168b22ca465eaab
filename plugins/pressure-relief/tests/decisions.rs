//! The plugin's decisions, natively: when pressure is a shortage, and who is acted on.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::time::Duration;

use pressure_relief::PressureRelief;
use salve_plugin_sdk::testing::{Harness, TestSample};
use salve_plugin_sdk::{prelude::*, state};

const CONFIG: &str = r#"{
    "io": { "above": 0.5 },
    "avoid": ["sshd"],
    "candidates": [
        { "service": "batch@*.service", "action": "service.restart", "prefer": true },
        { "service": "cache.service", "action": "service.stop" },
        { "process": "*", "action": "process.signal", "kill-after": "10s" },
        { "container": "job-*", "action": "container.restart" }
    ]
}"#;

const GIB: f64 = 1073741824.0;
const MEMORY: [(&str, &str); 3] =
    [("system.pressure.kind", "full"), ("system.pressure.resource", "memory"), ("system.pressure.window", "10s")];
const IO: [(&str, &str); 3] =
    [("system.pressure.kind", "full"), ("system.pressure.resource", "io"), ("system.pressure.window", "10s")];
const USED: [(&str, &str); 1] = [("system.memory.state", "used")];
const BATCH: [(&str, &str); 4] = [
    ("process.executable.name", "worker"),
    ("process.pid", "10"),
    ("process.start_time", "1000"),
    ("service.name", "batch@1.service"),
];
const CACHE: [(&str, &str); 3] =
    [("process.executable.name", "redis"), ("process.pid", "11"), ("service.name", "cache.service")];
const LOOSE: [(&str, &str); 3] =
    [("process.executable.name", "stress"), ("process.pid", "12"), ("process.start_time", "1200")];
const SSHD: [(&str, &str); 3] =
    [("process.executable.name", "sshd"), ("process.pid", "13"), ("process.start_time", "1300")];
const JOB: [(&str, &str); 2] = [("container.id", "abc"), ("container.name", "job-1")];

type Plugin = Harness<PressureRelief>;

/// One that knows nothing.
fn plugin() -> Plugin {
    state::keys().iter().for_each(|key| state::delete(key).unwrap());
    Plugin::new(CONFIG).unwrap()
}

/// So many seconds of pressure on memory, while such a share of it is in use, with these consumers.
fn seconds(plugin: &mut Plugin, count: u32, ratio: f64, used: f64, consumers: &[TestSample<'_>]) -> Vec<Finding> {
    let mut samples =
        vec![("system.pressure.stalled_ratio", &MEMORY[..], ratio), ("system.memory.utilization", &USED[..], used)];
    samples.extend_from_slice(consumers);
    (0..count).flat_map(|_| plugin.batch(&samples, vec![])).collect()
}

fn size<'a>(of: &'a [(&'a str, &'a str)], gib: f64) -> TestSample<'a> {
    let metric = if of.len() == 2 { "container.memory.usage" } else { "process.memory.usage" };
    (metric, of, gib * GIB)
}

fn raised(findings: &[Finding]) -> Vec<&str> {
    findings
        .iter()
        .filter_map(|finding| if let Finding::Present(fault) = finding { Some(fault.target.as_str()) } else { None })
        .collect()
}

fn cleared(findings: &[Finding]) -> bool {
    findings.contains(&Fault::new("pressure.sustained", "memory").cleared())
}

fn acts(plugin: &mut Plugin, attempts: &[salve_plugin_sdk::Attempt]) -> Option<Action> {
    match plugin.recover(&Fault::new("pressure.sustained", "memory"), attempts.to_vec()) {
        Recovery::Act(plan) => plan.actions.first().cloned(),
        _ => None,
    }
}

#[test]
fn pressure_that_lasts_while_little_is_left_is_a_shortage() {
    let mut plugin = plugin();
    assert!(raised(&seconds(&mut plugin, 20, 0.5, 0.95, &[])).is_empty());
    let findings = seconds(&mut plugin, 1, 0.5, 0.95, &[]);
    assert_eq!(raised(&findings), ["memory"]);
    let Finding::Present(fault) = &findings[0] else { panic!("present") };
    assert_eq!(fault.summary, "tasks stand still for 50 % of the time for want of memory");
    assert!(!cleared(&seconds(&mut plugin, 60, 0.2, 0.95, &[])), "between the two it stays");
    assert!(!cleared(&seconds(&mut plugin, 9, 0.05, 0.95, &[])));
    assert!(cleared(&seconds(&mut plugin, 2, 0.05, 0.95, &[])));
}

#[test]
fn pressure_alone_is_work() {
    assert!(raised(&seconds(&mut plugin(), 100, 0.9, 0.5, &[])).is_empty());
    // And where nobody tells what is left, it is not known to be short.
    let mut unknown = plugin();
    let findings: Vec<Finding> =
        (0..100).flat_map(|_| unknown.sample("system.pressure.stalled_ratio", &MEMORY, 0.9)).collect();
    assert!(raised(&findings).is_empty());
    // Swap that is used up is as bad.
    assert!(raised(&unknown.sample("system.paging.utilization", &[("system.paging.state", "used")], 0.7)).is_empty());
    let swapped = unknown.sample("system.paging.utilization", &[("system.paging.state", "used")], 0.9);
    assert_eq!(raised(&swapped), ["memory"]);
}

#[test]
fn the_kernels_triggers_tell_it_before_the_average_does() {
    let mut plugin = plugin();
    let stalled = |service: Option<&str>| {
        let event = Event::new("pressure.stalled", "memory").with("system.pressure.kind", "full");
        service.iter().fold(event, |event, service| event.with("service.name", *service))
    };
    let samples = [("system.pressure.stalled_ratio", &MEMORY[..], 0.3), ("system.memory.utilization", &USED[..], 0.95)];
    let findings: Vec<Finding> =
        (0..60).flat_map(|_| plugin.batch(&samples, vec![stalled(Some("web.service"))])).collect();
    assert!(raised(&findings).is_empty(), "what a unit suffers is not the host's shortage");
    let findings: Vec<Finding> = (0..12)
        .flat_map(|_| [plugin.batch(&samples, vec![stalled(None)]), plugin.batch(&samples, vec![])].concat())
        .collect();
    assert_eq!(raised(&findings), ["memory"]);
    // The average does not show it yet, and what is told does not say the contrary.
    let mut plugin = self::plugin();
    let early = [("system.pressure.stalled_ratio", &MEMORY[..], 0.0), ("system.memory.utilization", &USED[..], 0.95)];
    let findings: Vec<Finding> = (0..23).flat_map(|_| plugin.batch(&early, vec![stalled(None)])).collect();
    let Some(Finding::Present(fault)) = findings.last() else { panic!("{findings:?}") };
    assert_eq!(fault.summary, "tasks stand still for want of memory");
}

#[test]
fn the_worst_goes_first_and_preferred_ones_before_it() {
    let all = [size(&BATCH, 0.1), size(&CACHE, 2.0), size(&LOOSE, 1.0), size(&SSHD, 9.0), size(&JOB, 1.5)];
    let mut plugin = plugin();
    let findings = seconds(&mut plugin, 22, 0.5, 0.95, &all);
    assert_eq!(raised(&findings), ["memory"]);
    let fault = Fault::new("pressure.sustained", "memory");
    let mut attempts = vec![];
    for expected in [Action::restart_service("batch@1.service"), Action::stop_service("cache.service")] {
        let action = acts(&mut plugin, &attempts).unwrap();
        assert_eq!(action, expected);
        attempts.push(plugin.attempt(
            attempts.len() as u32 + 1,
            &Plan::new([action]),
            Verdict::Unhealthy("short".into()),
        ));
    }
    let Recovery::Escalate(reason) = plugin.recover(&fault, attempts) else { panic!("a person") };
    assert_eq!(reason, "memory is still short after 2 offenders were acted on");
    let causes = plugin.diagnose(&fault);
    assert_eq!(causes[0].summary, "batch@1.service holds 102.4 MiB");
    // When the first two are gone.
    let rest = [size(&LOOSE, 1.0), size(&SSHD, 9.0), size(&JOB, 1.5)];
    seconds(&mut plugin, 20, 0.5, 0.95, &rest);
    assert_eq!(acts(&mut plugin, &[]), Some(Action::new("container.restart", "job-1")));
    seconds(&mut plugin, 20, 0.5, 0.95, &[size(&LOOSE, 1.0), size(&SSHD, 9.0)]);
    assert_eq!(acts(&mut plugin, &[]), Some(Action::signal_process(12, 1200, "TERM").grace(Duration::from_secs(10))));
    seconds(&mut plugin, 20, 0.5, 0.95, &[size(&SSHD, 9.0)]);
    assert!(matches!(plugin.recover(&fault, vec![]), Recovery::Escalate(_)));
}

#[test]
fn what_grows_quickly_is_worse_than_what_is_large() {
    let mut plugin = plugin();
    for second in 0..30 {
        let growing = 0.2 + 0.05 * f64::from(second);
        seconds(&mut plugin, 1, 0.5, 0.95, &[size(&CACHE, 2.5), size(&LOOSE, growing)]);
    }
    assert_eq!(acts(&mut plugin, &[]).unwrap().kind, "process.signal");
}

#[test]
fn one_that_may_be_another_by_now_is_not_signalled() {
    let nameless = [("process.executable.name", "stress"), ("process.pid", "12"), ("process.owner", "root")];
    let mut plugin = plugin();
    seconds(&mut plugin, 22, 0.5, 0.95, &[size(&nameless, 5.0)]);
    assert_eq!(acts(&mut plugin, &[]), None);
}

#[test]
fn of_io_nobody_tells_the_cause_so_the_order_counts() {
    let mut plugin = plugin();
    let samples = [
        ("system.pressure.stalled_ratio", &IO[..], 0.9),
        size(&LOOSE, 9.0),
        size(&CACHE, 0.1),
        ("other", &[][..], 1.0),
    ];
    let findings: Vec<Finding> = (0..22).flat_map(|_| plugin.batch(&samples, vec![])).collect();
    assert_eq!(raised(&findings), ["io"]);
    let Recovery::Act(plan) = plugin.recover(&Fault::new("pressure.sustained", "io"), vec![]) else { panic!("a plan") };
    assert_eq!(plan.actions, [Action::stop_service("cache.service")]);
}

#[test]
fn it_worked_when_the_pressure_is_gone() {
    let mut plugin = plugin();
    let fault = Fault::new("pressure.sustained", "memory");
    assert_eq!(plugin.verify(&fault, vec![]), Verdict::Undecided);
    seconds(&mut plugin, 22, 0.5, 0.95, &[size(&CACHE, 2.0)]);
    let Recovery::Act(plan) = plugin.recover(&fault, vec![]) else { panic!("a plan") };
    let mut attempt = plugin.attempt(1, &plan, Verdict::Undecided);
    attempt.verdict = None;
    assert!(acts(&mut plugin, &[attempt.clone()]).is_none(), "it is not judged yet");
    assert_eq!(plugin.verify(&fault, vec![attempt.clone()]), Verdict::Undecided, "nothing was read since");
    seconds(&mut plugin, 1, 0.4, 0.7, &[]);
    assert_eq!(plugin.verify(&fault, vec![attempt.clone()]), Verdict::Undecided, "it falls");
    let mut failed = attempt.clone();
    failed.outcomes[0].ok = false;
    assert!(matches!(plugin.verify(&fault, vec![failed]), Verdict::Unhealthy(_)));
    seconds(&mut plugin, 1, 0.05, 0.7, &[]);
    assert_eq!(plugin.verify(&fault, vec![attempt]), Verdict::Healthy);
}

#[test]
fn a_restart_of_the_plugin_neither_heals_nor_forgets() {
    let mut before = plugin();
    seconds(&mut before, 22, 0.5, 0.95, &[size(&CACHE, 2.0)]);
    let mut after = before.restart(CONFIG).unwrap();
    let fault = Fault::new("pressure.sustained", "memory");
    assert_eq!(after.verify(&fault, vec![]), Verdict::Undecided);
    assert!(matches!(after.recover(&fault, vec![]), Recovery::Wait(_)), "it is not known who runs");
    assert_eq!(raised(&seconds(&mut after, 1, 0.2, 0.95, &[size(&CACHE, 2.0)])), ["memory"]);
    assert!(cleared(&seconds(&mut after, 12, 0.0, 0.95, &[])));
    // Silence says nothing.
    let mut silent = plugin();
    seconds(&mut silent, 22, 0.5, 0.95, &[]);
    silent.pass(Duration::from_secs(3600));
    assert!(!cleared(&silent.batch(&[], vec![])));
}

#[test]
fn garbage_says_nothing() {
    let mut plugin = plugin();
    for value in [f64::NAN, f64::INFINITY, -1.0, 50.0] {
        assert!(raised(&seconds(&mut plugin, 50, value, value, &[size(&CACHE, value), size(&[], value)])).is_empty());
    }
    plugin.event(Event::new("pressure.stalled", "gibberish"));
    for n in 0..3000 {
        let pid = n.to_string();
        plugin.sample("process.memory.usage", &[("process.executable.name", "x"), ("process.pid", &pid)], 1.0);
    }
    let unknown = Fault::new("pressure.sustained", "cpu");
    assert_eq!(plugin.verify(&unknown, vec![]), Verdict::Undecided);
}

#[test]
fn a_configuration_that_makes_no_sense_is_refused() {
    for (config, reason) in [
        (r#"{ "memory": { "above": 40 } }"#, "memory: `above` and `clear` are shares"),
        (r#"{ "io": { "above": 0.1, "clear": 0.2 } }"#, "io: `above` and `clear` are shares"),
        (r#"{ "candidates": [{ "action": "service.stop" }] }"#, "each is one of"),
        (r#"{ "candidates": [{ "service": "a", "action": "container.stop" }] }"#, "is for containers"),
        (r#"{ "candidates": [{ "container": "a", "action": "service.stop" }] }"#, "is for containers"),
        (r#"{ "candidates": [{ "service": "a", "action": "host.reboot" }] }"#, "unknown variant `host.reboot`"),
        (r#"{ "candidates": [{ "service": "a", "action": "service.stop", "kill-after": "1s" }] }"#, "belongs to"),
        (r#"{ "cpu": {} }"#, "unknown field `cpu`"),
    ] {
        let error = Plugin::new(config).err().unwrap();
        assert!(error.contains(reason), "{config}: {error}");
    }
}

#[test]
fn the_ready_policy_is_valid() {
    let policy: serde_json::Value = toml::from_str(include_str!("../policy.toml")).unwrap();
    assert_eq!((policy["plugin"].as_str(), policy["mode"].as_str()), (Some("pressure-relief"), Some("approve")));
    Plugin::new(&policy["config"].to_string()).unwrap();
}
