use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::super::Condition;
use super::super::testing::Listener;
use super::testing::{Host, demand, selectors};
use super::*;

fn spawn(listener: &Listener, patience: Duration) -> Arc<Births> {
    let births = Arc::new(Births::default());
    tokio::spawn(watch(listener.context.clone(), births.clone(), patience));
    births
}

#[tokio::test]
async fn series_come_and_go_with_demand_and_processes() {
    let host = Host::new();
    host.process(7, "nginx", "S", 100);
    let mut listener = Listener::new(host.root.path());
    spawn(&listener, PATIENCE);
    assert!(listener.context.health.view().is_empty(), "nobody wants it");
    let nginx = [("process.thread.count", &[("process.executable.name", "nginx")][..])];
    listener.want(selectors(&nginx), vec![]);
    listener.until(|it| (it.take().new_series.len() == 1).then_some(())).await;
    host.process(8, "nginx", "S", 100);
    listener.until(|it| (it.take().new_series.len() == 1).then_some(())).await;
    host.end(7);
    listener.until(|it| (it.take().gone_series.len() == 1).then_some(())).await;
    listener.want(vec![], vec![]);
    listener.until(|it| it.context.health.view().is_empty().then_some(())).await;
}

#[tokio::test]
async fn who_is_stuck_is_a_state_until_it_is_over() {
    let host = Host::new();
    host.process(7, "cc", "Z", 100).parent(3);
    let mut listener = Listener::new(host.root.path());
    listener.want(vec![], selectors(&[(STATE, &[("subject", "cc*")])]));
    spawn(&listener, PATIENCE);
    let event = listener.event().await;
    assert_eq!(event.subject, "cc[7]");
    let attribute = |key| event.attributes.iter().find(|it| it.key == key).map(|it| it.value.to_string());
    assert_eq!(attribute("process.state").as_deref(), Some("zombie"));
    assert_eq!(attribute("process.parent_pid").as_deref(), Some("3"));
    assert_eq!(listener.context.router.states(STATE).len(), 1);
    host.end(7);
    let over = listener.event().await;
    assert!(over.attributes.contains(&Attribute::new("process.state", "gone")));
    assert!(listener.context.router.states(STATE).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_procfs_that_does_not_answer_is_said_and_waited_for() {
    let host = Host::new();
    let stat = host.process(7, "nginx", "S", 100).directory.join("stat");
    std::fs::remove_file(&stat).unwrap();
    mknodat(CWD, &stat, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let mut listener = Listener::new(host.root.path());
    listener.want(selectors(&[("process.thread.count", &[])]), vec![]);
    spawn(&listener, Duration::from_millis(50));
    let slow = listener.health(SOURCE, |it| it.condition == Condition::Degraded).await;
    assert!(slow.reason.unwrap_or_default().contains("does not answer"));
    // Whoever waits for the pipe gets its end, and whoever comes later a file.
    let writer = std::fs::OpenOptions::new().read(true).write(true).open(&stat).unwrap();
    host.end_pipe(7);
    drop(writer);
    listener.health(SOURCE, |it| it.condition == Condition::Ok).await;
}

#[tokio::test]
async fn no_procfs_is_said() {
    let root = tempfile::tempdir().unwrap();
    let mut listener = Listener::new(root.path());
    listener.want(selectors(&[("process.thread.count", &[])]), vec![]);
    spawn(&listener, PATIENCE);
    let view = listener.health(SOURCE, |it| it.condition == Condition::Degraded).await;
    assert!(view.reason.unwrap_or_default().contains("cannot be listed"));
}

#[test]
fn this_process_is_read_from_the_real_procfs() {
    let mut reader = Reader::new("/proc".into());
    let pid = std::process::id().to_string();
    reader.want(&demand(&[("process.*", &[("process.pid", &pid)])], &[]));
    assert_eq!(reader.search().unwrap(), 0);
    let reading = reader.read(Duration::from_secs(1));
    let names: Vec<_> = reading.samples.iter().map(|it| it.series.metric.to_string()).collect();
    for metric in ["disk.io", "memory.usage", "memory.pss", "unix.file_descriptor.count", "thread.count", "uptime"] {
        assert!(names.contains(&format!("process.{metric}")), "{metric} of {names:?}, {:?}", reading.failure);
    }
    // It may have read and written nothing but what is in memory.
    let mut used = reading.samples.iter().filter(|it| it.series.metric != "process.disk.io");
    assert!(used.all(|it| it.value > 0.0), "{:?}", reading.samples);
    // What `process.signal` and `process.renice` want to be told, so that no later process of the number is hit.
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let started = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(19).unwrap();
    let told = |it: &crate::signal::Sample| {
        it.series.attributes.iter().any(|(key, value)| *key == "process.start_time" && **value == *started)
    };
    assert!(reading.samples.iter().all(told), "{started}: {:?}", reading.samples);
}
