//! The stock plugins in the sandbox, compiled, each under its own policy: what they say of themselves, ask for, find, do and
//! judge. What they decide in detail is tested natively, beside each.
#![expect(clippy::unwrap_used, clippy::panic, reason = "test helpers")]

mod common;
#[path = "common/trial.rs"]
mod trial;

use std::collections::BTreeSet;

use common::loaded;
use salve::config::{Mode, Pattern};
use salve::incident::{Fault, Finding, Severity, Verdict};
use salve::signal::{Batch, Event, Reading, Selector, Series, SeriesName, Value};
use serde_json::Value as Json;
use trial::{Trial, check, event, folder, present, proposed, service, shipped};

/// Those with a policy of their own. `service-restart` needs none to be understood; `contract.rs` has its case.
const PLUGINS: [&str; 11] = [
    "certificate-expiry",
    "clock-drift",
    "container-health",
    "disk-pressure",
    "log-sentinel",
    "memory-leak",
    "pressure-relief",
    "root-cause",
    "runaway-process",
    "timer-missed",
    "unhealthy-service",
];

const DAY: f64 = 86_400.0;
const MIB: f64 = 1_048_576.0;

/// A policy with these lines under `[config]`, and the access that the plugin cannot do without.
fn policy(plugin: &str, config: &str) -> String {
    let word = |word: &str| if word == "files" { "files:/var/log/**".to_owned() } else { word.to_owned() };
    let read: Vec<String> = loaded("plugins", plugin).needs().into_iter().map(word).collect();
    format!("plugin = \"{plugin}\"\n[config]\n{config}\n[grant]\nread = {read:?}\n")
}

fn is_unhealthy(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Unhealthy(reason) if !reason.is_empty())
}

/// Checks the verdicts on the first attempt at a fault: undecided as long as nothing is known of what it has changed,
/// unhealthy where nothing was done and `bad` is so still, healthy once `good` is.
fn judges(trial: &mut Trial, fault: &Fault, bad: impl Fn(&mut Trial), good: impl Fn(&mut Trial)) {
    let done = trial.act(fault, true);
    assert_eq!(trial.verify(fault, done.clone()), Verdict::Undecided, "nothing is known yet");
    let mut failed = done.clone();
    failed.outcomes.iter_mut().for_each(|outcome| outcome.ok = false);
    bad(trial);
    let verdict = trial.verify(fault, failed);
    assert!(is_unhealthy(&verdict), "it is as it was, and nothing was done: {verdict:?}");
    assert_ne!(trial.verify(fault, done.clone()), Verdict::Healthy, "it is as it was");
    good(trial);
    assert_eq!(trial.verify(fault, done), Verdict::Healthy);
}

#[test]
fn every_stock_plugin_has_a_case_here() {
    let folders = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let with_policy = folders.filter(|path| path.join("policy.toml").is_file());
    let names = with_policy.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned());
    assert_eq!(names.collect::<BTreeSet<_>>(), PLUGINS.iter().map(ToString::to_string).collect());
}

#[test]
fn each_says_what_it_is_and_asks_for_what_can_be_granted() {
    for plugin in PLUGINS {
        let loaded = loaded("plugins", plugin);
        let about = &loaded.description;
        assert_eq!(about.name, plugin);
        assert_eq!(about.version.split('.').count(), 3, "{plugin}: {}", about.version);
        assert!(!about.summary.is_empty() && !about.summary.contains('\n'), "{plugin}: {}", about.summary);
        assert!(!about.wants.is_empty(), "{plugin}");
        for want in &about.wants {
            Pattern::parse(want).unwrap_or_else(|error| panic!("{plugin} wants {want}: {error}"));
        }
        let schema: Json = serde_json::from_str(&about.config_schema).unwrap();
        assert_eq!((&schema["type"], &schema["additionalProperties"]), (&"object".into(), &false.into()), "{plugin}");
        for (key, property) in schema["properties"].as_object().unwrap() {
            assert!(property["description"].is_string(), "{plugin}: the schema does not explain `{key}`");
        }
    }
}

#[test]
fn each_takes_its_own_policy_and_everything_that_it_proposes() {
    for plugin in PLUGINS {
        let trial = Trial::shipped(plugin);
        let rules = &trial.policy.rules;
        assert_ne!(rules.mode, Mode::Auto, "{plugin}: nobody has said yet that it may act");
        assert!(!rules.grant.is_empty() || rules.mode == Mode::Observe, "{plugin}: it may do nothing");
        let needs: BTreeSet<String> = loaded("plugins", plugin).needs().into_iter().map(str::to_owned).collect();
        assert_eq!(trial.policy.access.read, needs, "{plugin}: it is granted what it needs to look at");
        let trial = Trial::new(plugin, &proposed(plugin)).unwrap_or_else(|error| panic!("{plugin}: {error}"));
        assert!(!trial.policy.rules.grant.is_empty(), "{plugin}: its policy proposes no grant");
        // Without a word of configuration it does no harm.
        check(plugin, &policy(plugin, "")).unwrap_or_else(|error| panic!("{plugin}: {error}"));
    }
}

#[test]
fn each_refuses_what_it_does_not_know_with_the_place_in_the_file() {
    let refused = |plugin: &str, config: &str| match check(plugin, &policy(plugin, config)) {
        Ok(()) => panic!("{plugin} takes {config}"),
        Err(error) => error,
    };
    for plugin in PLUGINS {
        let error = refused(plugin, "no-such-key = 1");
        let expected = format!("{plugin}.toml:3:1: [config].no-such-key: unknown key `no-such-key`");
        assert!(error.starts_with(&expected), "{error}");
        let schema: Json = serde_json::from_str(&loaded("plugins", plugin).description.config_schema).unwrap();
        for key in schema["properties"].as_object().unwrap().keys() {
            // Nothing is a list of lists of lists.
            let error = refused(plugin, &format!("{key} = [[[1]]]"));
            assert!(
                error.starts_with(&format!("{plugin}.toml:3:")) && error.contains(&format!("[config].{key}")),
                "{error}"
            );
            let error = refused(plugin, &format!("{key}x = 1"));
            assert!(error.contains(&format!("unknown key `{key}x`; did you mean `")), "{error}");
        }
    }
}

/// Attributes that plugins look at.
const KEYS: [&str; 26] = [
    "container.exit_code",
    "container.health",
    "container.name",
    "container.restarts",
    "container.status",
    "incident.kind",
    "incident.state",
    "incident.target",
    "probe.name",
    "probe.status",
    "process.executable.name",
    "process.owner",
    "process.parent_pid",
    "process.pid",
    "process.start_time",
    "process.state",
    "process.state.duration",
    "service.active_state",
    "service.name",
    "system.device",
    "system.filesystem.mountpoint",
    "system.memory.state",
    "system.pressure.kind",
    "system.pressure.resource",
    "timer.last_trigger",
    "timer.late",
];

/// A series that a selector asks for, where it says something of an attribute; names are `odd` where it does not say which.
fn series(number: u32, selector: &Selector, odd: &str) -> Series {
    let said = |key: &&'static str| Some(((*key).into(), selector.pattern(key)?.replace('*', odd).into()));
    let attributes = KEYS.iter().filter_map(said).collect();
    Series { number, name: SeriesName { metric: selector.name().into(), attributes } }
}

#[test]
fn nothing_that_is_odd_traps_or_is_found() {
    let long = "x".repeat(300);
    for plugin in PLUGINS {
        let mut trial = Trial::shipped(plugin);
        let subscription = trial.subscription().clone();
        let mut batches = vec![Batch::default()];
        // Numbers that are none, of all that it asks for; and of nothing that it was told the name of.
        for odd in ["", "x", "a\nb", &long] {
            for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                let named =
                    subscription.metrics.iter().zip(0..).map(|(selector, number)| series(number, selector, odd));
                let readings = (0..500).map(|series| Reading { series, value }).collect();
                let new_series: Vec<Series> = named.collect();
                batches.push(Batch { new_series: new_series.clone(), readings, ..Batch::default() });
                let gone_series = new_series.iter().map(|it| it.number).chain([77_777]).collect();
                batches.push(Batch { gone_series, dropped: u64::MAX, ..Batch::default() });
            }
        }
        // Numbers that are some, of nobody.
        for value in [0.0, -1.0, f64::MAX, f64::MIN_POSITIVE] {
            let nameless = subscription.metrics.iter().zip(0..).map(|(selector, number)| Series {
                number,
                name: SeriesName { metric: selector.name().into(), attributes: vec![] },
            });
            let new_series: Vec<Series> = nameless.collect();
            let readings = new_series.iter().map(|it| Reading { series: it.number, value }).collect();
            batches.push(Batch { new_series, readings, ..Batch::default() });
        }
        for batch in batches {
            let at = trial.tick();
            let found = trial.feed(Batch { at, ..batch }).unwrap_or_else(|error| panic!("{plugin}: {error}"));
            assert_eq!(present(&found), [] as [&Fault; 0], "{plugin}");
        }
        // Events that say nothing, or something of another type. Those whose name says it all are faults all the same.
        let enough = ["filesystem.read-only", "log.disk-error", "log.out-of-descriptors", "timer.missed"];
        let wrong = [None, Some(Value::Boolean(true)), Some(Value::Number(f64::NAN)), Some(Value::Integer(-1))];
        for (odd, value) in ["", "x", "a\nb", &long].iter().flat_map(|odd| wrong.iter().map(move |value| (odd, value)))
        {
            let at = trial.tick();
            let attributes = value.iter().flat_map(|value| KEYS.map(|key| (key, value.clone()))).collect::<Vec<_>>();
            let odd_one = |selector: &Selector| {
                let subject = selector.subject().replace('*', odd);
                let body = "\u{0}".repeat(100_000);
                Event { name: selector.name().into(), body, at, ..event("odd", &subject, &attributes) }
            };
            let events = subscription.events.iter().map(odd_one).collect();
            let batch = Batch { at, events, ..Batch::default() };
            let found = trial.feed(batch).unwrap_or_else(|error| panic!("{plugin}: {odd:?} {value:?}: {error}"));
            let unexpected = present(&found).into_iter().find(|fault| !enough.contains(&fault.kind.as_str()));
            assert_eq!(unexpected, None, "{plugin}");
        }
    }
}

#[test]
fn certificate_expiry_has_a_certificate_renewed() {
    let mut trial = Trial::proposed("certificate-expiry");
    trial.asks(&["tls.certificate.remaining"], &[], None);
    let lasts = |trial: &mut Trial, days: f64| {
        trial.tell(&[("tls.certificate.remaining", &[("probe.name", "web")], days * DAY)], vec![])
    };
    assert!(present(&lasts(&mut trial, 90.0)).is_empty());
    let found = lasts(&mut trial, 3.0);
    let fault = trial.only(&found, "certificate.expiring", "web");
    assert_eq!(fault.severity, Severity::Critical);
    trial.causes(&fault);
    assert_eq!(trial.ladder(&fault), ["command.run certbot-renew"]);
    let (bad, good) = (|it: &mut Trial| drop(lasts(it, 2.9)), |it: &mut Trial| drop(lasts(it, 90.0)));
    judges(&mut trial, &fault, bad, good);
}

#[test]
fn clock_drift_has_the_time_service_restarted() {
    let mut trial = Trial::proposed("clock-drift");
    trial.asks(&["system.clock.offset", "system.clock.synchronized"], &[], None);
    let clock = |trial: &mut Trial, minutes: u32, offset: f64, synchronized: f64| {
        let readings = [("system.clock.offset", &[][..], offset), ("system.clock.synchronized", &[][..], synchronized)];
        trial.repeat(minutes * 6, 10, &readings)
    };
    assert!(present(&clock(&mut trial, 20, 0.01, 1.0)).is_empty());
    let found = clock(&mut trial, 2, -2.0, 1.0);
    let fault = trial.only(&found, "clock.drift", "clock");
    trial.causes(&fault);
    assert_eq!(trial.ladder(&fault), ["service.restart chrony.service"]);
    let (bad, good) = (|it: &mut Trial| drop(clock(it, 1, -2.0, 1.0)), |it: &mut Trial| drop(clock(it, 1, 0.01, 1.0)));
    judges(&mut trial, &fault, bad, good);
    let found = clock(&mut trial, 16, 0.01, 0.0);
    let fault = trial.only(&found, "clock.unsynchronized", "clock");
    assert_eq!((fault.severity, trial.causes(&fault).len()), (Severity::Warning, 2));
}

#[test]
fn container_health_restarts_a_container_that_died() {
    let mut trial = Trial::shipped("container-health");
    trial.asks(&[], &["container.state", "container.exit", "container.oom"], Some(10));
    let state = |trial: &mut Trial, status: &str, code: i64| {
        let attributes = [("container.status", status.into()), ("container.exit_code", code.into())];
        trial.tell(&[], vec![event("container.state", "web", &attributes)])
    };
    assert!(present(&state(&mut trial, "running", 0)).is_empty());
    assert!(present(&state(&mut trial, "exited", 0)).is_empty(), "somebody stopped it");
    let found = state(&mut trial, "exited", 1);
    let fault = trial.only(&found, "container.down", "web");
    trial.causes(&fault);
    assert_eq!(trial.ladder(&fault), ["container.restart web"; 2]);
    let (bad, good) = (|it: &mut Trial| drop(state(it, "exited", 1)), |it: &mut Trial| drop(state(it, "running", 0)));
    judges(&mut trial, &fault, bad, good);
    // One whose health check fails, for a while.
    let sick = [("container.status", "running".into()), ("container.health", "unhealthy".into())];
    assert!(present(&trial.tell(&[], vec![event("container.state", "api", &sick)])).is_empty());
    let found = trial.idle(31);
    trial.only(&found, "container.unhealthy", "api");
}

#[test]
fn disk_pressure_makes_room_in_the_order_of_its_policy() {
    let mut trial = Trial::shipped("disk-pressure");
    let metrics = ["utilization", "limit", "read_only", "inodes.utilization", "inodes.limit"];
    let metrics = metrics.map(|it| format!("system.filesystem.{it}"));
    trial.asks(&metrics.each_ref().map(String::as_str), &["kernel.filesystem_remount"], None);
    let level = |trial: &mut Trial, seconds: u32, level: f64| {
        let of = [("system.filesystem.mountpoint", "/"), ("system.device", "/dev/sda1")];
        trial.repeat(seconds, 1, &[("system.filesystem.utilization", &of, level)])
    };
    assert!(present(&level(&mut trial, 60, 0.5)).is_empty());
    let found = level(&mut trial, 40, 0.95);
    let fault = trial.only(&found, "filesystem.full", "/");
    trial.causes(&fault);
    let steps = [
        "file.delete /var/log/**/*.gz",
        "journal.vacuum journal",
        "file.delete /var/cache/apt/archives/*.deb",
        "file.delete /var/lib/systemd/coredump/*",
    ];
    assert_eq!(trial.ladder(&fault), steps);
    let (bad, good) = (|it: &mut Trial| drop(level(it, 1, 0.95)), |it: &mut Trial| drop(level(it, 1, 0.8)));
    judges(&mut trial, &fault, bad, good);
    // One that the kernel gives up is for a person, and nothing is deleted.
    let remount = event("kernel.filesystem_remount", "/", &[("system.device", "sda1".into())]);
    let found = trial.tell(&[], vec![remount]);
    let fault = trial.only(&found, "filesystem.read-only", "/");
    assert_eq!(trial.ladder(&fault), [] as [&str; 0]);
}

#[test]
fn log_sentinel_counts_the_lines_of_its_classes() {
    let mut trial = Trial::proposed("log-sentinel");
    trial.asks(&[], &["log.record", "kernel.io_error"], Some(15));
    let line = |subject: &str, body: &str| Event { body: body.into(), ..event("log.record", subject, &[]) };
    trial.ignores(line("app.service", "all is well"));
    trial.ignores(line("cron", "Too many open files"));
    let oops = || line("app.service", "accept: Too many open files");
    assert!(present(&trial.tell(&[], vec![oops(), oops()])).is_empty());
    let found = trial.tell(&[], vec![oops()]);
    let fault = trial.only(&found, "log.out-of-descriptors", "app.service");
    assert!(!trial.causes(&fault)[0].evidence.is_empty(), "the lines are its grounds");
    assert_eq!(trial.ladder(&fault), ["service.restart app.service"]);
    let attempt = trial.act(&fault, true);
    assert_eq!(trial.verify(&fault, attempt.clone()), Verdict::Undecided, "it may come again");
    trial.idle(61);
    assert_eq!(trial.verify(&fault, attempt), Verdict::Healthy);
    let found = trial.tell(&[], vec![oops(), oops(), oops()]);
    let fault = trial.only(&found, "log.out-of-descriptors", "app.service");
    let attempt = trial.act(&fault, true);
    trial.tell(&[], vec![oops()]);
    assert!(is_unhealthy(&trial.verify(&fault, attempt)), "it goes on");
    // Other events are faults by their name alone.
    let found = trial.tell(&[], vec![event("kernel.io_error", "sda", &[])]);
    let found: Vec<Finding> =
        found.into_iter().filter(|it| matches!(it, Finding::Present(fault) if fault.target == "sda")).collect();
    let fault = trial.only(&found, "log.disk-error", "sda");
    assert_eq!((fault.severity, trial.ladder(&fault)), (Severity::Critical, vec![]));
}

#[test]
fn memory_leak_restarts_in_a_quiet_moment() {
    let mut trial = Trial::shipped("memory-leak");
    let metrics = ["process.memory.usage", "process.cpu.utilization", "system.memory.limit"];
    trial.asks(&metrics, &[], None);
    let minutes = |trial: &mut Trial, count: u32, pid: &str, cpu: f64, mib: &dyn Fn(f64) -> f64| {
        let mut findings = Vec::new();
        for minute in 0..count {
            let noise = ((f64::from(minute) * 12.9898).sin() * 43_758.545_3).fract();
            let of = [("process.executable.name", "app"), ("process.pid", pid), ("service.name", "app.service")];
            let memory = (mib(f64::from(minute)) + 5.0 * noise) * MIB;
            findings.extend(trial.repeat(
                1,
                60,
                &[
                    ("process.memory.usage", &of, memory),
                    ("process.cpu.utilization", &of, cpu),
                    ("system.memory.limit", &[], 1280.0 * MIB),
                ],
            ));
        }
        findings
    };
    assert!(present(&minutes(&mut trial, 240, "6", 0.0, &|_| 200.0)).is_empty());
    let found = minutes(&mut trial, 240, "7", 0.9, &|minute| 200.0 + minute);
    let fault = trial.only(&found, "memory.leak", "app.service");
    assert!(trial.causes(&fault)[0].summary.starts_with("it grows by "), "{:?}", trial.causes(&fault));
    minutes(&mut trial, 10, "7", 0.0, &|minute| 440.0 + minute);
    assert_eq!(trial.ladder(&fault), ["service.restart app.service"]);
    let bad = |it: &mut Trial| drop(minutes(it, 1, "7", 0.0, &|_| 450.0));
    let good = |it: &mut Trial| drop(minutes(it, 1, "8", 0.0, &|_| 200.0));
    judges(&mut trial, &fault, bad, good);
}

#[test]
fn pressure_relief_acts_on_the_worst_of_those_it_is_offered() {
    let mut trial = Trial::shipped("pressure-relief");
    let metrics = [
        "process.memory.usage",
        "system.memory.utilization",
        "system.paging.utilization",
        "system.pressure.stalled_ratio",
    ];
    trial.asks(&metrics, &["pressure.stalled"], Some(5));
    let seconds = |trial: &mut Trial, count: u32, ratio: f64, used: f64| {
        let memory = [
            ("system.pressure.kind", "full"),
            ("system.pressure.resource", "memory"),
            ("system.pressure.window", "10s"),
        ];
        let of = |pid, unit| [("process.executable.name", "job"), ("process.pid", pid), ("service.name", unit)];
        let (small, large, other) = (of("1", "batch@1.service"), of("2", "batch@2.service"), of("3", "db.service"));
        let readings = [
            ("system.pressure.stalled_ratio", &memory[..], ratio),
            ("system.memory.utilization", &[("system.memory.state", "used")], used),
            ("process.memory.usage", &small, 100.0 * MIB),
            ("process.memory.usage", &large, 900.0 * MIB),
            ("process.memory.usage", &other, 9000.0 * MIB),
        ];
        trial.repeat(count, 1, &readings)
    };
    assert!(present(&seconds(&mut trial, 60, 0.05, 0.95)).is_empty(), "it is full, and nobody waits");
    assert!(present(&seconds(&mut trial, 60, 0.9, 0.5)).is_empty(), "it is work, and there is room");
    assert!(present(&seconds(&mut trial, 15, 0.05, 0.5)).is_empty());
    let found = seconds(&mut trial, 30, 0.5, 0.95);
    let fault = trial.only(&found, "pressure.sustained", "memory");
    trial.causes(&fault);
    assert_eq!(trial.ladder(&fault), ["service.restart batch@2.service", "service.restart batch@1.service"]);
    let (bad, good) =
        (|it: &mut Trial| drop(seconds(it, 1, 0.5, 0.95)), |it: &mut Trial| drop(seconds(it, 1, 0.05, 0.7)));
    judges(&mut trial, &fault, bad, good);
}

#[test]
fn root_cause_heals_the_cause_and_names_its_consequences() {
    let mut trial = Trial::proposed("root-cause");
    trial.asks(&["system.filesystem.utilization"], &["service.state", "incident.state"], Some(10));
    let states = |trial: &mut Trial, database: &str, cache: &str| {
        trial.tell(&[], vec![service("postgresql.service", database), service("redis-server.service", cache)])
    };
    assert!(present(&states(&mut trial, "active", "active")).is_empty());
    assert!(present(&trial.tell(&[("system.filesystem.utilization", &[], 0.5)], vec![])).is_empty());
    let sick = [
        ("incident.kind", "service.unhealthy".into()),
        ("incident.target", "shop.service".into()),
        ("incident.state", "detected".into()),
    ];
    assert!(present(&trial.tell(&[], vec![event("incident.state", "1", &sick)])).is_empty(), "that alone is no cause");
    for (database, cache, cause) in
        [("failed", "active", "postgresql.service"), ("active", "failed", "redis-server.service")]
    {
        let found = states(&mut trial, database, cache);
        let fault = trial.only(&found, "root-cause.the-shop-is-down", cause);
        let consequences: Vec<&str> = fault.consequences().collect();
        assert_eq!(consequences, ["shop-worker.service", "shop.service"]);
        let explains = &trial.policy.rules.explains;
        assert!(consequences.iter().all(|it| explains.iter().any(|covers| covers == it)), "{explains:?}");
        trial.causes(&fault);
        assert_eq!(trial.ladder(&fault), [format!("service.restart {cause}")]);
        let bad = |it: &mut Trial| drop(states(it, database, cache));
        let good = |it: &mut Trial| {
            states(it, "active", "active");
            it.idle(6);
        };
        judges(&mut trial, &fault, bad, good);
    }
}

#[test]
fn runaway_process_is_gentle_first() {
    let mut trial = Trial::shipped("runaway-process");
    let metrics = [
        "process.cpu.utilization",
        "process.thread.count",
        "process.unix.file_descriptor.count",
        "process.unix.file_descriptor.limit",
    ];
    trial.asks(&metrics, &["process.state"], Some(5));
    let minutes = |trial: &mut Trial, count: u32, cpu: f64| {
        let of = [
            ("process.executable.name", "app"),
            ("process.pid", "7"),
            ("process.start_time", "700"),
            ("service.name", "app@1.service"),
        ];
        trial.repeat(count * 6, 10, &[("process.cpu.utilization", &of, cpu)])
    };
    assert!(present(&minutes(&mut trial, 15, 0.5)).is_empty());
    assert!(present(&minutes(&mut trial, 9, 1.0)).is_empty(), "a peak");
    let found = minutes(&mut trial, 2, 1.0);
    let fault = trial.only(&found, "process.runaway", "app[7]");
    trial.causes(&fault);
    assert_eq!(trial.ladder(&fault), ["process.renice 7", "service.restart app@1.service"]);
    let (bad, good) = (|it: &mut Trial| drop(minutes(it, 1, 1.0)), |it: &mut Trial| drop(minutes(it, 1, 0.1)));
    judges(&mut trial, &fault, bad, good);
}

#[test]
fn timer_missed_starts_the_job_where_the_policy_says_so() {
    let proposed = proposed("timer-missed").replace("start = false", "start = true");
    let mut trial = Trial::new("timer-missed", &proposed).unwrap();
    trial.asks(&[], &["timer.state", "timer.missed", "service.state"], None);
    let state = |last: &str| {
        let attributes = [("timer.active_state", "active".into()), ("timer.last_trigger", last.into())];
        event("timer.state", "backup.timer", &attributes)
    };
    assert!(present(&trial.tell(&[], vec![state("Monday")])).is_empty());
    // Late by its own grace, and by nobody else's.
    let missed = |grace: f64| {
        let attributes =
            [("timer.last_trigger", "Monday".into()), ("timer.late", 301.0.into()), ("grace", grace.into())];
        event("timer.missed", "backup.timer", &attributes)
    };
    trial.ignores(missed(60.0));
    let found = trial.tell(&[], vec![missed(300.0)]);
    let fault = trial.only(&found, "timer.missed", "backup.timer");
    assert_eq!(fault.severity, Severity::Warning);
    trial.causes(&fault);
    assert_eq!(trial.ladder(&fault), ["service.start backup.service"]);
    let mut attempt = trial.act(&fault, false);
    assert!(is_unhealthy(&trial.verify(&fault, attempt.clone())), "nothing was started");
    attempt.outcomes.clear();
    assert_eq!(trial.verify(&fault, attempt.clone()), Verdict::Undecided, "nobody knows how it ended");
    trial.tell(&[], vec![service("backup.service", "active")]);
    assert_eq!(trial.verify(&fault, attempt), Verdict::Healthy);
    // As it is shipped it tells, and starts nothing.
    let mut trial = Trial::shipped("timer-missed");
    let found = trial.tell(&[], vec![missed(300.0)]);
    let fault = trial.only(&found, "timer.missed", "backup.timer");
    assert_eq!(trial.ladder(&fault), [] as [&str; 0]);
}

#[test]
fn unhealthy_service_reloads_and_then_restarts() {
    let mut trial = Trial::shipped("unhealthy-service");
    trial.asks(&[], &["service.state", "probe.state"], Some(5));
    let probe = |status: &str| event("probe.state", "web", &[("probe.status", status.into())]);
    let found = trial.tell(&[], vec![service("nginx.service", "active"), probe("up")]);
    assert!(present(&found).is_empty());
    assert!(present(&trial.tell(&[], vec![probe("down")])).is_empty(), "it has just started");
    let found = trial.idle(40);
    let fault = trial.only(&found, "service.unhealthy", "nginx.service");
    trial.causes(&fault);
    assert_eq!(trial.ladder(&fault), ["service.reload nginx.service", "service.restart nginx.service"]);
    let (bad, good) = (
        |it: &mut Trial| drop(it.tell(&[], vec![probe("down")])),
        |it: &mut Trial| drop(it.tell(&[], vec![probe("up")])),
    );
    judges(&mut trial, &fault, bad, good);
}

#[test]
fn what_is_shipped_is_what_is_proposed_but_for_its_comments() {
    for plugin in PLUGINS {
        let (shipped, proposed) = (shipped(plugin), proposed(plugin));
        assert_eq!(shipped.lines().count(), proposed.lines().count(), "{plugin}");
        let kept = shipped.lines().filter(|line| !line.trim_start().starts_with('#') && !line.contains("actions = []"));
        for line in kept {
            assert!(proposed.lines().any(|other| other == line), "{plugin}: {line}");
        }
    }
}
