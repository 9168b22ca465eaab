use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::super::Condition;
use super::super::process::testing::selectors;
use super::super::testing::Listener;
use super::*;

/// A program of a name that no other process on this host has.
struct Program {
    _directory: tempfile::TempDir,
    path: PathBuf,
    name: String,
}

impl Program {
    fn new(what: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let name = format!("s{}{what}", std::process::id());
        let path = directory.path().join(&name);
        std::fs::copy("/bin/sleep", &path).unwrap();
        Self { _directory: directory, path, name }
    }

    fn run(&self) -> Running {
        // A text file is busy while another test forks with it open for writing.
        loop {
            match Command::new(&self.path).arg("1000").stdin(Stdio::null()).spawn() {
                Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => std::thread::yield_now(),
                child => return Running(child.unwrap()),
            }
        }
    }
}

/// One that is killed with the test.
struct Running(Child);

impl Running {
    fn kill(&mut self) {
        self.0.kill().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop((self.0.kill(), self.0.wait()));
    }
}

fn listener(program: &Program) -> Listener {
    let listener = Listener::new(Path::new("/"));
    listener.want(vec![], selectors(&[(EVENT, &[("subject", &program.name)])]));
    listener
}

fn attribute(event: &Event, key: &str) -> Option<String> {
    event.attributes.iter().find(|it| it.key == key).map(|it| it.value.to_string())
}

async fn connected(listener: &mut Listener) -> bool {
    listener.health(SOURCE, |it| it.condition == Condition::Ok).await;
    let view = listener.health(CONNECTOR, |_| true).await;
    if view.condition != Condition::Ok {
        eprintln!("skipped: {}", view.reason.unwrap_or_default());
    }
    view.condition == Condition::Ok
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_is_told_with_its_signal_at_once() {
    let program = Program::new("now");
    let mut listener = listener(&program);
    let before = program.run();
    tokio::spawn(run(listener.context.clone(), Arc::default()));
    if !connected(&mut listener).await {
        return;
    }
    // One that was there before, and one that comes later.
    let mut first = Some(before);
    for _ in 0..2 {
        // One that ends before it could be looked at is not told of, and this host may be busy.
        let mut children = Vec::new();
        let event = loop {
            assert!(children.len() < 5, "none of them was told of");
            let mut child = first.take().unwrap_or_else(|| program.run());
            let begun = Instant::now();
            child.kill();
            children.push(child);
            if let Ok(event) = tokio::time::timeout(Duration::from_secs(5), listener.event()).await {
                println!("told after {:?}", begun.elapsed());
                break event;
            }
        };
        assert_eq!(event.subject, program.name);
        let pid = attribute(&event, "process.pid");
        assert!(children.iter().any(|child| pid == Some(child.0.id().to_string())), "{pid:?}");
        assert_eq!(attribute(&event, "process.exit.signal").as_deref(), Some("9"));
        assert_eq!(attribute(&event, "process.core_dumped").as_deref(), Some("false"));
        assert_eq!(attribute(&event, "process.exit.code"), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn new_processes_are_told_to_the_collector_of_processes() {
    let program = Program::new("born");
    let mut listener = Listener::new(Path::new("/"));
    let named = [("process.executable.name", program.name.as_str())];
    listener.want(selectors(&[("process.thread.count", &named)]), vec![]);
    let births = Arc::new(Births::default());
    tokio::spawn(run(listener.context.clone(), births.clone()));
    if !connected(&mut listener).await {
        return;
    }
    listener.until(|_| births.take().is_none().then_some(())).await;
    let child = program.run();
    let pid = child.0.id();
    listener.until(|_| births.take().is_some_and(|born| born.contains(&pid)).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_connector_ends_are_seen_by_handles() {
    let program = Program::new("held");
    let mut listener = listener(&program);
    let mut child = program.run();
    let context = listener.context.clone();
    let task = tokio::spawn(async move {
        let mut demand = context.router.demand();
        let mut table = Table::new(Registry::new("/proc".into()));
        assert_ne!(table_wants(&mut table, &demand.borrow_and_update()), 0);
        handles::watch(&context, &mut table, &mut demand).await
    });
    listener.health(SOURCE, |it| it.condition == Condition::Ok).await;
    // Whether it is held already does not matter: a child that ended is found missing too.
    child.kill();
    let event = listener.event().await;
    assert_eq!(attribute(&event, "process.pid"), Some(child.0.id().to_string()));
    assert!(matches!(attribute(&event, "process.exit.signal").as_deref(), Some("9") | None));
    listener.want(vec![], vec![]);
    assert!(task.await.unwrap(), "another demand ends it");
}

#[tokio::test]
async fn nobody_asks_and_nothing_is_opened() {
    let mut listener = Listener::new(Path::new("/nowhere"));
    tokio::spawn(run(listener.context.clone(), Arc::default()));
    listener.want(selectors(&[("process.thread.count", &[("process.pid", "7")])]), vec![]);
    tokio::task::yield_now().await;
    assert!(listener.context.health.view().is_empty());
    listener.want(vec![], selectors(&[(EVENT, &[])]));
    let view = listener.health(SOURCE, |it| it.condition == Condition::Degraded).await;
    assert!(view.reason.unwrap_or_default().contains("cannot be listed"));
}
