//! The plugin's decisions, natively: when a file system is in need, what is cleaned up in which order, and when to stop.

#![expect(clippy::unwrap_used, clippy::panic, reason = "the helpers of tests fail as the tests do")]

use std::time::Duration;

use disk_pressure::DiskPressure;
use salve_plugin_sdk::files::File;
use salve_plugin_sdk::testing::{Harness, set_files};
use salve_plugin_sdk::{prelude::*, state};

const CONFIG: &str = r#"{
    "look": ["/var/log/**"],
    "clean": [
        { "action": "file.delete", "target": "/var/log/**/*.gz", "older-than": "7d", "keep-newest": 2 },
        { "action": "file.delete", "target": "/data/cache/*" },
        { "action": "journal.vacuum", "max": "200MiB" },
        { "action": "command.run", "target": "apt-clean", "mount": "/" }
    ]
}"#;

const BYTES: &str = "system.filesystem.utilization";
const INODES: &str = "system.filesystem.inodes.utilization";

/// One that knows nothing.
fn plugin() -> Harness<DiskPressure> {
    state::keys().iter().for_each(|key| state::delete(key).unwrap());
    Harness::new(CONFIG).unwrap()
}

fn level(plugin: &mut Harness<DiskPressure>, metric: &str, point: &str, level: f64) -> Vec<Finding> {
    let of = [("system.filesystem.mountpoint", point), ("system.filesystem.state", "used")];
    plugin.sample(metric, &of, level)
}

/// Readings of `/` each minute, each `growth` more than the last; what was found on the way, and where it ended.
fn grow(plugin: &mut Harness<DiskPressure>, metric: &str, from: f64, growth: f64, minutes: u32) -> (Vec<Finding>, f64) {
    let mut findings = vec![];
    for minute in 0..minutes {
        plugin.pass(Duration::from_secs(59));
        findings.extend(level(plugin, metric, "/", from + growth * f64::from(minute)));
    }
    (findings, from + growth * f64::from(minutes))
}

fn raised(findings: &[Finding]) -> Vec<(&str, &str)> {
    let mut raised: Vec<_> = findings
        .iter()
        .filter_map(|finding| match finding {
            Finding::Present(fault) => Some((fault.kind.as_str(), fault.target.as_str())),
            Finding::Cleared(_) => None,
        })
        .collect();
    raised.dedup();
    raised
}

fn cleared(findings: &[Finding], kind: &str, target: &str) -> bool {
    findings.contains(&Fault::new(kind, target).cleared())
}

fn plan(recovery: Recovery) -> Plan {
    let Recovery::Act(plan) = recovery else { panic!("{recovery:?}") };
    plan
}

fn targets(plan: &Plan) -> Vec<&str> {
    plan.actions.iter().map(|action| action.target.as_str()).collect()
}

#[test]
fn full_is_full_by_bytes_and_by_inodes_with_hysteresis() {
    for (metric, kind) in [(BYTES, "filesystem.full"), (INODES, "filesystem.inodes-full")] {
        let mut plugin = plugin();
        assert!(raised(&grow(&mut plugin, metric, 0.91, 0.0, 1).0).is_empty(), "not for long enough");
        assert_eq!(raised(&grow(&mut plugin, metric, 0.91, 0.0, 1).0), [(kind, "/")]);
        let (findings, _) = grow(&mut plugin, metric, 0.87, 0.0, 5);
        assert_eq!(raised(&findings), [(kind, "/")], "between the two it stays");
        assert!(cleared(&grow(&mut plugin, metric, 0.85, 0.0, 1).0, kind, "/"));
    }
}

#[test]
fn it_is_filling_when_the_trend_leads_to_full_within_the_horizon() {
    // 0.2 % a minute from 40 %: full in five hours, and in less than four an hour later.
    let mut quick = plugin();
    let (findings, _) = grow(&mut quick, BYTES, 0.4, 0.002, 45);
    assert!(raised(&findings).is_empty(), "{findings:?}");
    let (findings, level) = grow(&mut quick, BYTES, 0.49, 0.002, 60);
    assert_eq!(raised(&findings), [("filesystem.filling", "/")]);
    assert!(level < 0.7);
    // It stops: that shows when the trend does.
    let (findings, _) = grow(&mut quick, BYTES, level, 0.0, 120);
    assert!(cleared(&findings, "filesystem.filling", "/"), "{findings:?}");
    // A tenth of that speed is no hurry, and one large file no trend.
    assert!(raised(&grow(&mut plugin(), BYTES, 0.4, 0.0002, 300).0).is_empty());
    let mut step = plugin();
    grow(&mut step, BYTES, 0.4, 0.0, 60);
    assert!(raised(&grow(&mut step, BYTES, 0.7, 0.0, 120).0).is_empty());
}

#[test]
fn a_restart_forgets_neither_the_trend_nor_the_fault() {
    let mut before = plugin();
    let (findings, level) = grow(&mut before, BYTES, 0.4, 0.002, 110);
    assert_eq!(raised(&findings), [("filesystem.filling", "/")]);
    let mut after = before.restart(CONFIG).unwrap();
    let fault = Fault::new("filesystem.filling", "/");
    assert!(matches!(after.verify(&fault, vec![]), Verdict::Unhealthy(_)));
    assert!(matches!(after.recover(&fault, vec![]), Recovery::Wait(_)), "it is not known what is mounted where");
    assert_eq!(raised(&grow(&mut after, BYTES, level, 0.002, 1).0), [("filesystem.filling", "/")]);
    // With another window it learns anew and says nothing until then.
    let mut other = after.restart(r#"{ "window": "6h" }"#).unwrap();
    assert!(raised(&grow(&mut other, BYTES, level, 0.002, 3).0).is_empty());
    // One that is no longer watched is none of its business.
    let mut narrow = other.restart(r#"{ "mounts": ["/srv"] }"#).unwrap();
    assert_eq!(grow(&mut narrow, BYTES, 0.99, 0.0, 5).0, []);
}

#[test]
fn the_steps_are_those_that_make_room_there_in_order_and_then_a_person() {
    set_files(vec![File { path: "/var/log/huge".into(), bytes: 5 << 30, modified: 0 }]);
    let mut plugin = plugin();
    level(&mut plugin, BYTES, "/data", 0.2);
    grow(&mut plugin, BYTES, 0.95, 0.0, 3);
    let fault = Fault::new("filesystem.full", "/");
    let mut attempts = vec![];
    for expected in ["/var/log/**/*.gz", "journal", "apt-clean"] {
        let plan = plan(plugin.recover(&fault, attempts.clone()));
        assert_eq!(targets(&plan), [expected]);
        attempts.push(plugin.attempt(attempts.len() as u32 + 1, &plan, Verdict::Unhealthy("full".into())));
    }
    let Recovery::Escalate(reason) = plugin.recover(&fault, attempts) else { panic!("a person") };
    assert_eq!(
        reason,
        "/ is at 95 % of its room: 3 steps of cleaning were not enough; the largest files are /var/log/huge (5.0 GiB)"
    );
    let causes = plugin.diagnose(&fault);
    assert!(causes[0].evidence.iter().any(|it| it.value == Value::from("/var/log/huge")), "{causes:?}");
    // On the other file system only one step helps; and against a want of inodes only what deletes files.
    level(&mut plugin, BYTES, "/data", 0.97);
    assert_eq!(targets(&plan(plugin.recover(&Fault::new("filesystem.full", "/data"), vec![]))), ["/data/cache/*"]);
    level(&mut plugin, INODES, "/", 0.97);
    let inodes = Fault::new("filesystem.inodes-full", "/");
    let first = plan(plugin.recover(&inodes, vec![]));
    let attempt = plugin.attempt(1, &first, Verdict::Unhealthy("full".into()));
    assert_eq!(targets(&plan(plugin.recover(&inodes, vec![attempt]))), ["apt-clean"]);
}

#[test]
fn a_step_has_the_parameters_of_its_configuration() {
    let mut plugin = plugin();
    grow(&mut plugin, BYTES, 0.95, 0.0, 2);
    let fault = Fault::new("filesystem.full", "/");
    let expected = Action::delete_files("/var/log/**/*.gz").older_than(Duration::from_secs(7 * 86400)).keep_newest(2);
    assert_eq!(plan(plugin.recover(&fault, vec![])).actions, [expected]);
}

#[test]
fn it_stops_as_soon_as_it_is_safe() {
    let mut plugin = plugin();
    grow(&mut plugin, BYTES, 0.95, 0.0, 3);
    let fault = Fault::new("filesystem.full", "/");
    let plan = plan(plugin.recover(&fault, vec![]));
    let mut attempt = plugin.attempt(1, &plan, Verdict::Undecided);
    attempt.verdict = None;
    assert_eq!(plugin.verify(&fault, vec![attempt.clone()]), Verdict::Undecided, "nothing was read since");
    level(&mut plugin, BYTES, "/", 0.88);
    assert!(matches!(plugin.verify(&fault, vec![attempt.clone()]), Verdict::Unhealthy(_)));
    assert!(cleared(&level(&mut plugin, BYTES, "/", 0.84), "filesystem.full", "/"));
    assert_eq!(plugin.verify(&fault, vec![attempt.clone()]), Verdict::Healthy);
    attempt.verdict = Some(Verdict::Unhealthy("full".into()));
    assert!(matches!(plugin.recover(&fault, vec![attempt]), Recovery::Wait(_)), "no further step");
}

#[test]
fn after_a_step_the_forecast_is_by_the_rate_from_before_it() {
    let mut plugin = plugin();
    let (_, full) = grow(&mut plugin, BYTES, 0.4, 0.002, 110);
    let fault = Fault::new("filesystem.filling", "/");
    let cause = plugin.diagnose(&fault).remove(0);
    assert!(cause.summary.starts_with("it fills by 12.0 % an hour"), "{}", cause.summary);
    let plan = plan(plugin.recover(&fault, vec![]));
    let attempt = plugin.attempt(1, &plan, Verdict::Undecided);
    // Less by a little: full in three hours still. The plugin may have been restarted meanwhile.
    level(&mut plugin, BYTES, "/", full - 0.02);
    let mut plugin = plugin.restart(CONFIG).unwrap();
    level(&mut plugin, BYTES, "/", full - 0.02);
    assert!(matches!(plugin.verify(&fault, vec![attempt.clone()]), Verdict::Unhealthy(_)));
    // Less by half: full in more than five.
    assert!(cleared(&level(&mut plugin, BYTES, "/", 0.3), "filesystem.filling", "/"));
    assert_eq!(plugin.verify(&fault, vec![attempt]), Verdict::Healthy);
    // And if it goes on filling, that is seen again.
    let (findings, _) = grow(&mut plugin, BYTES, 0.3, 0.002, 120);
    assert_eq!(raised(&findings), [("filesystem.filling", "/")]);
}

#[test]
fn what_is_full_is_not_filling_too() {
    let mut plugin = plugin();
    let (findings, _) = grow(&mut plugin, BYTES, 0.5, 0.004, 110);
    let kinds: Vec<_> = raised(&findings).into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, ["filesystem.filling", "filesystem.full"]);
    assert!(!cleared(&findings[findings.len() - 5..], "filesystem.filling", "/"), "it did not stop filling");
    assert!(matches!(plugin.verify(&Fault::new("filesystem.filling", "/"), vec![]), Verdict::Unhealthy(_)));
}

#[test]
fn a_file_system_that_becomes_read_only_is_for_a_person() {
    let mode = |plugin: &mut Harness<DiskPressure>, point: &str, mode: &str| {
        plugin.sample(BYTES, &[("system.filesystem.mode", mode), ("system.filesystem.mountpoint", point)], 1.0)
    };
    let mut plugin = plugin();
    for _ in 0..100 {
        assert!(raised(&mode(&mut plugin, "/snap/core", "ro")).is_empty(), "it is meant to be so, and full");
    }
    mode(&mut plugin, "/", "rw");
    let fault = Fault::new("filesystem.read-only", "/");
    for _ in 0..2 {
        plugin = plugin.restart(CONFIG).unwrap();
        assert_eq!(raised(&mode(&mut plugin, "/", "ro")), [("filesystem.read-only", "/")]);
    }
    assert!(matches!(plugin.recover(&fault, vec![]), Recovery::Escalate(_)));
    assert!(matches!(plugin.verify(&fault, vec![]), Verdict::Unhealthy(_)));
    assert!(cleared(&mode(&mut plugin, "/", "rw"), "filesystem.read-only", "/"));
    assert_eq!(plugin.verify(&fault, vec![]), Verdict::Healthy);
}

#[test]
fn the_kernel_says_at_once_that_it_gave_up_a_file_system() {
    let remount = |subject: &str| {
        let event = Event::new("kernel.filesystem_remount", subject).with("system.device", "sda1");
        Event { body: "EXT4-fs (sda1): Remounting filesystem read-only".into(), ..event }
    };
    let mut plugin = plugin();
    let findings = plugin.event(remount("/"));
    let [Finding::Present(fault)] = &findings[..] else { panic!("{findings:?}") };
    assert_eq!((fault.target.as_str(), fault.severity), ("/", Severity::Critical));
    assert!(plugin.diagnose(fault)[0].summary.contains("EXT4-fs (sda1)"));
    // By its device, where the host did not know the mount point.
    let of = [("system.device", "/dev/sda1"), ("system.filesystem.mountpoint", "/srv")];
    plugin.sample("system.filesystem.read_only", &of, 0.0);
    assert_eq!(raised(&plugin.event(remount("sda1"))), [("filesystem.read-only", "/srv")]);
    assert!(plugin.sample("system.filesystem.read_only", &of, 1.0).is_empty(), "told already");
    assert!(cleared(&plugin.sample("system.filesystem.read_only", &of, 0.0), "filesystem.read-only", "/srv"));
}

#[test]
fn what_is_unmounted_has_no_faults_and_silence_says_nothing() {
    let mut plugin = plugin();
    for _ in 0..40 {
        level(&mut plugin, BYTES, "/mnt", 0.99);
    }
    plugin.pass(Duration::from_secs(3600));
    assert_eq!(plugin.batch(&[], vec![]), [], "the collector may be down");
    for _ in 0..2 {
        assert!(!cleared(&level(&mut plugin, BYTES, "/", 0.1), "filesystem.full", "/mnt"), "it may hang");
        plugin.pass(Duration::from_secs(100));
    }
    plugin.pass(Duration::from_secs(200));
    assert!(cleared(&level(&mut plugin, BYTES, "/", 0.1), "filesystem.full", "/mnt"));
}

#[test]
fn garbage_says_nothing() {
    let mut plugin = plugin();
    for _ in 0..1000 {
        for value in [f64::NAN, f64::INFINITY, -1.0, 7e9] {
            assert_eq!(level(&mut plugin, BYTES, "/", value), []);
        }
    }
    assert_eq!(plugin.sample(BYTES, &[], 0.99), []);
    for point in ["/mnt/a\nb".to_owned(), format!("/{}", "x".repeat(300))] {
        assert_eq!(
            (0..60).flat_map(|_| level(&mut plugin, BYTES, &point, 0.99)).count(),
            0,
            "the host takes no such target"
        );
    }
    for subject in ["", "/mnt/a\nb"] {
        assert_eq!(plugin.event(Event::new("kernel.filesystem_remount", subject)), [], "nor such a one");
    }
    for n in 0..200 {
        level(&mut plugin, BYTES, &format!("/mnt/{n}"), 0.5);
    }
    let unknown = Fault::new("filesystem.full", "/nowhere");
    assert_eq!(plugin.verify(&unknown, vec![]), Verdict::Undecided);
    assert!(matches!(plugin.recover(&Fault::new("else", "/"), vec![]), Recovery::Escalate(_)));
    assert!(!plugin.diagnose(&unknown).is_empty());
}

#[test]
fn a_configuration_that_makes_no_sense_is_refused() {
    for (config, reason) in [
        (r#"{ "above": 0.8, "clear": 0.9 }"#, "make it less"),
        (r#"{ "above": 90 }"#, "are shares"),
        (r#"{ "clean": [{ "action": "file.delete", "target": "logs/*" }] }"#, "not an absolute path"),
        (r#"{ "clean": [{ "action": "journal.vacuum" }] }"#, "needs `max`"),
        (r#"{ "clean": [{ "action": "journal.vacuum", "max": "lots" }] }"#, "is not a size"),
        (r#"{ "clean": [{ "action": "host.reboot" }] }"#, "host.reboot"),
        (r#"{ "clean": [{ "action": "file.delete", "target": "/a", "older": "1d" }] }"#, "unknown field `older`"),
        (r#"{ "over": 1 }"#, "unknown field `over`"),
    ] {
        let error = Harness::<DiskPressure>::new(config).err().unwrap();
        assert!(error.contains(reason), "{config}: {error}");
    }
}

#[test]
fn the_ready_policy_is_valid() {
    let policy: serde_json::Value = toml::from_str(include_str!("../policy.toml")).unwrap();
    assert_eq!((policy["plugin"].as_str(), policy["mode"].as_str()), (Some("disk-pressure"), Some("approve")));
    Harness::<DiskPressure>::new(&policy["config"].to_string()).unwrap();
}
