//! Whole endpoints: good ones, and every kind of bad one.

use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::clock::SystemClock;
use crate::config::Settings;
use crate::signal::collector::{Condition, Health};
use crate::signal::{Attribute, Batch, Mailbox, Router, Selector, Subscription};

fn context() -> Context {
    let clock = Arc::new(SystemClock::new());
    let health = Arc::new(Health::new(clock.clone()));
    let router = Arc::new(Router::new());
    Context { router, clock, health, root: "/nonexistent".into(), interval: Duration::from_secs(1) }
}

/// An endpoint at `address` that takes `a_*`, as configured.
fn endpoint(address: &str, more: &str) -> Endpoint {
    let text = format!("[metrics.app]\nurl = \"http://{address}/metrics\"\nallow = [\"a_*\"]\n{more}\n");
    let settings = Settings::parse(Path::new("/salve.toml"), &text).unwrap();
    Endpoint::new("app".into(), settings.metrics["app"].clone())
}

/// Answers one connection after another; the last answer again and again.
async fn server(answers: Vec<Vec<u8>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        for answer in answers.iter().chain(std::iter::repeat(answers.last().unwrap())) {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await;
            // The client may have had enough before the end.
            let _ = stream.write_all(answer).await;
        }
    });
    address
}

fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// What one question yields: the metrics and values that are published, and how the source does.
async fn once(endpoint: &mut Endpoint) -> (Vec<(String, f64)>, Condition, String) {
    let context = context();
    let mailbox = subscribe(&context, Selector::new("*", vec![]));
    endpoint.scrape(&context, "scrape/app").await;
    let batch = mailbox.take(Default::default()).unwrap();
    let health = context.health.view().remove(0);
    (readings(&batch), health.condition, health.reason.unwrap_or_default())
}

fn subscribe(context: &Context, metric: Selector) -> Arc<Mailbox> {
    let mailbox = Arc::new(Mailbox::default());
    let subscription = Subscription { metrics: vec![metric], ..Subscription::default() };
    context.router.subscribe("a".into(), subscription, mailbox.clone());
    mailbox
}

fn readings(batch: &Batch) -> Vec<(String, f64)> {
    let name = |series| batch.new_series.iter().find(|it| it.number == series).unwrap().name.metric.to_string();
    batch.readings.iter().map(|reading| (name(reading.series), reading.value)).collect()
}

#[tokio::test]
async fn what_is_allowed_is_told() {
    let address = server(vec![ok("# TYPE a_x gauge\na_x{l=\"1\"} 5\nb_y 6\na_z NaN\n")]).await;
    let (readings, condition, _) = once(&mut endpoint(&address, "")).await;
    assert_eq!(readings, [("scrape.up".to_owned(), 1.0), ("a_x".to_owned(), 5.0)]);
    assert_eq!(condition, Condition::Ok);
}

#[tokio::test]
async fn an_endpoint_that_does_not_tell_is_not_up() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let garbage = server(vec![ok("<html>no metrics</html>")]).await;
    let teapot = server(vec![b"HTTP/1.1 418 Teapot\r\ncontent-length: 0\r\n\r\n".to_vec()]).await;
    let cut = server(vec![b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\na_x 1\n".to_vec()]).await;
    let huge =
        server(vec![[b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), "a_x 1\n".repeat(BODY / 5).into_bytes()].concat()]).await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let slow = silent.local_addr().unwrap().to_string();
    for (address, expected) in [
        (closed, "refused"),
        (garbage, "not in Prometheus' text format: line 1"),
        (teapot, "it answers 418"),
        (cut, "body"),
        (huge, "longer than 8 MiB"),
        (slow, "no answer within 2 s"),
    ] {
        let timeout = if expected.contains("2 s") { "2s" } else { "60s" };
        let (readings, condition, why) = once(&mut endpoint(&address, &format!("timeout = \"{timeout}\""))).await;
        assert_eq!((readings, condition), (vec![("scrape.up".to_owned(), 0.0)], Condition::Degraded), "{why}");
        assert!(why.contains(expected), "{why}\n  not {expected}");
    }
}

#[tokio::test]
async fn lines_that_are_garbled_are_told_and_the_rest_is_taken() {
    let address = server(vec![ok("a_x 1\na_y{ 2\na_z 3\n")]).await;
    let (readings, condition, why) = once(&mut endpoint(&address, "")).await;
    assert_eq!((readings.len(), condition), (3, Condition::Degraded));
    assert!(why.contains("1 lines are not") && why.contains("line 2"), "{why}");
}

#[tokio::test]
async fn series_come_and_go_while_somebody_wants_them() {
    let address = server(vec![ok("a_x 1\n"), ok("a_y 2\n")]).await;
    let endpoint = endpoint(&address, "interval = \"100ms\"\ntimeout = \"60s\"");
    let context = context();
    let task = tokio::spawn(endpoint.attend(context.clone()));
    let mailbox = subscribe(&context, Selector::new("a_?", vec![]));
    let mut seen = (0, 0);
    let both = async {
        while seen < (2, 1) {
            mailbox.ring().await;
            let Some(batch) = mailbox.take(Default::default()) else { continue };
            seen = (seen.0 + batch.new_series.len(), seen.1 + batch.gone_series.len());
        }
    };
    timeout(Duration::from_secs(60), both).await.unwrap();
    context.router.unsubscribe("a");
    let gone = async {
        while !context.health.view().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(60), gone).await.unwrap();
    task.abort();
}

#[test]
fn an_endpoint_is_wanted_by_whoever_may_take_its_metrics() {
    let endpoint = endpoint("h", "");
    let wanted = |name: &str, matching| endpoint.is_wanted(&Demand::new([&Selector::new(name, matching)], []));
    assert!(wanted("a_x", vec![]) && wanted("*_x", vec![]) && wanted("*", vec![]) && wanted("scrape.*", vec![]));
    assert!(!wanted("b_x", vec![]) && !wanted("system.*", vec![]) && !wanted("a", vec![]));
    assert!(!endpoint.is_wanted(&Demand::default()));
    assert!(wanted("a_x", vec![Attribute::new("scrape.name", "a*")]));
    assert!(!wanted("a_x", vec![Attribute::new("scrape.name", "db")]));
}
