//! The collector and the actions against a stand-in for Docker that answers as it was recorded to.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::broadcast;

use super::*;
use crate::clock::SystemClock;
use crate::container::Verb;
use crate::signal::collector::{Condition, Health};
use crate::signal::{Event, Mailbox, Router, Selector, Subscription};

const DEADLINE: Duration = Duration::from_secs(10);

/// How the one container of the stand-in is.
#[derive(Debug, Clone)]
struct Web {
    exists: bool,
    pid: u32,
    exit_code: i32,
    finished_at: &'static str,
    /// Bytes that its statistics are answered with, instead of real ones.
    stats: Option<&'static str>,
}

/// A Docker with a container `web`.
struct Fake {
    socket: PathBuf,
    web: Arc<Mutex<Web>>,
    /// Lines of the stream of events; an empty one ends it.
    events: broadcast::Sender<String>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    fn start(directory: &Path) -> Self {
        let socket = directory.join("docker.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let web = Web { exists: true, pid: 100, exit_code: 0, finished_at: "0001-01-01T00:00:00Z", stats: None };
        let (events, _) = broadcast::channel(64);
        let fake = Self { socket, web: Arc::new(Mutex::new(web)), events, asked: Arc::default() };
        let (web, events, asked) = (fake.web.clone(), fake.events.clone(), fake.asked.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, web.clone(), events.clone(), asked.clone()));
            }
        });
        fake
    }

    fn docker(&self) -> Arc<Docker> {
        Arc::new(Docker::new(vec!["/does/not/exist.sock".into(), self.socket.clone()]))
    }

    /// Says that this happened to `web`.
    fn happen(&self, action: &str) {
        let code = self.web.lock().unwrap().exit_code;
        let line = format!(
            r#"{{"Type":"container","Action":"{action}","Actor":{{"ID":"aa11","Attributes":{{"name":"web","image":"web:1","exitCode":"{code}"}}}}}}"#
        );
        self.events.send(line).unwrap();
    }

    fn change(&self, change: impl FnOnce(&mut Web)) {
        change(&mut self.web.lock().unwrap());
    }

    /// How often `web` was looked at.
    fn looks(&self) -> usize {
        self.asked.lock().unwrap().iter().filter(|it| *it == "GET /containers/aa11/json").count()
    }
}

/// Answers one connection, as `docker` 28 does.
async fn serve(
    stream: UnixStream,
    web: Arc<Mutex<Web>>,
    events: broadcast::Sender<String>,
    asked: Arc<Mutex<Vec<String>>>,
) {
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let first = head.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1").to_owned();
    if first.starts_with("GET /events") {
        let mut lines = events.subscribe();
        asked.lock().unwrap().push(first);
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await.unwrap();
        while let Ok(line) = lines.recv().await {
            // In two pieces, as a busy host may send it.
            let (a, b) = line.split_at(line.len() / 2);
            for piece in [a.to_owned(), format!("{b}\n")] {
                if line.is_empty() {
                    return;
                }
                let chunk = format!("{:x}\r\n{piece}\r\n", piece.len());
                if !piece.is_empty() && stream.write_all(chunk.as_bytes()).await.is_err() {
                    return;
                }
            }
        }
        return;
    }
    let (status, body) = answer(&first, &mut web.lock().unwrap());
    // Only now: who sees that it was asked knows that what changes from here on is not in the answer.
    asked.lock().unwrap().push(first);
    let text = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let _ = stream.write_all(text.as_bytes()).await;
}

fn answer(request: &str, web: &mut Web) -> (&'static str, String) {
    let inspected = || {
        let (status, running) = if web.pid > 0 { ("running", true) } else { ("exited", false) };
        format!(
            r#"{{"Id":"aa11","Name":"/web","RestartCount":1,"Config":{{"Image":"web:1"}},"State":{{"Status":"{status}","Running":{running},
            "Pid":{},"ExitCode":{},"FinishedAt":"{}"}}}}"#,
            web.pid, web.exit_code, web.finished_at
        )
    };
    let none = ("404 Not Found", r#"{"message":"No such container"}"#.to_owned());
    match request {
        "GET /containers/json?all=true" => {
            ("200 OK", if web.exists { r#"[{"Id":"aa11","Names":["/web"]}]"# } else { "[]" }.into())
        }
        _ if !web.exists => none,
        "GET /containers/web/json" | "GET /containers/aa11/json" | "GET /containers/aa/json" => ("200 OK", inspected()),
        "GET /containers/aa11/stats?stream=false&one-shot=true" => (
            "200 OK",
            web.stats
                .unwrap_or(
                    r#"{"cpu_stats":{"cpu_usage":{"total_usage":5}},"memory_stats":{"usage":1000,"limit":4000}}"#,
                )
                .into(),
        ),
        "POST /containers/aa11/start" if web.pid > 0 => ("304 Not Modified", String::new()),
        "POST /containers/aa11/start" | "POST /containers/aa11/restart?t=2" => {
            web.pid += 101;
            ("204 No Content", String::new())
        }
        "POST /containers/aa11/stop?t=1" | "POST /containers/aa11/kill?signal=SIGKILL" => {
            (web.pid, web.exit_code, web.finished_at) = (0, 137, "2026-01-01T00:00:01Z");
            ("204 No Content", String::new())
        }
        "POST /containers/aa11/kill?signal=SIGHUP" => ("409 Conflict", r#"{"message":"not running"}"#.into()),
        "POST /containers/aa11/wait?condition=not-running" => ("200 OK", r#"{"StatusCode":137}"#.into()),
        _ => none,
    }
}

/// A collector of its own, and what it tells.
struct Told {
    context: Context,
    mailbox: Arc<Mailbox>,
    events: Vec<Event>,
    readings: BTreeMap<String, f64>,
}

impl Told {
    fn start(docker: Arc<Docker>) -> Self {
        let clock = Arc::new(SystemClock::new());
        let context = Context {
            router: Arc::new(Router::new()),
            clock: clock.clone(),
            health: Arc::new(Health::new(clock)),
            root: "/".into(),
            interval: Duration::from_millis(20),
        };
        let told =
            Self { context: context.clone(), mailbox: Arc::default(), events: vec![], readings: BTreeMap::new() };
        told.subscribe("container.*");
        tokio::spawn(run(context, docker));
        told
    }

    fn subscribe(&self, name: &str) {
        let selector = || vec![Selector::new(name, vec![])];
        let subscription = Subscription { metrics: selector(), events: selector(), every: None };
        self.context.router.subscribe("test".into(), subscription, self.mailbox.clone());
    }

    /// Takes in what is told until something is so.
    async fn until<T>(&mut self, what: &str, mut is_so: impl FnMut(&Self) -> Option<T>) -> T {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        loop {
            if let Some(batch) = self.mailbox.take(self.context.clock.now().wall) {
                self.events.extend(batch.events);
                let mut names = BTreeMap::new();
                for series in batch.new_series {
                    names.insert(series.number, series.name.metric.to_string());
                }
                for reading in batch.readings {
                    if let Some(name) = names.get(&reading.series) {
                        self.readings.insert(name.clone(), reading.value);
                    }
                }
            }
            if let Some(found) = is_so(self) {
                return found;
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "no {what}: {:#?} {:?}",
                self.events,
                self.context.health.view()
            );
            let _ = tokio::time::timeout(Duration::from_millis(10), self.mailbox.ring()).await;
        }
    }

    /// The next event that says all of this.
    async fn event(&mut self, name: &str, says: &[(&str, &str)]) -> Event {
        let fits = |event: &Event| {
            event.name == *name
                && says.iter().all(|(key, value)| {
                    event.attributes.iter().any(|it| it.key == *key && it.value.to_string() == *value)
                })
        };
        let index = self.until(&format!("{name} {says:?}"), |told| told.events.iter().position(fits)).await;
        self.events.drain(..=index).next_back().unwrap()
    }

    fn condition(&self) -> Option<(Condition, Option<String>)> {
        self.context.health.view().pop().map(|view| (view.condition, view.reason))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_to_a_container_is_pushed_and_what_was_missed_is_seen() {
    let directory = tempfile::tempdir().unwrap();
    let fake = Fake::start(directory.path());
    let mut told = Told::start(fake.docker());
    let first = told.event(known::STATE, &[("container.status", "running"), ("process.pid", "100")]).await;
    assert_eq!(first.subject, "web");
    told.until("use", |told| (told.readings.len() == 4).then_some(())).await;
    assert_eq!((told.readings[usage::METRICS[1]], told.readings[usage::METRICS[3]]), (1000.0, 1.0));

    fake.change(|web| (web.pid, web.exit_code, web.finished_at) = (0, 3, "2026-01-01T00:00:00Z"));
    fake.happen("die");
    told.event(known::EXIT, &[("container.exit_code", "3"), ("container.image.name", "web:1")]).await;
    told.event(known::STATE, &[("container.status", "exited"), ("container.exit_code", "3")]).await;
    fake.happen("oom");
    told.event(known::OOM, &[("container.name", "web")]).await;
    // Each of the three events leads to a look; one that came late would see what happens next, and nothing would be missed.
    told.until("look", |_| (fake.looks() == 3).then_some(())).await;

    // What is no event is counted, and the next one is taken.
    fake.events.send("{\"Type\":".to_owned()).unwrap();
    fake.change(|web| web.pid = 101);
    fake.happen("start");
    told.event(known::STATE, &[("process.pid", "101")]).await;
    assert_eq!(told.context.health.view()[0].dropped, 1);

    // It ends and comes back while nobody listens: the connection is made anew, and the end is told all the same.
    fake.change(|web| (web.pid, web.exit_code, web.finished_at) = (102, 0, "2026-01-01T00:00:05Z"));
    fake.events.send(String::new()).unwrap();
    told.event(known::EXIT, &[]).await;
    told.event(known::STATE, &[("process.pid", "102")]).await;

    fake.change(|web| web.exists = false);
    fake.happen("destroy");
    told.event(known::STATE, &[("container.status", "removed")]).await;
    assert!(told.context.router.states(known::STATE).is_empty());

    // Nobody wants it any more.
    told.subscribe("service.*");
    told.until("silence", |told| told.context.health.view().is_empty().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_without_docker_says_so_and_one_that_talks_nonsense_is_degraded() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("docker.sock");
    let mut told = Told::start(Arc::new(Docker::new(vec![socket.clone()])));
    let reason = told.until("absence", |told| told.condition()?.1).await;
    assert!(reason.contains(&socket.display().to_string()) && reason.contains("[containers] socket"), "{reason}");
    assert_eq!(told.condition().unwrap().0, Condition::Absent);

    for nonsense in
        ["HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{[}", "SSH-2.0-OpenSSH\r\n", "HTTP/1.1 500 Oops\r\n\r\n"]
    {
        let other = tempfile::tempdir().unwrap();
        let socket = other.path().join("docker.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 4096];
                let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut request).await;
                let _ = stream.write_all(nonsense.as_bytes()).await;
            }
        });
        let mut told = Told::start(Arc::new(Docker::new(vec![socket])));
        told.until(nonsense, |told| (told.condition()?.0 == Condition::Degraded).then_some(())).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn use_that_makes_no_sense_costs_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let fake = Fake::start(directory.path());
    fake.change(|web| web.stats = Some("{\"memory_stats\": 7"));
    let mut told = Told::start(fake.docker());
    told.event(known::STATE, &[("container.status", "running")]).await;
    let reason = told.until("a reason", |told| told.condition()?.1).await;
    assert_eq!(reason, "1 containers do not say what they use");
    told.until("restarts", |told| told.readings.get(usage::METRICS[3]).copied()).await;
    fake.change(|web| web.stats = None);
    told.until("health", |told| (told.condition()?.0 == Condition::Ok).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_action_says_what_really_changed() {
    let directory = tempfile::tempdir().unwrap();
    let fake = Fake::start(directory.path());
    let docker = fake.docker();
    let act = async |verb, name: &str, grace: Option<u64>, signal| {
        docker.act(verb, name, grace.map(Duration::from_millis), signal).await.map_err(|error| error.to_string())
    };
    let started = act(Verb::Start, "web", None, None).await.unwrap();
    assert_eq!(started, "running (pid 100) -> running (pid 100): it was so already");
    // Milliseconds are rounded up to seconds.
    let stopped = act(Verb::Stop, "web", Some(1), None).await.unwrap();
    assert_eq!(stopped, "running (pid 100) -> exited(137) (pid none)");
    let restarted = act(Verb::Restart, "web", Some(1001), None).await.unwrap();
    assert_eq!(restarted, "exited(137) (pid none) -> running (pid 101)");
    let refused = act(Verb::Kill, "web", None, Some("HUP")).await.unwrap_err();
    assert_eq!(refused, "refused with 409: not running");
    let killed = act(Verb::Kill, "web", None, None).await.unwrap();
    assert_eq!(killed, "sent SIGKILL: running (pid 101) -> exited(137) (pid none)");
    // A grant for the name must not be got round by an id.
    let by_id = act(Verb::Stop, "aa", None, None).await.unwrap_err();
    assert_eq!(by_id, "`aa` is the id of the container `web`; name it");
    assert_eq!(act(Verb::Stop, "db", None, None).await.unwrap_err(), "there is no container `db`");
    for name in ["", ".", "../images", "web?x", "web/kill", "-web", "wéb"] {
        let error = act(Verb::Stop, name, None, None).await.unwrap_err();
        assert!(error.starts_with("there is no container"), "{name}: {error}");
    }
    assert!(!fake.asked.lock().unwrap().iter().any(|asked| asked.contains("images")), "{:?}", fake.asked);
}
