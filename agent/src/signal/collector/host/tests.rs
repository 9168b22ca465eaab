use std::fs;
use std::sync::Arc;

use tempfile::TempDir;

use super::*;
use crate::clock::{SystemClock, Timestamp};
use crate::signal::collector::{Condition, Health};
use crate::signal::{Attribute, Mailbox, Router, Selector, Subscription};

/// A context whose host lies below this directory.
fn context(root: &Path) -> Context {
    let clock = Arc::new(SystemClock::new());
    let health = Arc::new(Health::new(clock.clone()));
    let interval = Duration::from_millis(20);
    Context { router: Arc::new(Router::new()), clock, health, root: root.to_owned(), interval }
}

fn subscribe(context: &Context, metrics: &[&str]) -> Arc<Mailbox> {
    let mailbox = Arc::new(Mailbox::default());
    let metrics = metrics.iter().map(|name| Selector::new(name, vec![])).collect();
    context.router.subscribe("test".into(), Subscription { metrics, ..Subscription::default() }, mailbox.clone());
    mailbox
}

/// Waits, with a deadline, until the source is in this condition; then says why.
async fn until(context: &Context, source: &str, condition: Condition) -> String {
    let look = async {
        loop {
            let view = context.health.view();
            if let Some(view) = view.into_iter().find(|view| view.source == source && view.condition == condition) {
                return view.reason.unwrap_or_default();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let found = timeout(Duration::from_secs(20), look).await;
    found.unwrap_or_else(|_| panic!("{source} never was {condition:?}: {:?}", context.health.view()))
}

/// A host whose files of these paths say these things.
fn host(files: &[(&str, &str)]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    root
}

#[test]
fn every_source_yields_only_the_metrics_it_declares() {
    for source in SOURCES {
        let mut reader = (source.open)(Path::new("/"));
        for _ in 0..2 {
            match reader.read() {
                Ok(samples) => samples.iter().for_each(|sample| {
                    let metric = &*sample.series.metric;
                    assert!(source.metrics.contains(&metric), "{}: {metric}", source.name);
                    let may_be_negative = metric == "system.clock.offset";
                    assert!(sample.value.is_finite() && (may_be_negative || sample.value >= 0.0), "{sample:?}");
                }),
                // A sandbox may lack this or that, but garbage is ours.
                Err(Fault::Absent(_)) => {}
                Err(fault) => panic!("{}: {fault}", source.name),
            }
        }
    }
}

#[tokio::test]
async fn the_file_systems_of_this_host_make_sense() {
    let wanted = [Selector::new("system.filesystem.*", vec![])];
    let (samples, fault) = Filesystems::new(Path::new("/")).read(&Demand::new(&wanted, [])).await;
    assert!(fault.is_none() && !samples.is_empty(), "{fault:?}");
    for sample in samples {
        assert!(filesystem::METRICS.contains(&&*sample.series.metric), "{sample:?}");
        assert!(sample.value.is_finite() && sample.value >= 0.0, "{sample:?}");
        assert!(!sample.series.metric.ends_with("utilization") || sample.value <= 1.0, "{sample:?}");
    }
}

#[test]
fn utilisation_is_a_ratio() {
    let samples = (memory::SOURCE.open)(Path::new("/")).read().unwrap();
    let used = samples.into_iter().find(|sample| sample.series.metric == "system.memory.utilization").unwrap();
    assert!((0.0..=1.0).contains(&used.value), "{used:?}");
}

#[tokio::test]
async fn what_nobody_wants_is_not_read_and_what_is_missing_or_garbage_is_told() {
    let root = host(&[("proc/loadavg", "0.5 0.25 0.125 1/2 3\n"), ("proc/meminfo", "what is this\n")]);
    let context = context(root.path());
    let mailbox = subscribe(&context, &["system.cpu.*", "system.memory.usage"]);
    let task = tokio::spawn(run(context.clone()));
    assert!(until(&context, "cpu", Condition::Absent).await.contains("proc/stat"));
    assert!(until(&context, "memory", Condition::Degraded).await.contains("MemTotal"));
    until(&context, "load", Condition::Ok).await;
    let batch = mailbox.take(Timestamp::default()).unwrap();
    assert_eq!(batch.readings.iter().take(3).map(|reading| reading.value).collect::<Vec<_>>(), [0.5, 0.25, 0.125]);
    assert_eq!(context.health.view().len(), 3, "nobody asked for the others");

    // It comes back when its file makes sense.
    fs::write(root.path().join("proc/meminfo"), "MemTotal: 10 kB\nMemFree: 5 kB\n").unwrap();
    until(&context, "memory", Condition::Ok).await;
    // When it is lost again, its series are gone; when nobody wants it, so is what was said of it.
    fs::write(root.path().join("proc/meminfo"), "").unwrap();
    until(&context, "memory", Condition::Degraded).await;
    assert!(!mailbox.take(Timestamp::default()).unwrap().gone_series.is_empty());
    subscribe(&context, &["system.cpu.load_average.1m"]);
    let only_load = async {
        while context.health.view().len() > 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(20), only_load).await.unwrap();
    task.abort();
}

#[tokio::test]
async fn only_mounts_that_somebody_wants_are_asked() {
    let info = "27 1 254:0 / / rw - ext4 /dev/vda rw\n28 27 0:9 / /no/such/mount rw - nfs4 nas:/x rw\n";
    let root = host(&[("proc/self/mountinfo", info)]);
    let at =
        |point: &str| Selector::new("system.filesystem.*", vec![Attribute::new("system.filesystem.mountpoint", point)]);
    let mut filesystems = Filesystems::new(root.path());
    let (samples, fault) = filesystems.read(&Demand::new(&[at("/")], [])).await;
    assert!(fault.is_none() && samples.len() > 5, "{fault:?}");
    let (samples, fault) = filesystems.read(&Demand::new(&[at("/*")], [])).await;
    assert!(samples.len() > 5, "what can be told is told");
    assert!(matches!(fault, Some(Fault::Degraded(reason)) if reason.contains("/no/such/mount (nfs4 of nas:/x)")));
}

#[tokio::test]
async fn a_list_of_mounts_that_is_garbage_is_told() {
    let root = host(&[("proc/self/mountinfo", "no such thing\n")]);
    let wanted = [Selector::new("system.*", vec![])];
    let (samples, fault) = Filesystems::new(root.path()).read(&Demand::new(&wanted, [])).await;
    assert!(samples.is_empty() && matches!(fault, Some(Fault::Degraded(_))));
}
