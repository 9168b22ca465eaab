use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde_json::Value;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::*;
use crate::clock::{SystemClock, Timestamp};
use crate::config::Budget;
use crate::incident::ledger::{Entry, Ledger, Outbox};
use crate::incident::{About, Notice, NoticeKind, Record, Severity};

const DEADLINE: Duration = Duration::from_secs(30);
const PACE: Pace = Pace {
    first: Duration::from_millis(20),
    longest: Duration::from_millis(100),
    give_up: Duration::from_secs(24 * 3600),
    resend: Duration::from_secs(60),
    most: 100,
};

/// Waits for a condition.
async fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let look = async {
        loop {
            if let Some(value) = condition() {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, look).await.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

fn notice(kind: NoticeKind, key: &str) -> Notice {
    let incident = About {
        id: key.into(),
        policy: "web".into(),
        plugin: "service-restart".into(),
        kind: "service.down".into(),
        target: "demo".into(),
        severity: Severity::Error,
        summary: "demo is failed".into(),
        opened_at: Timestamp::from_nanos(1_700_000_000_000_000_000),
        attempts: 1,
    };
    Notice {
        kind,
        at: crate::clock::Clock::now(&SystemClock::new()).wall,
        key: key.into(),
        reason: format!("{} \"{key}\"", kind.as_str()),
        incident: Some(incident),
        actions: vec!["service.restart demo".into()],
    }
}

type Taken = Arc<Mutex<Vec<(HeaderMap, String)>>>;

/// A receiver on loopback that answers as it is told.
struct Receiver {
    address: SocketAddr,
    taken: Taken,
    status: Arc<AtomicU16>,
    server: JoinHandle<()>,
}

impl Receiver {
    async fn at(address: &str) -> Self {
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let (taken, status) = (Taken::default(), Arc::new(AtomicU16::new(200)));
        let take = async |State((taken, status)): State<(Taken, Arc<AtomicU16>)>, headers: HeaderMap, body: String| {
            // What says `bad` is refused whatever the status.
            let refused = body.contains("bad");
            taken.lock().unwrap().push((headers, body));
            if refused { StatusCode::BAD_REQUEST } else { StatusCode::from_u16(status.load(Ordering::SeqCst)).unwrap() }
        };
        let app = axum::Router::new().fallback(take).with_state((taken.clone(), status.clone()));
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { address, taken, status, server }
    }

    async fn new() -> Self {
        Self::at("127.0.0.1:0").await
    }

    fn url(&self) -> reqwest::Url {
        format!("http://{}/hook", self.address).parse().unwrap()
    }

    fn bodies(&self) -> Vec<Value> {
        self.taken.lock().unwrap().iter().map(|(_, body)| serde_json::from_str(body).unwrap()).collect()
    }

    fn answer(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn channel(carrier: Carrier) -> Channel {
    let rate = Budget { count: 1000, per: Duration::from_secs(60) };
    Channel { events: NoticeKind::ALL.into(), rate, timeout: Duration::from_secs(5), carrier }
}

fn webhook(url: reqwest::Url) -> Channel {
    channel(Carrier::Webhook(Webhook { url, headers: HeaderMap::new(), template: None, secret: None }))
}

fn alertmanager(url: reqwest::Url) -> Channel {
    let labels = BTreeMap::from([("team".to_owned(), "web".to_owned())]);
    channel(Carrier::Alertmanager(Alertmanager { url, headers: HeaderMap::new(), labels }))
}

/// A ledger and a notifier over it; dropped without a word, as a crash is.
struct Bench {
    ledger: Ledger,
    notifier: Arc<Notifier>,
    poke: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Bench {
    fn new<const N: usize>(state: &Path, channels: [(&str, Channel); N]) -> Self {
        Self::with(state, channels, PACE)
    }

    fn with<const N: usize>(state: &Path, channels: [(&str, Channel); N], pace: Pace) -> Self {
        let ledger = Ledger::open(state).unwrap();
        let channels = channels.into_iter().map(|(name, channel)| (name.to_owned(), channel)).collect();
        let clock = Arc::new(SystemClock::new());
        let notifier = Arc::new(Notifier::with_pace(ledger.outbox().unwrap(), channels, clock, pace).unwrap());
        let poke = Arc::new(Notify::new());
        let (running, poked) = (notifier.clone(), poke.clone());
        let task = tokio::spawn(async move { running.run(poked).await });
        Self { ledger, notifier, poke, task }
    }

    fn tell(&mut self, kind: NoticeKind, key: &str) {
        self.ledger.commit(&[Record::Notice(Box::new(notice(kind, key)))]).unwrap();
        self.poke.notify_one();
    }

    fn view(&self, name: &str) -> ChannelView {
        self.notifier.view().unwrap().into_iter().find(|view| view.name == name).unwrap()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn test<F: Future<Output = ()>>(body: impl FnOnce(tempfile::TempDir) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(body(tempfile::tempdir().unwrap()));
}

#[test]
fn a_webhook_gets_the_notice_signed_with_the_operators_headers() {
    test(async |dir| {
        let (plain, shaped) = (Receiver::new().await, Receiver::new().await);
        let secret = Secret::new(b"word");
        let template = Template::parse(
            r#"{"text": {{ reason }}, "about": {{ incident.target if incident else "host" }}}"#,
            NoticeKind::ALL,
        );
        let signed = channel(Carrier::Webhook(Webhook {
            url: shaped.url(),
            headers: [("x-team".parse().unwrap(), "web".parse().unwrap())].into_iter().collect(),
            template: Some(template.unwrap()),
            secret: Some(secret.clone()),
        }));
        let mut bench = Bench::new(dir.path(), [("plain", webhook(plain.url())), ("shaped", signed)]);
        bench.tell(NoticeKind::Escalated, "a");
        let first = until("the notice", || plain.bodies().pop()).await;
        assert_eq!(
            (&first["kind"], &first["key"], &first["incident"]["target"]),
            (&"escalated".into(), &"a".into(), &"demo".into())
        );
        let (headers, body) = until("the shaped one", || shaped.taken.lock().unwrap().pop()).await;
        assert_eq!(body, r#"{"text": "escalated \"a\"", "about": "demo"}"#);
        assert_eq!(headers["x-salve-signature-256"], secret.sign(body.as_bytes()).unwrap().as_str());
        assert_eq!(
            (&headers["x-team"], &headers["content-type"]),
            (&"web".parse().unwrap(), &"application/json".parse().unwrap())
        );
        assert_eq!(headers["idempotency-key"], first["id"].as_str().unwrap());
        until("success", || {
            (bench.view("shaped").state.sent_at.is_some() && bench.view("shaped").state.waiting == 0).then_some(())
        })
        .await;
    });
}

#[test]
fn a_failure_is_tried_again_under_the_same_name_and_shown() {
    test(async |dir| {
        let receiver = Receiver::new().await;
        receiver.answer(500);
        let mut bench = Bench::new(dir.path(), [("ops", webhook(receiver.url()))]);
        bench.tell(NoticeKind::Healed, "a");
        until("a second try", || (receiver.bodies().len() >= 2).then_some(())).await;
        let state = until("the error", || Some(bench.view("ops").state).filter(|state| state.error.is_some())).await;
        assert_eq!((state.waiting, state.sent_at), (1, None));
        assert!(state.error.unwrap().contains("500"));
        receiver.answer(200);
        until("success", || bench.view("ops").state.sent_at).await;
        let bodies = receiver.bodies();
        assert!(bodies.windows(2).all(|pair| pair[0]["id"] == pair[1]["id"]), "{bodies:?}");
        assert_eq!(bench.view("ops").state.waiting, 0);
    });
}

#[test]
fn a_dead_channel_delays_no_other_and_gets_all_once_it_is_back() {
    test(async |dir| {
        let address = Receiver::new().await.address;
        let (good, slow) = (Receiver::new().await, tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap());
        let down = webhook(format!("http://{address}/").parse().unwrap());
        // Takes connections and never answers.
        let mute = webhook(format!("http://{}/", slow.local_addr().unwrap()).parse().unwrap());
        let mut bench = Bench::new(dir.path(), [("down", down), ("good", webhook(good.url())), ("mute", mute)]);
        for key in ["a", "b", "c"] {
            bench.tell(NoticeKind::Escalated, key);
        }
        until("all on the good one", || (good.bodies().len() == 3).then_some(())).await;
        until("the error", || bench.view("down").state.error).await;
        for name in ["down", "mute"] {
            until("three to wait", || (bench.view(name).state.waiting == 3).then_some(())).await;
        }
        let back = Receiver::at(&address.to_string()).await;
        until("all on the other", || (bench.view("down").state.waiting == 0).then_some(())).await;
        let keys: Vec<_> = back.bodies().iter().map(|body| body["key"].as_str().unwrap().to_owned()).collect();
        assert_eq!(keys, ["a", "b", "c"]);
    });
}

#[test]
fn nothing_is_lost_when_the_agent_dies_and_a_new_channel_hears_nothing_old() {
    test(async |dir| {
        let receiver = Receiver::new().await;
        receiver.answer(503);
        let mut bench = Bench::new(dir.path(), [("ops", webhook(receiver.url()))]);
        bench.tell(NoticeKind::Escalated, "a");
        until("a try", || receiver.bodies().pop()).await;
        drop(bench);
        // Stored, and the agent died before the notifier saw it.
        let mut ledger = Ledger::open(dir.path()).unwrap();
        ledger.commit(&[Record::Notice(Box::new(notice(NoticeKind::Escalated, "b")))]).unwrap();
        drop(ledger);
        receiver.answer(200);
        let other = Receiver::new().await;
        let before = receiver.bodies().len();
        let mut bench = Bench::new(dir.path(), [("new", webhook(other.url())), ("ops", webhook(receiver.url()))]);
        bench.tell(NoticeKind::Escalated, "c");
        until("all three", || (receiver.bodies().len() >= before + 3).then_some(())).await;
        let keys: Vec<_> =
            receiver.bodies()[before..].iter().map(|body| body["key"].as_str().unwrap().to_owned()).collect();
        assert!(["a", "b", "c"].iter().all(|key| keys.iter().any(|one| one == key)), "{keys:?}");
        until("the new one", || (other.bodies().len() == 1).then_some(())).await;
        assert_eq!(other.bodies()[0]["key"], "c");
    });
}

#[test]
fn one_that_is_refused_holds_up_none_behind_it() {
    test(async |dir| {
        let receiver = Receiver::new().await;
        let pace = Pace { first: Duration::from_secs(3600), longest: Duration::from_secs(3600), ..PACE };
        let mut bench = Bench::with(dir.path(), [("ops", webhook(receiver.url()))], pace);
        bench.tell(NoticeKind::Escalated, "bad");
        bench.tell(NoticeKind::Escalated, "good");
        until("the good one", || receiver.bodies().iter().any(|body| body["key"] == "good").then_some(())).await;
        until("one to wait", || (bench.view("ops").state.waiting == 1).then_some(())).await;
        assert!(bench.view("ops").state.error.unwrap().contains("400"));
    });
}

#[test]
fn no_more_are_sent_than_the_rate_allows() {
    test(async |dir| {
        let receiver = Receiver::new().await;
        let rate = Budget { count: 2, per: Duration::from_secs(3600) };
        let slow = Channel { rate, ..webhook(receiver.url()) };
        let mut bench = Bench::new(dir.path(), [("ops", slow)]);
        for key in ["a", "b"] {
            bench.tell(NoticeKind::Escalated, key);
        }
        until("as many as may be sent", || (receiver.bodies().len() == 2).then_some(())).await;
        for n in 0..150 {
            bench.tell(NoticeKind::Escalated, &format!("k{n}"));
        }
        until("a hundred to wait", || (bench.view("ops").state.waiting == 100).then_some(())).await;
        assert_eq!(receiver.bodies().len(), 2);
    });
}

#[test]
fn messages_go_through_the_same_outbox() {
    test(async |dir| {
        let (one, two) = (Receiver::new().await, Receiver::new().await);
        let quiet = Channel { events: [NoticeKind::Escalated].into(), ..webhook(two.url()) };
        let alerts = alertmanager(two.url());
        let bench = Bench::new(dir.path(), [("alerts", alerts), ("one", webhook(one.url())), ("two", quiet)]);
        let error = bench.notifier.send_now("pager", "x", None).unwrap_err().to_string();
        assert!(error.contains("`pager`") && error.contains("one, two"), "{error}");
        assert!(bench.notifier.send_now("alerts", "x", None).is_err());
        assert_eq!(bench.notifier.send_now("*", "to all", None).unwrap(), ["one"]);
        assert_eq!(bench.notifier.send_now("two", "to two", None).unwrap(), ["two"]);
        let body = until("the message", || one.bodies().pop()).await;
        assert_eq!((&body["kind"], &body["reason"]), (&"message".into(), &"to all".into()));
        let body = until("the other", || two.bodies().pop()).await;
        assert_eq!(body["reason"], "to two");
    });
}

#[test]
fn an_alert_fires_is_sent_again_after_a_restart_and_ends_with_the_same_labels() {
    test(async |dir| {
        let receiver = Receiver::new().await;
        let pace = Pace { resend: Duration::from_millis(50), ..PACE };
        let channels = || [("am", alertmanager(format!("http://{}/base/", receiver.address).parse().unwrap()))];
        let mut bench = Bench::with(dir.path(), channels(), pace);
        // Nothing to end, nothing that begins.
        bench.tell(NoticeKind::Healed, "other");
        bench.tell(NoticeKind::RecoveryFailed, "a");
        until("sent again", || (receiver.bodies().len() >= 3).then_some(())).await;
        drop(bench);
        let before = receiver.bodies().len();
        let mut bench = Bench::with(dir.path(), channels(), pace);
        until("sent again by the next agent", || (receiver.bodies().len() > before + 1).then_some(())).await;
        bench.tell(NoticeKind::Escalated, "a");
        let changed = |word: &str| receiver.bodies().into_iter().find(|body| body[0]["annotations"]["notice"] == word);
        let escalated = until("the change", || changed("escalated")).await;
        bench.tell(NoticeKind::Healed, "a");
        let healed = until("the end", || changed("healed")).await;
        let first = receiver.bodies().swap_remove(0);
        for later in [&escalated, &healed] {
            assert_eq!((&later[0]["labels"], &later[0]["startsAt"]), (&first[0]["labels"], &first[0]["startsAt"]));
        }
        assert_eq!((&first[0]["labels"]["alertname"], &first[0]["labels"]["team"]), (&"Salve".into(), &"web".into()));
        assert!(first[0].get("endsAt").is_none() && healed[0]["endsAt"].is_string(), "{healed}");
        until("nothing to wait", || (bench.view("am").state.waiting == 0).then_some(())).await;
        assert!(receiver.bodies().iter().all(|body| body[0]["labels"]["key"] == "a"));
    });
}

#[test]
fn a_command_reads_the_notice_and_its_complaint_is_shown() {
    test(async |dir| {
        let out = dir.path().join("out");
        let sh = |script: String| channel(Carrier::Command(Command { argv: vec!["sh".into(), "-c".into(), script] }));
        let good = sh(format!("cat >{0}.tmp && mv {0}.tmp {0}", out.display()));
        let bad = sh("echo no pager today >&2; exit 3".into());
        let hangs = Channel { timeout: Duration::from_millis(200), ..sh("sleep 1000".into()) };
        let none = channel(Carrier::Command(Command { argv: vec!["/nonexistent".into()] }));
        let mut bench = Bench::new(dir.path(), [("bad", bad), ("good", good), ("hangs", hangs), ("none", none)]);
        bench.tell(NoticeKind::Escalated, "a");
        let text = until("the file", || std::fs::read_to_string(&out).ok()).await;
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["key"], "a");
        for (name, expected) in [
            ("bad", "exit status: 3: no pager today"),
            ("hangs", "did not end within 0.2 s"),
            ("none", "cannot execute `/nonexistent`"),
        ] {
            let error = until(name, || bench.view(name).state.error).await;
            assert!(error.contains(expected), "{error}");
        }
    });
}

#[test]
fn the_journal_gets_fields() {
    test(async |dir| {
        let path = dir.path().join("journal");
        let socket = tokio::net::UnixDatagram::bind(&path).unwrap();
        let mut bench = Bench::new(dir.path(), [("journal", channel(Carrier::Journal(Journal { socket: path })))]);
        let mut long = notice(NoticeKind::Escalated, "a");
        long.reason = "two\nlines ä".repeat(100_000);
        bench.ledger.commit(&[Record::Notice(Box::new(long))]).unwrap();
        bench.poke.notify_one();
        let mut buffer = vec![0; 1 << 20];
        let length = tokio::time::timeout(DEADLINE, socket.recv(&mut buffer)).await.unwrap().unwrap();
        let entry = &buffer[..length];
        // MESSAGE has line breaks: its length comes before it.
        assert!(entry.starts_with(b"MESSAGE\n"));
        let size = usize::try_from(u64::from_le_bytes(entry[8..16].try_into().unwrap())).unwrap();
        let rest = std::str::from_utf8(&entry[16 + size..]).unwrap();
        assert!(rest.starts_with("\nPRIORITY=3\nSYSLOG_IDENTIFIER=salve\n"), "{rest}");
        assert!(rest.contains("\nSALVE_INCIDENT=a\n") && rest.contains("\nSALVE_POLICY=web\n"), "{rest}");
        assert!(
            std::str::from_utf8(&entry[16..16 + size]).unwrap().starts_with("escalated: demo is failed: two\nlines")
        );
    });
}

/// An outbox with one channel, without a notifier.
fn outbox(dir: &Path) -> (Ledger, Outbox) {
    let ledger = Ledger::open(dir).unwrap();
    let outbox = ledger.outbox().unwrap();
    outbox.register(&["ops"], at(0)).unwrap();
    (ledger, outbox)
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_nanos((1_700_000_000 + seconds) * 1_000_000_000)
}

fn take_in(ledger: &mut Ledger, outbox: &Outbox, kind: NoticeKind, key: &str, now: u64) {
    ledger.commit(&[Record::Notice(Box::new(notice(kind, key)))]).unwrap();
    outbox.take_in("ops", at(now), |_| Entry::Delivery).unwrap();
}

const LONGEST: Duration = Duration::from_secs(300);

#[test]
fn a_newer_notice_of_the_same_kind_and_key_replaces_one_that_waits() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ledger, outbox) = outbox(dir.path());
    for (kind, key) in [
        (NoticeKind::RecoveryFailed, "a"),
        (NoticeKind::RecoveryFailed, "b"),
        (NoticeKind::Escalated, "a"),
        (NoticeKind::RecoveryFailed, "a"),
    ] {
        take_in(&mut ledger, &outbox, kind, key, 1);
    }
    let mut told = Vec::new();
    while let Some(delivery) = outbox.due("ops", at(1), LONGEST).unwrap() {
        outbox.sent("ops", delivery.stored.id, at(1)).unwrap();
        told.push(delivery.stored.id);
    }
    assert_eq!(told, [2, 3, 4]);
}

#[test]
fn a_summary_counts_all_that_it_stands_for_until_it_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ledger, outbox) = outbox(dir.path());
    for n in 0..30 {
        let kind = if n % 3 == 0 { NoticeKind::Escalated } else { NoticeKind::Healed };
        take_in(&mut ledger, &outbox, kind, &format!("k{n}"), 1);
        outbox.join("ops", 10, at(2)).unwrap();
    }
    assert_eq!(outbox.state("ops").unwrap().waiting, 10);
    let mut told = Vec::new();
    while let Some(delivery) = outbox.due("ops", at(3), LONGEST).unwrap() {
        outbox.sent("ops", delivery.stored.id, at(3)).unwrap();
        told.push(delivery.stored.notice);
    }
    let summary = told.iter().find(|notice| notice.kind == NoticeKind::Message).unwrap();
    assert_eq!(summary.reason, "21 notices could not be told one by one: 7 escalated, 14 healed");
    let rest: Vec<_> =
        told.iter().filter(|notice| notice.kind != NoticeKind::Message).map(|notice| notice.key.as_str()).collect();
    assert_eq!(rest, ["k21", "k22", "k23", "k24", "k25", "k26", "k27", "k28", "k29"]);
}

#[test]
fn what_waited_for_a_day_is_given_up_and_a_clock_set_back_stops_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ledger, outbox) = outbox(dir.path());
    take_in(&mut ledger, &outbox, NoticeKind::Escalated, "a", 0);
    take_in(&mut ledger, &outbox, NoticeKind::Escalated, "b", 50_000);
    outbox.failed("ops", 1, "gone", (at(60_000), LONGEST, at(0)), false).unwrap();
    outbox.failed("ops", 2, "gone", (at(60_000), LONGEST, at(0)), true).unwrap();
    let state = outbox.state("ops").unwrap();
    assert_eq!((state.given_up, state.waiting, state.error.as_deref()), (1, 1, Some("gone")));
    assert!(outbox.due("ops", at(60_100), LONGEST).unwrap().is_none());
    assert!(outbox.due("ops", at(60_300), LONGEST).unwrap().is_some());
    assert!(outbox.due("ops", at(1_000), LONGEST).unwrap().is_some());
    outbox.failed("ops", 2, "gone", (at(200_000), LONGEST, at(113_600)), true).unwrap();
    assert_eq!(outbox.state("ops").unwrap().given_up, 2);
    // Looked at for a week.
    outbox.prune(at(300_000)).unwrap();
    assert_eq!(outbox.state("ops").unwrap().given_up, 2);
    outbox.prune(at(900_000)).unwrap();
    assert_eq!(outbox.state("ops").unwrap().given_up, 0);
}

#[test]
fn a_change_while_an_alert_is_sent_is_sent_as_well() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ledger, outbox) = outbox(dir.path());
    let entry = |kind: NoticeKind| {
        let annotations = "{}".to_owned();
        if kind.ends() { Entry::End { annotations } } else { Entry::Alert { labels: "{}".into(), annotations } }
    };
    let mut tell = |kind: NoticeKind, now| {
        ledger.commit(&[Record::Notice(Box::new(notice(kind, "a")))]).unwrap();
        outbox.take_in("ops", at(now), |stored| entry(stored.notice.kind)).unwrap();
    };
    tell(NoticeKind::Escalated, 1);
    let sending = outbox.due_alerts("ops", at(1), LONGEST, 9).unwrap();
    tell(NoticeKind::Healed, 2);
    outbox.alerts_sent("ops", &sending, at(3), LONGEST).unwrap();
    let ended = outbox.due_alerts("ops", at(3), LONGEST, 9).unwrap();
    assert!(ended.len() == 1 && ended[0].ends_at.is_some(), "{ended:?}");
    // It began anew while its end was told.
    tell(NoticeKind::Escalated, 4);
    outbox.alerts_sent("ops", &ended, at(5), LONGEST).unwrap();
    let again = outbox.due_alerts("ops", at(5), LONGEST, 9).unwrap();
    assert!(again.len() == 1 && again[0].ends_at.is_none(), "{again:?}");
    outbox.alerts_sent("ops", &again, at(5), LONGEST).unwrap();
    assert!(outbox.due_alerts("ops", at(6), LONGEST, 9).unwrap().is_empty());
    assert_eq!(outbox.state("ops").unwrap().waiting, 0);
}
