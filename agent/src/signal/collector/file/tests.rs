use std::fs;
use std::path::PathBuf;

use super::*;
use crate::clock::SystemClock;
use crate::signal::collector::{Condition, Health};
use crate::signal::{Mailbox, Router, Selector, Subscription};

const DEADLINE: Duration = Duration::from_secs(10);

/// A collector of one file that is rescanned so seldom that only inotify can be in time.
struct Told {
    context: Context,
    mailbox: Arc<Mailbox>,
    states: Vec<Event>,
    metrics: BTreeMap<String, f64>,
}

impl Told {
    fn start(path: PathBuf, rescan: Duration) -> Self {
        let clock = Arc::new(SystemClock::new());
        let context = Context {
            router: Arc::new(Router::new()),
            clock: clock.clone(),
            health: Arc::new(Health::new(clock)),
            root: "/".into(),
            interval: Duration::from_millis(20),
        };
        let told = Self { context: context.clone(), mailbox: Arc::default(), states: vec![], metrics: BTreeMap::new() };
        told.subscribe(&[], &[STATE]);
        let files = BTreeMap::from([("f".to_owned(), WatchedFile { path, rescan, checksum: false })]);
        tokio::spawn(run(context, files));
        told
    }

    fn subscribe(&self, metrics: &[&str], events: &[&str]) {
        let selectors = |names: &[&str]| names.iter().map(|name| Selector::new(name, vec![])).collect();
        let subscription = Subscription { metrics: selectors(metrics), events: selectors(events), every: None };
        self.context.router.subscribe("test".into(), subscription, self.mailbox.clone());
    }

    async fn until<T>(&mut self, what: &str, is_so: impl Fn(&mut Self) -> Option<T>) -> T {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(batch) = self.mailbox.take(Timestamp::default()) {
                self.states.extend(batch.events);
                for (series, reading) in batch.new_series.iter().zip(&batch.readings) {
                    self.metrics.insert(series.name.metric.to_string(), reading.value);
                }
            }
            if let Some(found) = is_so(self) {
                return found;
            }
            assert!(Instant::now() < deadline, "no {what}: {:#?} {:?}", self.states, self.context.health.view());
            let _ = tokio::time::timeout(Duration::from_millis(10), self.mailbox.ring()).await;
        }
    }

    /// Waits until the file is told to be so large, or not to be there.
    async fn size(&mut self, size: Option<i64>) -> Event {
        let value =
            |event: &Event, key: &str| event.attributes.iter().find(|it| it.key == key).map(|it| it.value.to_string());
        self.until(&format!("size {size:?}"), |told| {
            let fits = |event: &Event| {
                value(event, "file.size") == size.map(|size| size.to_string())
                    && value(event, "file.exists") == Some(size.is_some().to_string())
            };
            let index = told.states.iter().position(fits)?;
            told.states.drain(..=index).next_back()
        })
        .await
    }
}

const NEVER: Duration = Duration::from_secs(3600);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_seen_to_come_to_change_to_be_replaced_and_to_go() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("not/there/yet");
    let path = directory.join("f");
    let mut told = Told::start(path.clone(), NEVER);
    let first = told.size(None).await;
    assert_eq!(first.subject, "f");
    fs::create_dir_all(&directory).unwrap();
    fs::write(&path, "12345").unwrap();
    let event = told.size(Some(5)).await;
    assert!(event.attributes.iter().any(|it| it.key == AGE), "{event:?}");
    // Written on, and left open.
    let mut open = fs::OpenOptions::new().append(true).open(&path).unwrap();
    std::io::Write::write_all(&mut open, b"67").unwrap();
    told.size(Some(7)).await;
    fs::write(directory.join("new"), "1").unwrap();
    fs::rename(directory.join("new"), &path).unwrap();
    told.size(Some(1)).await;
    fs::remove_file(&path).unwrap();
    told.size(None).await;
    // Its directory is another one by now.
    fs::rename(&directory, home.path().join("old")).unwrap();
    fs::create_dir_all(&directory).unwrap();
    fs::write(&path, "123").unwrap();
    told.size(Some(3)).await;
    assert_eq!(told.context.health.view()[0].condition, Condition::Ok);
    assert_eq!(told.context.router.states(STATE).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_link_the_file_is_what_it_leads_to() {
    let home = tempfile::tempdir().unwrap();
    let (link, one, other) = (home.path().join("link"), home.path().join("one/f"), home.path().join("other/f"));
    for path in [&one, &other] {
        fs::create_dir(path.parent().unwrap()).unwrap();
    }
    std::os::unix::fs::symlink(&one, &link).unwrap();
    let mut told = Told::start(link.clone(), NEVER);
    told.size(None).await;
    fs::write(&one, "1").unwrap();
    told.size(Some(1)).await;
    fs::write(&one, "12").unwrap();
    told.size(Some(2)).await;
    fs::write(&other, "123").unwrap();
    let fresh = home.path().join("fresh");
    std::os::unix::fs::symlink(&other, &fresh).unwrap();
    fs::rename(&fresh, &link).unwrap();
    told.size(Some(3)).await;
    fs::write(&other, "1234").unwrap();
    told.size(Some(4)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_are_read_at_the_interval_and_nothing_is_kept_that_nobody_wants() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("f");
    fs::write(&path, "12345").unwrap();
    let mut told = Told::start(path.clone(), NEVER);
    told.size(Some(5)).await;
    told.subscribe(&["file.*"], &[]);
    told.until("metrics", |told| {
        (told.metrics.get(SIZE) == Some(&5.0) && told.metrics.contains_key(AGE)).then_some(())
    })
    .await;
    told.subscribe(&[], &["service.state"]);
    told.until("silence", |told| told.context.health.view().is_empty().then_some(())).await;
    assert!(told.context.router.states(STATE).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_looked_at_is_degraded_and_looked_at_again() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("circle");
    std::os::unix::fs::symlink("circle", &path).unwrap();
    let mut told = Told::start(path.clone(), Duration::from_millis(20));
    let reason = told.until("a reason", |told| told.context.health.view().pop()?.reason).await;
    assert!(reason.contains("circle") && reason.contains("symbolic links"), "{reason}");
    fs::remove_file(&path).unwrap();
    fs::write(&path, "1").unwrap();
    told.size(Some(1)).await;
    assert_eq!(told.context.health.view()[0].condition, Condition::Ok);
}
