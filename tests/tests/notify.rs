//! A real Alertmanager is told of an incident that wants a person, keeps it for as long as it lasts, and hears of its end.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use salve::clock::{Clock, SystemClock};
use salve::config::Settings;
use salve::incident::ledger::Ledger;
use salve::incident::{About, Notice, NoticeKind, Record, Severity};
use salve::notify::{Notifier, Pace};
use salve_tests::lab::skip_without;
use salve_tests::process::Process;
use salve_tests::reaper::Reaper;
use salve_tests::wait;
use serde_json::Value;
use tokio::sync::Notify;

const ALERTMANAGER: &str = "/usr/bin/prometheus-alertmanager";
const DEADLINE: Duration = Duration::from_secs(30);

/// Debian's Alertmanager on a port of its own, which forgets an alert after two seconds without news.
struct Alertmanager {
    port: u16,
    _process: Process,
}

impl Alertmanager {
    fn start(home: &Path) -> Self {
        // The port is free again a moment before it is taken; no other program of the tests takes ports by number.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let config = home.join("alertmanager.yml");
        fs::write(&config, "global: { resolve_timeout: 2s }\nroute: { receiver: none }\nreceivers: [{ name: none }]\n")
            .unwrap();
        let mut command = Command::new(ALERTMANAGER);
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.path={}", home.join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--cluster.listen-address=")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let process = Process::spawn(&mut command).unwrap();
        let manager = Self { port, _process: process };
        wait::until("an Alertmanager that answers", DEADLINE, || manager.try_alerts());
        manager
    }

    /// The alerts that are active; none if it does not answer.
    fn try_alerts(&self) -> Option<Vec<Value>> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok()?;
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        // HTTP/1.0: the body is not cut into pieces.
        stream.write_all(b"GET /api/v2/alerts?active=true HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        head.contains(" 200 ").then(|| serde_json::from_str(body).unwrap())
    }

    fn alerts(&self) -> Vec<Value> {
        self.try_alerts().unwrap()
    }
}

fn notice(kind: NoticeKind, reason: &str) -> Record {
    let at = SystemClock::new().now().wall;
    let incident = About {
        id: "1k2m3n4p5".to_owned(),
        policy: "web".to_owned(),
        plugin: "service-restart".to_owned(),
        kind: "service.down".to_owned(),
        target: "nginx.service".to_owned(),
        severity: Severity::Error,
        summary: "nginx.service is failed".to_owned(),
        opened_at: at,
        attempts: 3,
    };
    let key = incident.id.clone();
    let actions = vec!["service.restart nginx.service".to_owned()];
    Record::Notice(Box::new(Notice { kind, at, key, reason: reason.to_owned(), incident: Some(incident), actions }))
}

#[test]
fn an_alertmanager_shows_an_alert_for_as_long_as_somebody_is_wanted() {
    if skip_without(ALERTMANAGER, "install prometheus-alertmanager") {
        return;
    }
    let _reaper = Reaper::start().unwrap();
    let home = tempfile::tempdir().unwrap();
    let manager = Alertmanager::start(home.path());
    let config = format!(
        "[notify.ops]\nchannel = \"alertmanager\"\nurl = \"http://127.0.0.1:{}\"\nlabels = {{ team = \"web\" }}\n",
        manager.port
    );
    let settings = Settings::parse(&home.path().join("salve.toml"), &config).unwrap();
    let mut ledger = Ledger::open(&home.path().join("state")).unwrap();
    let channels: BTreeMap<_, _> = settings.notify;
    let pace = Pace { resend: Duration::from_millis(500), ..Pace::default() };
    let clock = Arc::new(SystemClock::new());
    let notifier = Notifier::with_pace(ledger.outbox().unwrap(), channels, clock, pace).unwrap();
    let notifier = Arc::new(notifier);
    let poke = Arc::new(Notify::new());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (running, poked) = (notifier.clone(), poke.clone());
    runtime.spawn(async move { running.run(poked).await });
    let mut tell = |kind, reason: &str| {
        ledger.commit(&[notice(kind, reason)]).unwrap();
        poke.notify_one();
    };

    tell(NoticeKind::RecoveryFailed, "it is down again");
    let alert = wait::until("the alert", DEADLINE, || manager.alerts().pop());
    for (label, value) in [("alertname", "Salve"), ("target", "nginx.service"), ("severity", "error"), ("team", "web")]
    {
        assert_eq!(alert.pointer(&format!("/labels/{label}")).unwrap(), value);
    }
    // Twice as long as it remembers what it does not hear of again.
    wait::never("a forgotten alert", Duration::from_secs(4), || manager.alerts().is_empty().then_some("none"));

    tell(NoticeKind::Escalated, "three attempts failed");
    wait::until("the same alert, changed", DEADLINE, || {
        let alerts = manager.alerts();
        let changed = alerts.iter().any(|alert| alert.pointer("/annotations/notice").unwrap() == "escalated");
        (changed && alerts.len() == 1).then_some(())
    });

    tell(NoticeKind::Healed, "it answers");
    wait::until("the end", DEADLINE, || manager.alerts().is_empty().then_some(()));
    wait::until("nothing to wait", DEADLINE, || {
        let view = notifier.view().unwrap();
        (view.iter().map(|channel| channel.state.waiting).sum::<u32>() == 0).then_some(())
    });
}
