//! Whole probes against peers that answer, fail, hang and babble.

use std::path::Path;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio_rustls::TlsAcceptor;

use super::super::tls::testing::server_until;
use super::*;
use crate::clock::SystemClock;
use crate::config::Settings;
use crate::signal::collector::{Condition, Health};
use crate::signal::{Attribute, Batch, Mailbox, Router, Selector, Subscription, Value};

fn context() -> Context {
    let clock = Arc::new(SystemClock::new());
    let health = Arc::new(Health::new(clock.clone()));
    let router = Arc::new(Router::new());
    Context { router, clock, health, root: "/nonexistent".into(), interval: Duration::from_secs(1) }
}

/// The probes of a configuration.
fn probes(text: &str) -> Probes {
    let settings = Settings::parse(Path::new("/salve.toml"), text).unwrap();
    Probes::new(context(), settings.probes)
}

/// One run of a probe.
async fn once(table: &str) -> Event {
    probes(&format!("[probes.it]\ntimeout = \"20s\"\n{table}\n")).run_now("it").await.unwrap()
}

fn get<'a>(event: &'a Event, key: &str) -> Option<&'a Value> {
    event.attributes.iter().find(|attribute| attribute.key == key).map(|attribute| &attribute.value)
}

fn text<'a>(event: &'a Event, key: &str) -> &'a str {
    match get(event, key) {
        Some(Value::Text(text)) => text,
        other => panic!("{key} is {other:?} in {event:?}"),
    }
}

fn found(event: &Event) -> (&str, &str) {
    (text(event, "probe.status"), text(event, "probe.message"))
}

/// Answers each connection with `answer` once it has heard something, and then keeps it open.
async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &[u8]) {
    let mut heard = [0; 4096];
    if stream.read(&mut heard).await.is_ok_and(|count| count > 0) {
        let _ = stream.write_all(answer).await;
        let _ = stream.flush().await;
        let _ = stream.read(&mut heard).await;
    }
}

/// A server on a port of its own: its address.
async fn server(answer: impl Into<Vec<u8>>, tls: Option<Arc<ServerConfig>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let answer = answer.into();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (answer, tls) = (answer.clone(), tls.clone());
            tokio::spawn(async move {
                match tls {
                    None => serve(stream, &answer).await,
                    Some(config) => {
                        if let Ok(stream) = TlsAcceptor::from(config).accept(stream).await {
                            serve(stream, &answer).await;
                        }
                    }
                }
            });
        }
    });
    address
}

fn http(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn http_is_judged_by_status_and_body() {
    let ok = server(http("200 OK", "all is well"), None).await;
    let event = once(&format!("http = \"http://{ok}/\"")).await;
    assert_eq!((event.name.to_string(), event.subject.as_str()), (RESULT.to_owned(), "it"));
    assert_eq!((found(&event), text(&event, "probe.kind")), (("up", "200 OK"), "http"));
    assert_eq!(get(&event, "http.response.status_code"), Some(&Value::Integer(200)));
    assert_eq!(found(&once(&format!("http = \"http://{ok}/\"\nbody = \"(?i)WELL$\"")).await), ("up", "200 OK"));
    let event = once(&format!("http = \"http://{ok}/\"\nbody = \"ill\"")).await;
    assert_eq!(found(&event), ("down", "200 OK, but the body does not match `ill`"));
    let event = once(&format!("http = \"http://{ok}/\"\nstatus = [204, \"5xx\"]")).await;
    assert_eq!(found(&event), ("down", "200 OK is not what is expected"));
}

#[tokio::test]
async fn a_redirect_is_followed_only_where_that_is_wanted() {
    let goal = server(http("200 OK", ""), None).await;
    let start =
        server(format!("HTTP/1.1 302 Found\r\nlocation: http://{goal}/\r\ncontent-length: 0\r\n\r\n"), None).await;
    let event = once(&format!("http = \"http://{start}/\"")).await;
    assert_eq!(get(&event, "http.response.status_code"), Some(&Value::Integer(302)));
    assert_eq!(found(&event).0, "down");
    assert_eq!(found(&once(&format!("http = \"http://{start}/\"\nredirects = 1")).await), ("up", "200 OK"));
}

#[tokio::test]
async fn http_that_is_gone_garbage_slow_or_huge_is_down() {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let event = once(&format!("http = \"http://{port}/?token=secret\"")).await;
    assert_eq!(found(&event).0, "down");
    assert!(found(&event).1.contains("refused") && !event.body.contains("secret"), "{event:?}");
    let garbage = server("\0\u{1b}[31mSSH-2.0-x\r\n", None).await;
    assert_eq!(found(&once(&format!("http = \"http://{garbage}/\"")).await).0, "down");
    let slow = server("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n", None).await;
    let event = once(&format!("http = \"http://{slow}/\"")).await;
    assert_eq!(found(&event).0, "up", "the body does not matter");
    let table = format!("[probes.it]\nhttp = \"http://{slow}/\"\nbody = \"x\"\ntimeout = \"300ms\"");
    let event = probes(&table).run_now("it").await.unwrap();
    assert_eq!(found(&event), ("down", "no answer within 0.3 s"));
    let huge = server([b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![b'x'; 5_000_000]].concat(), None).await;
    let event = once(&format!("http = \"http://{huge}/\"\nbody = \"y\"")).await;
    assert_eq!(found(&event), ("down", "200 OK, but the first 256 KiB do not match `y`"));
}

#[tokio::test]
async fn a_unix_socket_is_asked_by_http_and_plainly() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let event = once(&format!("unix = '{}'", path.display())).await;
    assert_eq!(found(&event).0, "down");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move { serve(stream, http("204 No Content", "").as_bytes()).await });
        }
    });
    let event = once(&format!("http = \"http://docker/_ping\"\nsocket = '{}'", path.display())).await;
    assert_eq!(found(&event), ("up", "204 No Content"));
    let event = once(&format!("unix = '{}'\nsend = \"x\"\nexpect = \"^HTTP/1.1 204\"", path.display())).await;
    assert_eq!(found(&event), ("up", "connected; it said: HTTP/1.1 204 No Content"));
    assert_eq!(found(&once(&format!("unix = '{}'", path.display())).await), ("up", "connected"));
}

#[tokio::test]
async fn tcp_is_judged_by_what_it_says() {
    let redis = server("+PONG\r\n", None).await;
    let event = once(&format!("tcp = \"{redis}\"\nsend = \"PING\\r\\n\"\nexpect = \"^\\\\+PONG\"")).await;
    assert_eq!(found(&event), ("up", "connected; it said: +PONG"));
    let closes = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = closes.local_addr().unwrap();
    tokio::spawn(async move { while closes.accept().await.is_ok() {} });
    let event = once(&format!("tcp = \"{address}\"\nexpect = \"OK\"")).await;
    assert_eq!((found(&event).0, found(&event).1.contains("without `OK`")), ("down", true), "{event:?}");
    let babble = server(vec![b'x'; 1_000_000], None).await;
    let event = once(&format!("tcp = \"{babble}\"\nsend = \"x\"\nexpect = \"OK\"")).await;
    assert!(found(&event).1.starts_with("the first 64 KiB are without `OK`"), "{event:?}");
}

#[tokio::test]
async fn a_certificates_end_is_told_however_it_is_judged() {
    let dir = tempfile::tempdir().unwrap();
    let remaining = |event: &Event| match get(event, "tls.certificate.remaining") {
        Some(Value::Number(seconds)) => *seconds,
        other => panic!("{other:?} in {event:?}"),
    };
    for (year, is_good) in [(2100, true), (2001, false)] {
        let (config, pem) = server_until(year);
        let ca = dir.path().join("ca.pem");
        std::fs::write(&ca, pem).unwrap();
        let address = server(http("200 OK", ""), Some(config)).await;
        for asked in [format!("http = \"https://{address}/\""), format!("tcp = \"{address}\"\ntls = true")] {
            let known = once(&format!("{asked}\nca = '{}'", ca.display())).await;
            assert_eq!(
                (found(&known).0, remaining(&known) > 0.0),
                (if is_good { "up" } else { "down" }, is_good),
                "{known:?}"
            );
            if !is_good {
                assert!(found(&known).1.contains("expired"), "{known:?}");
            }
            let insecure = once(&format!("{asked}\ninsecure = true")).await;
            assert_eq!((found(&insecure).0, remaining(&insecure) > 0.0), ("up", is_good), "{insecure:?}");
        }
    }
    // Whoever is unknown has an end, too; and one that is asked again shows it again.
    let (_, pem) = server_until(2100);
    let ca = dir.path().join("other.pem");
    std::fs::write(&ca, pem).unwrap();
    let address = server(http("200 OK", ""), Some(server_until(2100).0)).await;
    let probes = probes(&format!("[probes.it]\nhttp = \"https://{address}/\"\nca = '{}'", ca.display()));
    for _ in 0..2 {
        let event = probes.run_now("it").await.unwrap();
        assert!(found(&event).0 == "down" && remaining(&event) > 0.0, "{event:?}");
    }
    let plain = server(http("200 OK", ""), None).await;
    let event = once(&format!("http = \"https://{plain}/\"\ninsecure = true")).await;
    assert_eq!((found(&event).0, get(&event, "tls.certificate.remaining")), ("down", None));
}

#[tokio::test]
async fn what_cannot_be_asked_is_unknown() {
    let event = once("http = \"https://127.0.0.1:1/\"\nca = \"/no/such/ca.pem\"").await;
    assert_eq!(found(&event).0, "unknown");
    assert!(found(&event).1.contains("/no/such/ca.pem"), "{event:?}");
    assert!(probes("").run_now("web").await.unwrap_err().contains("no [probes.web]"));
}

/// Subscribes somebody; their mailbox.
fn subscribe(context: &Context, who: &str, metrics: Vec<Selector>, events: Vec<Selector>) -> Arc<Mailbox> {
    let mailbox = Arc::new(Mailbox::default());
    context.router.subscribe(who.into(), Subscription { metrics, events, every: None }, mailbox.clone());
    mailbox
}

/// All that comes into a mailbox until `done` says that it is enough.
async fn until(mailbox: &Mailbox, done: impl Fn(&Batch) -> bool) -> Batch {
    let mut all = Batch::default();
    let wait = async {
        loop {
            if let Some(batch) = mailbox.take(Default::default()) {
                all.new_series.extend(batch.new_series);
                all.gone_series.extend(batch.gone_series);
                all.readings.extend(batch.readings);
                all.events.extend(batch.events);
                if done(&all) {
                    return;
                }
            }
            mailbox.ring().await;
        }
    };
    timeout(Duration::from_secs(60), wait).await.unwrap();
    all
}

fn about(name: &str, subject: &str) -> Selector {
    Selector::new(name, vec![Attribute::new("subject", subject)])
}

#[tokio::test]
async fn a_state_follows_many_answers_and_one_that_hangs_delays_none() {
    let dir = tempfile::tempdir().unwrap();
    let flag = dir.path().join("down");
    // It says what it measured, and is critical while a file is there.
    let script = format!("echo 'checked | age=7s'; test ! -e {} || exit 2", flag.display());
    let probes = Arc::new(probes(&format!(
        "[probes.a-hung]\ncommand = [\"/bin/sleep\", \"1000\"]\ninterval = \"100ms\"\ntimeout = \"500s\"\n\
         [probes.app]\ncommand = [\"/bin/sh\", \"-c\", \"{script}\"]\ninterval = \"100ms\"\njitter = 0\ntimeout = \"60s\"\n"
    )));
    let context = probes.context.clone();
    let task = tokio::spawn({
        let probes = probes.clone();
        async move { probes.run().await }
    });
    let mailbox = subscribe(&context, "a", vec![Selector::new("probe.*", vec![])], vec![about("probe.*", "*")]);
    let states = |batch: &Batch| {
        let states = batch.events.iter().filter(|event| event.name == *STATE);
        states.map(|event| text(event, "probe.status").to_owned()).collect::<Vec<_>>()
    };
    let batch = until(&mailbox, |batch| states(batch) == ["up"]).await;
    let series: Vec<String> = batch.new_series.iter().map(|series| series.name.metric.to_string()).collect();
    assert_eq!(series, ["probe.duration", "probe.success", "probe.perfdata"]);
    std::fs::write(&flag, "").unwrap();
    let batch = until(&mailbox, |batch| states(batch) == ["down"]).await;
    let results: Vec<&str> =
        batch.events.iter().filter(|event| event.name == *RESULT).map(|event| text(event, "probe.status")).collect();
    // The state is told before the answer that made it.
    assert!(results.iter().filter(|status| **status == "down").count() >= 2, "{results:?}");
    let state = batch.events.iter().find(|event| event.name == *STATE).unwrap();
    assert_eq!(get(state, "probe.failures"), Some(&Value::Integer(3)));
    std::fs::remove_file(&flag).unwrap();
    until(&mailbox, |batch| states(batch) == ["up"]).await;

    // Whoever comes later is told how it stands; once nobody is left, it stands no more.
    let late = subscribe(&context, "b", vec![], vec![about(STATE, "app")]);
    assert_eq!(states(&late.take(Default::default()).unwrap()), ["up"]);
    context.router.unsubscribe("a");
    context.router.unsubscribe("b");
    let deadline = Instant::now() + Duration::from_secs(60);
    while !context.router.states(STATE).is_empty() || context.health.view().iter().any(|it| it.source == "probe/app") {
        assert!(Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    task.abort();
}

#[tokio::test]
async fn one_that_cannot_be_run_is_a_source_that_is_not_well() {
    let probes = Arc::new(probes("[probes.x]\ncommand = [\"/no/such\"]\ninterval = \"100ms\"\nfall = 1"));
    let context = probes.context.clone();
    tokio::spawn(async move { probes.run().await });
    let mailbox = subscribe(&context, "a", vec![], vec![about(STATE, "x")]);
    let batch = until(&mailbox, |batch| !batch.events.is_empty()).await;
    assert_eq!(found(&batch.events[0]).0, "unknown");
    // Its health is told after its state.
    let deadline = Instant::now() + Duration::from_secs(60);
    while context.health.view().is_empty() {
        assert!(Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    let view = &context.health.view()[0];
    assert_eq!((view.source.as_str(), view.condition), ("probe/x", Condition::Degraded));
    assert!(view.reason.as_ref().unwrap().contains("/no/such"), "{view:?}");
}

#[test]
fn a_probe_is_wanted_by_whoever_may_take_what_it_finds() {
    let probes = probes(
        "[probes.web]\nhttp = \"https://h/\"\n[probes.plain]\nhttp = \"http://h/\"\n[probes.disk]\ncommand = [\"/bin/true\"]",
    );
    let wanted = |metrics: &[Selector], events: &[Selector]| {
        let demand = Demand::new(metrics, events);
        let wanted = probes.probes.values().filter(|probe| probe.is_wanted(&demand));
        wanted.map(|probe| probe.name.as_str()).collect::<Vec<_>>()
    };
    let metric = |name: &str, matching| Selector::new(name, matching);
    assert!(wanted(&[], &[]).is_empty());
    assert!(wanted(&[metric("system.*", vec![])], &[about("service.state", "*")]).is_empty());
    assert_eq!(wanted(&[], &[about("probe.state", "w*")]), ["web"]);
    assert_eq!(wanted(&[], &[about("probe.result", "*")]), ["disk", "plain", "web"]);
    let by_kind = Selector::new("probe.*", vec![Attribute::new("probe.kind", "command")]);
    assert_eq!(wanted(&[], &[by_kind]), ["disk"]);
    assert_eq!(wanted(&[metric("tls.*", vec![])], &[]), ["web"]);
    assert_eq!(wanted(&[metric("probe.perfdata", vec![])], &[]), ["disk"]);
    assert_eq!(wanted(&[metric("probe.success", vec![Attribute::new("probe.name", "plain")])], &[]), ["plain"]);
}
