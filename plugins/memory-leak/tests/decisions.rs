//! The plugin's decisions, natively: what is a leak and what is load, and when the moment for a restart has come.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::time::Duration;

use memory_leak::MemoryLeak;
use salve_plugin_sdk::testing::Harness;
use salve_plugin_sdk::{prelude::*, state};

const CONFIG: &str =
    r#"{ "services": ["app.service"], "processes": ["java"], "containers": ["web"], "limit": "1GiB" }"#;
const MIB: f64 = 1048576.0;

type Plugin = Harness<MemoryLeak>;

/// One that knows nothing.
fn plugin() -> Plugin {
    state::keys().iter().for_each(|key| state::delete(key).unwrap());
    Harness::new(CONFIG).unwrap()
}

/// A reading of the unit's only process.
fn reading(plugin: &mut Plugin, pid: &str, mib: f64, cpu: f64) -> Vec<Finding> {
    let of = [("process.executable.name", "app"), ("process.pid", pid), ("service.name", "app.service")];
    plugin.batch(&[("process.memory.usage", &of, mib * MIB), ("process.cpu.utilization", &of, cpu)], vec![])
}

/// A reading each minute.
fn minutes(plugin: &mut Plugin, count: u32, cpu: f64, mib: impl Fn(f64) -> f64) -> Vec<Finding> {
    let mut findings = vec![];
    for minute in 0..count {
        plugin.pass(Duration::from_secs(59));
        findings.extend(reading(plugin, "7", mib(f64::from(minute)), cpu));
    }
    findings
}

fn fault(findings: &[Finding]) -> Option<&Fault> {
    findings.iter().rev().find_map(|finding| if let Finding::Present(fault) = finding { Some(fault) } else { None })
}

fn cleared(findings: &[Finding]) -> bool {
    findings.contains(&Fault::new("memory.leak", "app.service").cleared())
}

/// Something between -1 and 1 that is the same each time.
fn noise(minute: f64) -> f64 {
    ((minute * 12.9898).sin() * 43758.5453).fract()
}

/// One that leaks 1 MiB a minute from 200 MiB, and has done so for four hours.
fn leaking(cpu: f64) -> (Plugin, Fault) {
    let mut plugin = plugin();
    let findings = minutes(&mut plugin, 240, cpu, |minute| 200.0 + minute + 5.0 * noise(minute));
    let fault = fault(&findings).cloned().unwrap();
    (plugin, fault)
}

#[test]
fn steady_growth_is_a_leak_and_says_how_fast_since_when_and_until_when() {
    let mut plugin = plugin();
    let growth = |minute: f64| 200.0 + minute + 5.0 * noise(minute);
    assert!(fault(&minutes(&mut plugin, 170, 0.0, growth)).is_none(), "it may be load yet");
    let findings = minutes(&mut plugin, 40, 0.0, |minute| growth(minute + 170.0));
    let fault = fault(&findings).unwrap();
    assert_eq!((fault.kind.as_str(), fault.target.as_str()), ("memory.leak", "app.service"));
    let cause = plugin.diagnose(fault).remove(0);
    assert!(cause.summary.starts_with("it grows by 60") || cause.summary.starts_with("it grows by 59"), "{cause:?}");
    assert!(cause.summary.contains("reaches its limit in 10h"), "{cause:?}");
    let since = cause.evidence.iter().find(|it| it.key == "memory.since").map(|it| it.value.clone());
    assert!(matches!(since, Some(Value::Integer(0..3600))), "it has always grown: {since:?}");
}

#[test]
fn load_is_no_leak() {
    // It comes and goes within the day; comes to stay; is collected as garbage; is as noisy as it likes.
    let hump = |minute: f64| 200.0 + 200.0 * (minute * std::f64::consts::TAU / 240.0).sin().abs();
    let step = |minute: f64| if minute < 120.0 { 200.0 + 2.0 * noise(minute) } else { 500.0 + 2.0 * noise(minute) };
    let garbage = |minute: f64| 200.0 + 40.0 * (minute % 10.0);
    let noisy = |minute: f64| 400.0 + 150.0 * noise(minute);
    let cases: [(&str, &dyn Fn(f64) -> f64); 4] =
        [("hump", &hump), ("step", &step), ("garbage", &garbage), ("noisy", &noisy)];
    for (name, mib) in cases {
        assert!(fault(&minutes(&mut plugin(), 480, 0.0, mib)).is_none(), "{name}");
    }
}

#[test]
fn a_short_window_sees_a_fast_leak_and_still_tells_it_from_a_burst() {
    let config = CONFIG.replace("\"limit\"", r#""window": "30s", "for": "0s", "urgent": "0s", "limit""#);
    let config = config.replace("\"limit\"", r#""at-least": "8MiB", "limit""#);
    // A reading each second, of one whose garbage stands for a while.
    let found = |seconds: u32, mib: &dyn Fn(f64) -> f64| {
        state::keys().iter().for_each(|key| state::delete(key).unwrap());
        let mut plugin = Plugin::new(&config).unwrap();
        (0..seconds).map(f64::from).find_map(|second| {
            let findings = reading(&mut plugin, "7", mib(second) + noise(second).abs(), 0.0);
            fault(&findings).cloned().map(|fault| (second, fault))
        })
    };
    let (at, leak) = found(60, &|second| 20.0 + 2.5 * second).unwrap();
    assert!((25.0..40.0).contains(&at), "{at}");
    assert!(leak.summary.contains("left"), "{}", leak.summary);
    // It comes, and stays, or goes; or rises for a moment only, be it as soon as it is looked at.
    for from in [10.0, 12.0, 20.0] {
        assert_eq!(found(120, &|second| 20.0 + 30.0 * (second - from).clamp(0.0, 4.0)), None, "{from}");
    }
    assert_eq!(found(120, &|second| if second < 20.0 { 20.0 } else { 200.0 }), None);
    assert_eq!(found(120, &|second| if (20.0..26.0).contains(&second) { 200.0 } else { 120.0 }), None);
    assert_eq!(found(120, &|second| 120.0 + 30.0 * (second - 20.0).clamp(0.0, 4.0)), None);
}

#[test]
fn a_leak_that_never_gets_there_is_no_fault() {
    // 4 MiB an hour: a week.
    assert!(fault(&minutes(&mut plugin(), 1440, 0.0, |minute| 200.0 + 0.066 * minute)).is_none());
}

#[test]
fn the_restart_waits_for_a_quiet_moment() {
    let (mut plugin, fault) = leaking(0.8);
    assert!(matches!(plugin.recover(&fault, vec![]), Recovery::Wait(_)));
    minutes(&mut plugin, 10, 0.02, |minute| 440.0 + minute);
    let expected = Plan::new([Action::restart_service("app.service")]);
    let Recovery::Act(plan) = plugin.recover(&fault, vec![]) else { panic!("a plan") };
    assert_eq!(plan.actions, expected.actions);
    let attempt = plugin.attempt(1, &plan, Verdict::Unhealthy("as before".into()));
    assert!(matches!(plugin.recover(&fault, vec![attempt]), Recovery::Escalate(_)));
}

#[test]
fn and_no_longer_when_it_is_urgent() {
    let mut plugin = plugin();
    // 5 MiB a minute: there is no time to wait for half of the window.
    let findings = minutes(&mut plugin, 125, 2.0, |minute| 200.0 + 5.0 * minute);
    let fault = fault(&findings).cloned().unwrap();
    assert!(matches!(plugin.recover(&fault, vec![]), Recovery::Wait(_)));
    minutes(&mut plugin, 15, 2.0, |minute| 825.0 + 5.0 * minute);
    assert!(matches!(plugin.recover(&fault, vec![]), Recovery::Act(_)));
}

#[test]
fn quiet_hours_count_instead_of_the_cpu() {
    // The harness begins at midnight, four hours ago.
    for (hours, acts) in [("03:30-04:30", true), ("23:00-05:00", true), ("05:00-06:00", false)] {
        let (plugin, fault) = leaking(0.0);
        let config = CONFIG.replace("\"limit\"", &format!("\"quiet-hours\": \"{hours}\", \"limit\""));
        let mut plugin = plugin.restart(&config).unwrap();
        reading(&mut plugin, "7", 440.0, 0.0);
        assert_eq!(matches!(plugin.recover(&fault, vec![]), Recovery::Act(_)), acts, "{hours}");
    }
}

#[test]
fn it_is_healthy_when_its_memory_is_back() {
    let (mut plugin, fault) = leaking(0.0);
    assert!(matches!(plugin.verify(&fault, vec![]), Verdict::Unhealthy(_)));
    let Recovery::Act(plan) = plugin.recover(&fault, vec![]) else { panic!("a plan") };
    let mut attempt = plugin.attempt(1, &plan, Verdict::Undecided);
    attempt.verdict = None;
    assert_eq!(plugin.verify(&fault, vec![attempt.clone()]), Verdict::Undecided, "nothing was read since");
    assert!(cleared(&reading(&mut plugin, "8", 150.0, 0.0)), "it is another process");
    assert_eq!(plugin.verify(&fault, vec![attempt.clone()]), Verdict::Healthy);
    // What has taken all of it again at once is not healed.
    reading(&mut plugin, "8", 430.0, 0.0);
    assert!(matches!(plugin.verify(&fault, vec![attempt]), Verdict::Unhealthy(_)));
}

#[test]
fn a_restart_of_the_plugin_neither_heals_nor_forgets() {
    let (plugin, fault) = leaking(0.0);
    let mut plugin = plugin.restart(CONFIG).unwrap();
    assert!(matches!(plugin.verify(&fault, vec![]), Verdict::Unhealthy(_)));
    let findings = minutes(&mut plugin, 1, 0.0, |_| 440.0);
    assert!(matches!(&findings[..], [Finding::Present(_)]), "{findings:?}");
    assert!(matches!(plugin.recover(&fault, vec![]), Recovery::Act(_)));
    // After a night without readings the past is over, and nothing is said until there is a new one.
    plugin.pass(Duration::from_secs(9 * 3600));
    let findings = minutes(&mut plugin, 30, 0.0, |_| 460.0);
    assert!(!cleared(&findings));
    assert!(cleared(&minutes(&mut plugin, 60, 0.0, |_| 460.0)));
}

#[test]
fn workers_that_come_and_go_are_one_service() {
    let mut plugin = plugin();
    let mut findings = vec![];
    for minute in 0..240_u32 {
        plugin.pass(Duration::from_secs(59));
        let total = 200.0 + f64::from(minute);
        let (first, second) = (format!("{}", minute / 10), format!("{}", minute / 10 + 1));
        let of = |pid| [("process.executable.name", "worker"), ("process.pid", pid), ("service.name", "app.service")];
        let (first, second) = (of(&first), of(&second));
        let half = total / 2.0 * MIB;
        findings.extend(
            plugin.batch(&[("process.memory.usage", &first, half), ("process.memory.usage", &second, half)], vec![]),
        );
    }
    assert_eq!(fault(&findings).unwrap().target, "app.service");
}

#[test]
fn containers_are_restarted_as_containers_and_loose_processes_by_a_person() {
    let mut plugin = plugin();
    let mut findings = vec![];
    for minute in 0..240_u32 {
        plugin.pass(Duration::from_secs(59));
        let bytes = (200.0 + f64::from(minute)) * MIB;
        let web = [("container.id", "abc"), ("container.name", "web")];
        let java = [("process.executable.name", "java"), ("process.pid", "9")];
        let samples = [
            ("container.memory.usage", &web[..], bytes),
            ("container.memory.limit", &web[..], 512.0 * MIB),
            ("container.cpu.usage", &web[..], 0.01),
            ("process.memory.usage", &java[..], bytes),
        ];
        findings.extend(plugin.batch(&samples, vec![]));
    }
    let of = |target: &str| {
        let is = |fault: &&Fault| fault.target == target;
        findings
            .iter()
            .rev()
            .find_map(|it| if let Finding::Present(fault) = it { Some(fault).filter(is) } else { None })
    };
    let Recovery::Act(plan) = plugin.recover(of("web").unwrap(), vec![]) else { panic!("a plan") };
    assert_eq!(plan.actions, [Action::new("container.restart", "web")]);
    assert!(plugin.diagnose(of("web").unwrap())[0].summary.contains("its limit in 1h"), "by its own limit");
    assert!(matches!(plugin.recover(of("java").unwrap(), vec![]), Recovery::Escalate(_)));
}

#[test]
fn garbage_says_nothing() {
    let mut plugin = plugin();
    for value in [f64::NAN, f64::INFINITY, -1.0, 0.0] {
        assert_eq!(minutes(&mut plugin, 100, value, |_| value), []);
    }
    for n in 0..300 {
        let name = format!("{n}.service");
        let of = [("process.executable.name", "java"), ("process.pid", "1"), ("service.name", name.as_str())];
        plugin.sample("process.memory.usage", &of, 1e9);
    }
    let unknown = Fault::new("memory.leak", "nobody");
    assert_eq!(plugin.verify(&unknown, vec![]), Verdict::Undecided);
    assert!(plugin.diagnose(&unknown).is_empty());
    assert!(matches!(plugin.recover(&unknown, vec![]), Recovery::Wait(_)));
}

#[test]
fn a_configuration_that_makes_no_sense_is_refused() {
    for (config, reason) in [
        (r#"{ "limit": "120%" }"#, "neither a size"),
        (r#"{ "limit": "lots" }"#, "neither a size"),
        (r#"{ "window": "10s" }"#, "is less than 20 s"),
        (r#"{ "urgent": "2d" }"#, "is longer than"),
        (r#"{ "quiet-hours": "night" }"#, "are no hours"),
        (r#"{ "quiet-hours": "25:00-26:00" }"#, "are no hours"),
        (r#"{ "service": ["a"] }"#, "unknown field `service`"),
    ] {
        let error = Harness::<MemoryLeak>::new(config).err().unwrap();
        assert!(error.contains(reason), "{config}: {error}");
    }
}

#[test]
fn the_ready_policy_is_valid() {
    let policy: serde_json::Value = toml::from_str(include_str!("../policy.toml")).unwrap();
    assert_eq!((policy["plugin"].as_str(), policy["mode"].as_str()), (Some("memory-leak"), Some("approve")));
    Harness::<MemoryLeak>::new(&policy["config"].to_string()).unwrap();
}
