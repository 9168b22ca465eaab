use std::fs;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::timeout;

use super::*;
use crate::clock::{SystemClock, Timestamp};
use crate::signal::collector::{Condition, Health, SourceView};
use crate::signal::{Attribute, Event, Mailbox, Router, Selector, Subscription, Value};

const CALM: &str =
    "some avg10=0.00 avg60=0.00 avg300=0.00 total=1000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n";

fn context(root: &Path) -> Context {
    let clock = Arc::new(SystemClock::new());
    let health = Arc::new(Health::new(clock.clone()));
    let interval = Duration::from_millis(20);
    Context { router: Arc::new(Router::new()), clock, health, root: root.to_owned(), interval }
}

/// A host whose pressure file of memory says this, and that of no other resource is there.
fn host(text: &str) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("proc/pressure")).unwrap();
    fs::write(root.path().join("proc/pressure/memory"), text).unwrap();
    root
}

fn subscribe(context: &Context, metrics: Vec<Selector>, events: Vec<Selector>) -> Arc<Mailbox> {
    let mailbox = Arc::new(Mailbox::default());
    let subscription = Subscription { metrics, events, every: None };
    context.router.subscribe("test".into(), subscription, mailbox.clone());
    mailbox
}

/// Asks for stalls of memory.
fn stalls(stall: f64, window: f64) -> Selector {
    let attributes =
        [Attribute::new("subject", "memory"), Attribute::new("stall", stall), Attribute::new("window", window)];
    Selector::new(STALLED, attributes.to_vec())
}

/// Looks until there is something, with a deadline.
async fn until<T>(context: &Context, mut look: impl FnMut() -> Option<T>) -> T {
    let found = timeout(Duration::from_secs(20), async {
        loop {
            match look() {
                Some(found) => return found,
                None => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    });
    found.await.unwrap_or_else(|_| panic!("it never came: {:?}", context.health.view()))
}

async fn source(context: &Context, name: &str) -> SourceView {
    until(context, || context.health.view().into_iter().find(|view| view.source == name)).await
}

fn first_event(mailbox: &Mailbox) -> Option<Event> {
    mailbox.take(Timestamp::default())?.events.pop_front()
}

#[tokio::test]
async fn a_host_without_pressure_has_none_and_is_asked_on() {
    let root = tempfile::tempdir().unwrap();
    let context = context(root.path());
    subscribe(&context, vec![Selector::new(RATIO, vec![])], vec![stalls(0.15, 2.0)]);
    let task = tokio::spawn(run(context.clone()));
    for name in ["pressure", "pressure/memory some 0.15s/2s"] {
        let view = source(&context, name).await;
        assert_eq!(view.condition, Condition::Absent, "{view:?}");
    }
    // When nobody wants it, nothing is said of it.
    context.router.unsubscribe("test");
    until(&context, || context.health.view().is_empty().then_some(())).await;
    task.abort();
}

#[tokio::test]
async fn garbage_and_what_cannot_be_read_are_told_and_never_written_to() {
    let root = host("this is no pressure file, and not to be written over\n");
    fs::create_dir(root.path().join("proc/pressure/io")).unwrap();
    let context = context(root.path());
    let io = Selector::new(STALLED, vec![Attribute::new("subject", "io"), Attribute::new("stall", 1_i64)]);
    let memory = Selector::new(RATIO, vec![Attribute::new("system.pressure.resource", "memory")]);
    subscribe(&context, vec![memory], vec![stalls(0.15, 2.0), stalls(9.0, 2.0), io]);
    let task = tokio::spawn(run(context.clone()));
    for name in ["pressure", "pressure/memory some 0.15s/2s", "pressure/io some 1s/2s", "pressure/triggers"] {
        let view = source(&context, name).await;
        assert_eq!((view.condition, view.failures > 0), (Condition::Degraded, true), "{view:?}");
    }
    let text = fs::read_to_string(root.path().join("proc/pressure/memory")).unwrap();
    assert!(text.starts_with("this is no pressure file"));
    task.abort();
}

#[tokio::test]
async fn ratios_of_the_host_and_of_units_that_are_asked_for() {
    let root = host(&CALM.replace("avg60=0.00", "avg60=50.00"));
    let top = root.path().join("sys/fs/cgroup");
    let unit = top.join("system.slice/web.service");
    fs::create_dir_all(&unit).unwrap();
    fs::write(top.join("cgroup.controllers"), "").unwrap();
    fs::write(unit.join("memory.pressure"), CALM).unwrap();
    let context = context(root.path());
    let of = |key: &str, value: &str| Attribute::new(key, value);
    let memory = || of("system.pressure.resource", "memory");
    let metrics = vec![
        Selector::new(RATIO, vec![memory()]),
        Selector::new(RATIO, vec![memory(), of(SERVICE, "web.*")]),
        Selector::new(RATIO, vec![memory(), of(SERVICE, "db.service")]),
    ];
    let mailbox = subscribe(&context, metrics, vec![]);
    let task = tokio::spawn(run(context.clone()));
    let batch = until(&context, || mailbox.take(Timestamp::default())).await;
    assert_eq!(batch.new_series.len(), 12, "two kinds, three windows, two places");
    assert_eq!(batch.readings.iter().map(|reading| reading.value).fold(0.0, f64::max), 0.5);
    let of_unit =
        |series: &&crate::signal::Series| series.name.attributes.contains(&(SERVICE.into(), "web.service".into()));
    assert_eq!(batch.new_series.iter().filter(of_unit).count(), 6);
    assert_eq!(source(&context, "pressure").await.condition, Condition::Ok);
    assert_eq!(source(&context, "pressure/web.service").await.condition, Condition::Ok);
    assert_eq!(source(&context, "pressure/db.service").await.condition, Condition::Absent);
    task.abort();
}

#[tokio::test]
async fn where_no_trigger_is_taken_the_total_is_read_and_the_event_is_the_selector_s() {
    let root = host(CALM);
    let context = context(root.path());
    let mailbox = subscribe(&context, vec![], vec![stalls(0.15, 2.0)]);
    let task = tokio::spawn(run(context.clone()));
    let view = source(&context, "pressure/memory some 0.15s/2s").await;
    assert!(view.reason.unwrap().contains("takes no trigger"));
    fs::write(root.path().join("proc/pressure/memory"), CALM.replace("total=1000", "total=900000")).unwrap();
    let event = until(&context, || first_event(&mailbox)).await;
    assert_eq!((&*event.name, &*event.subject), (STALLED, "memory"));
    assert!(event.attributes.contains(&Attribute::new("stall", Value::Number(0.15))), "{event:?}");
    assert!(event.body.contains("some tasks stood still for 0.15 s within 2 s"));
    task.abort();
}

/// On the real kernel: a window of 2 s it takes from everybody, one of 100 s from nobody (EINVAL), so that is read.
#[tokio::test]
async fn the_kernel_takes_a_trigger_or_it_is_read_instead() {
    let context = context(Path::new("/"));
    subscribe(&context, vec![], vec![stalls(0.15, 2.0), stalls(1.0, 100.0)]);
    let task = tokio::spawn(run(context.clone()));
    let short = source(&context, "pressure/memory some 0.15s/2s").await;
    let long = source(&context, "pressure/memory some 1s/100s").await;
    task.abort();
    if !Path::new("/proc/pressure/memory").exists() || long.condition == Condition::Absent {
        eprintln!("this kernel tells no pressure: {long:?}");
        return;
    }
    let reason = long.reason.unwrap();
    assert!(reason.contains("takes no trigger") && reason.contains("Invalid argument"), "{reason}");
    // An older kernel, or a sandbox, may refuse this one too.
    assert!(short.condition == Condition::Ok || short.reason.is_some_and(|reason| reason.contains("takes no trigger")));
}
