//! The whole collector on real files.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::time::Instant;

use regex::Regex;
use tokio::task::JoinHandle;

use super::*;
use crate::clock::SystemClock;
use crate::signal::collector::{Condition, Health};
use crate::signal::{Attribute, Event, Mailbox, Router, Selector, Subscription};

/// How long something may take that comes at once.
const SOON: Duration = Duration::from_secs(20);

/// A collector with one subscriber.
pub(super) struct Bench {
    pub(super) dir: tempfile::TempDir,
    pub(super) router: Arc<Router>,
    pub(super) health: Arc<Health>,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) places: Arc<Places>,
    waiting: Vec<Event>,
    task: Option<JoinHandle<()>>,
}

impl Bench {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("state")).unwrap();
        fs::create_dir_all(dir.path().join("log")).unwrap();
        let places = Arc::new(Places::open(&dir.path().join("state")));
        Self {
            dir,
            router: Arc::default(),
            health: Arc::new(Health::new(Arc::new(SystemClock::new()))),
            mailbox: Arc::default(),
            places,
            waiting: Vec::new(),
            task: None,
        }
    }

    pub(super) fn want(&self, matching: &[(&str, &str)], body: Option<&str>) {
        let selector =
            Selector::new("log.*", matching.iter().map(|(key, value)| Attribute::new(*key, *value)).collect());
        let selector = match body {
            Some(body) => selector.with_body(Regex::new(body).unwrap()),
            None => selector,
        };
        // What happens to a file has no text.
        let events = vec![
            selector,
            Selector::new("log.rotated", vec![]),
            Selector::new("log.truncated", vec![]),
            Selector::new("log.dropped", vec![]),
        ];
        let subscription = Subscription { metrics: vec![], events, every: None };
        self.router.subscribe("test".into(), subscription, self.mailbox.clone());
    }

    pub(super) fn start(&mut self, logs: BTreeMap<String, LogSpec>, journalctl: &str) {
        let context = Context {
            router: self.router.clone(),
            clock: Arc::new(SystemClock::new()),
            health: self.health.clone(),
            root: self.dir.path().to_owned(),
            interval: Duration::from_secs(1),
        };
        let (places, journalctl) = (self.places.clone(), journalctl.to_owned());
        self.task = Some(tokio::spawn(async move { run(context, logs, places, &journalctl).await }));
    }

    fn follow(&mut self, path: &str) {
        self.start(logs(&[("app", files(path))]), "/nonexistent/journalctl");
    }

    /// Ends it as a stop of the agent does, and reads back what it left.
    pub(super) async fn stop(&mut self) {
        let task = self.task.take().unwrap();
        task.abort();
        let _ = task.await;
        self.places.save();
        self.places = Arc::new(Places::open(&self.dir.path().join("state")));
    }

    pub(super) fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn append(&self, name: &str, text: impl AsRef<[u8]>) {
        let mut file = OpenOptions::new().create(true).append(true).open(self.path(name)).unwrap();
        file.write_all(text.as_ref()).unwrap();
    }

    /// The next event.
    pub(super) async fn event(&mut self) -> Event {
        let deadline = Instant::now() + SOON;
        while self.waiting.is_empty() {
            if let Some(batch) = self.mailbox.take(Default::default()) {
                assert_eq!(batch.dropped, 0, "the test is too slow for its mailbox");
                self.waiting.extend(batch.events);
            } else {
                let left = deadline.saturating_duration_since(Instant::now());
                timeout(left, self.mailbox.ring()).await.expect("nothing came");
            }
        }
        self.waiting.remove(0)
    }

    /// The text of the next record.
    pub(super) async fn body(&mut self) -> String {
        loop {
            let event = self.event().await;
            if event.name == "log.record" {
                return event.body;
            }
        }
    }

    async fn until_followed(&self) {
        self.until("log/app is ok", |it| it.condition("log/app") == Some(Condition::Ok)).await;
    }

    pub(super) async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + SOON;
        while !is_so(self) {
            assert!(Instant::now() < deadline, "not so: {what}; {:?}", self.health.view());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    pub(super) fn condition(&self, source: &str) -> Option<Condition> {
        self.health.view().into_iter().find(|view| view.source == source).map(|view| view.condition)
    }
}

fn files(path: &str) -> FileSpec {
    let paths = vec![PathGlob::parse(path.as_ref()).unwrap()];
    FileSpec { paths, multiline: None, from: FirstSeen::End, max_line: 1024 }
}

pub(super) fn logs(specs: &[(&str, FileSpec)]) -> BTreeMap<String, LogSpec> {
    specs.iter().map(|(name, spec)| ((*name).to_owned(), LogSpec::Files(spec.clone()))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_somebody_wants_become_events() {
    let mut bench = Bench::new();
    bench.append("log/app.log", "error: old\n");
    bench.want(&[("subject", "app")], Some("error|caf."));
    bench.follow("/log/app.log");
    bench.until_followed().await;
    bench.append("log/app.log", "fine\nerror: n");
    bench.append("log/app.log", b"ew\r\ncaf\xe9\n\x00\xff\xfe\x01\n");
    let event = bench.event().await;
    assert_eq!((&*event.name, event.subject.as_str(), event.body.as_str()), ("log.record", "app", "error: new"));
    let path = bench.path("log/app.log").to_str().unwrap().to_owned();
    assert_eq!(event.attributes, [Attribute::new("log.source", "file"), Attribute::new("log.file.path", path)]);
    assert_eq!(bench.body().await, "caf\u{fffd}");
    // Another expression, and another instance's wish, while it runs.
    bench.want(&[("subject", "app")], None);
    bench.append("log/app.log", "anything\n");
    assert_eq!(bench.body().await, "anything");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_wants_is_not_opened() {
    let mut bench = Bench::new();
    bench.append("log/app.log", "");
    bench.want(&[("subject", "other")], None);
    bench.follow("/log/app.log");
    tokio::task::yield_now().await;
    assert_eq!(bench.condition("log/app"), None);
    bench.want(&[("subject", "a*")], None);
    bench.until_followed().await;
    bench.router.unsubscribe("test");
    bench.until("forgotten", |bench| bench.condition("log/app").is_none()).await;
    // Whoever wants it again soon misses nothing.
    bench.append("log/app.log", "meanwhile\n");
    bench.want(&[("subject", "app")], None);
    assert_eq!(bench.body().await, "meanwhile");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn through_a_hundred_quick_rotations_each_line_is_seen_once() {
    rotate_a_hundred_times(|log, rotation| {
        fs::rename(log.join("app.log"), log.join(format!("app.log.{rotation}"))).unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn through_a_hundred_quick_rotations_that_shift_all_files_each_line_is_seen_once() {
    rotate_a_hundred_times(|log, rotation| {
        for number in (0..rotation).rev() {
            fs::rename(log.join(format!("app.log.{number}")), log.join(format!("app.log.{}", number + 1))).unwrap();
        }
        fs::rename(log.join("app.log"), log.join("app.log.0")).unwrap();
    })
    .await;
}

/// Each line is written once and must be seen once, however fast the file is renamed away beneath its reader.
async fn rotate_a_hundred_times(rotate: fn(&std::path::Path, usize)) {
    let mut bench = Bench::new();
    bench.append("log/app.log", "");
    bench.want(&[], None);
    bench.follow("/log/app.log");
    bench.until_followed().await;
    let mut seen = Vec::new();
    for round in 0..10 {
        let log = bench.path("log");
        let writer = std::thread::spawn(move || {
            for rotation in (round * 10)..(round * 10 + 10) {
                let mut file = OpenOptions::new().create(true).append(true).open(log.join("app.log")).unwrap();
                for line in 0..30 {
                    writeln!(file, "{rotation} {line}").unwrap();
                }
                rotate(&log, rotation);
                // A writer reopens its log after the rotation, not before.
                writeln!(file, "{rotation} 30").unwrap();
            }
        });
        // Fewer than a mailbox holds.
        while seen.len() < (round + 1) * 310 {
            let body = bench.body().await;
            seen.push(body);
        }
        writer.join().unwrap();
    }
    let key = |line: &String| {
        let (rotation, line) = line.split_once(' ').unwrap();
        (rotation.parse::<usize>().unwrap(), line.parse::<usize>().unwrap())
    };
    let mut found: Vec<_> = seen.iter().map(key).collect();
    found.sort_unstable();
    let expected: Vec<_> = (0..100).flat_map(|rotation| (0..31).map(move |line| (rotation, line))).collect();
    assert_eq!(found, expected);
    bench.append("log/app.log", "last\n");
    assert_eq!(bench.body().await, "last");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_file_is_begun_again_and_that_is_told() {
    let mut bench = Bench::new();
    bench.append("log/app.log", "begin\n");
    bench.want(&[], None);
    bench.follow("/log/app.log");
    bench.until_followed().await;
    bench.append("log/app.log", "one\n");
    assert_eq!(bench.body().await, "one");
    // As `copytruncate` does it: the copy is no new log.
    fs::copy(bench.path("log/app.log"), bench.path("log/app.log.1")).unwrap();
    File::options().write(true).open(bench.path("log/app.log")).unwrap().set_len(0).unwrap();
    assert_eq!(bench.event().await.name, "log.truncated");
    bench.append("log/app.log", "two\n");
    assert_eq!(bench.body().await, "two");
    // Truncated and already larger than before when it is looked at.
    let mut file = File::options().write(true).truncate(true).open(bench.path("log/app.log")).unwrap();
    file.write_all(b"three is longer than two\n").unwrap();
    assert_eq!(bench.body().await, "three is longer than two");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_come_and_go_and_come_back() {
    let mut bench = Bench::new();
    bench.want(&[], None);
    bench.follow("/log/new/deep/app.log");
    bench.until("absent", |bench| bench.condition("log/app") == Some(Condition::Absent)).await;
    fs::create_dir_all(bench.path("log/new/deep")).unwrap();
    bench.append("log/new/deep/app.log", "first\n");
    assert_eq!(bench.body().await, "first");
    fs::remove_file(bench.path("log/new/deep/app.log")).unwrap();
    bench.until("absent", |bench| bench.condition("log/app") == Some(Condition::Absent)).await;
    bench.append("log/new/deep/app.log", "back\n");
    assert_eq!(bench.body().await, "back");
    fs::remove_dir_all(bench.path("log/new")).unwrap();
    bench.until("absent", |bench| bench.condition("log/app") == Some(Condition::Absent)).await;
    // A link to a file elsewhere, which is replaced there.
    fs::create_dir_all(bench.path("log/new/deep")).unwrap();
    fs::create_dir(bench.path("real")).unwrap();
    std::os::unix::fs::symlink(bench.path("real/app.log"), bench.path("log/new/deep/app.log")).unwrap();
    bench.until("absent", |bench| bench.condition("log/app") == Some(Condition::Absent)).await;
    bench.append("real/app.log", "linked\n");
    assert_eq!(bench.body().await, "linked");
    fs::rename(bench.path("real/app.log"), bench.path("real/app.log.1")).unwrap();
    bench.append("real/app.log", "linked again\n");
    assert_eq!(bench.body().await, "linked again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_loses_and_doubles_nothing() {
    let mut bench = Bench::new();
    bench.append("log/app.log", "");
    bench.want(&[], None);
    bench.follow("/log/app.log");
    bench.until_followed().await;
    bench.append("log/app.log", "1\n2\n3 half");
    assert_eq!((bench.body().await, bench.body().await), ("1".to_owned(), "2".to_owned()));
    bench
        .until("noted", |bench| bench.places.files("app").is_some_and(|left| format!("{left:?}").contains("offset: 4")))
        .await;
    bench.stop().await;
    // It is rotated twice while nobody looks, and an older file is shifted.
    bench.append("log/app.log", " and half\n");
    fs::rename(bench.path("log/app.log"), bench.path("log/app.log.2")).unwrap();
    bench.append("log/app.log", "4\n");
    fs::rename(bench.path("log/app.log"), bench.path("log/app.log.1")).unwrap();
    bench.append("log/app.log", "5\n");
    bench.follow("/log/app.log");
    let mut seen = [bench.body().await, bench.body().await, bench.body().await];
    bench.append("log/app.log", "6\n");
    assert_eq!(bench.body().await, "6");
    seen.sort_unstable();
    assert_eq!(seen, ["3 half and half", "4", "5"]);
    bench.stop().await;
    // Shorter than it was: begun again.
    fs::write(bench.path("log/app.log"), "7\n").unwrap();
    bench.follow("/log/app.log");
    assert_eq!(bench.body().await, "7");
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_are_joined_and_the_last_record_does_not_wait_for_ever() {
    let mut bench = Bench::new();
    bench.want(&[], Some("at deep"));
    let start = regex::bytes::Regex::new(r"^\d{4}-").unwrap();
    let multiline = Multiline { start, max_lines: 10, timeout: Duration::from_millis(50) };
    let spec = FileSpec { multiline: Some(multiline), from: FirstSeen::Start, ..files("/log/*.log") };
    bench.append("log/a.log", "2026-01-01 fine\n2026-01-02 boom\n  at top\n  at deep\n");
    bench.start(logs(&[("app", spec)]), "/nonexistent/journalctl");
    assert_eq!(bench.body().await, "2026-01-02 boom\n  at top\n  at deep");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_huge_line_is_cut_and_what_follows_is_read() {
    let mut bench = Bench::new();
    bench.append("log/app.log", "");
    bench.want(&[], None);
    bench.follow("/log/app.log");
    bench.until_followed().await;
    bench.append("log/app.log", "x".repeat(5000));
    let event = bench.event().await;
    assert_eq!(event.body.len(), 1024);
    assert!(event.attributes.contains(&Attribute::new("log.cut", true)));
    let file = File::options().write(true).open(bench.path("log/app.log")).unwrap();
    file.set_len(256 << 20).unwrap();
    bench.append("log/app.log", "\nnext\n");
    assert_eq!(bench.body().await, "next");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_told_and_holds_up_nobody() {
    let mut bench = Bench::new();
    let pipe = bench.path("log/pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
    fs::create_dir(bench.path("log/directory")).unwrap();
    std::os::unix::fs::symlink("loop", bench.path("log/loop")).unwrap();
    bench.append("log/app.log", "");
    bench.want(&[], None);
    let specs = ["pipe", "directory", "loop", "app.log"].map(|name| (name, files(&format!("/log/{name}"))));
    bench.start(logs(&specs), "/nonexistent/journalctl");
    for name in ["pipe", "directory", "loop"] {
        let source = format!("log/{name}");
        bench.until(name, |bench| bench.condition(&source) == Some(Condition::Degraded)).await;
    }
    let reason = bench.health.view().into_iter().find(|view| view.source == "log/pipe").unwrap().reason.unwrap();
    assert!(reason.contains("log/pipe: it is no regular file"), "{reason}");
    bench.until("ok", |bench| bench.condition("log/app.log") == Some(Condition::Ok)).await;
    bench.append("log/app.log", "one\n");
    assert_eq!(bench.body().await, "one");
    // And it is read as soon as it can be.
    fs::remove_file(&pipe).unwrap();
    bench.append("log/pipe", "a file now\n");
    assert_eq!(bench.body().await, "a file now");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_is_bounded_and_what_is_dropped_is_told() {
    let mut bench = Bench::new();
    bench.append("log/app.log", "");
    bench.want(&[], None);
    bench.follow("/log/app.log");
    bench.until_followed().await;
    bench.append("log/app.log", "line\n".repeat(50_000));
    let deadline = Instant::now() + SOON;
    let (mut seen, mut told) = (0, 0);
    // What the mailbox has no room for it counts itself.
    while seen + told < 50_000 {
        assert!(Instant::now() < deadline, "{seen} seen, {told} told");
        let Some(batch) = bench.mailbox.take(Default::default()) else {
            timeout(SOON, bench.mailbox.ring()).await.unwrap();
            continue;
        };
        seen += batch.dropped;
        for event in batch.events {
            match event.attributes.last() {
                Some(Attribute { value: crate::signal::Value::Integer(count), .. }) => told += *count as u64,
                _ => seen += 1,
            }
        }
    }
    assert!(told > 0 && seen + told == 50_000, "{seen} seen, {told} told");
    let view = bench.health.view().into_iter().find(|view| view.source == "log/app").unwrap();
    assert_eq!(view.dropped, told);
}
