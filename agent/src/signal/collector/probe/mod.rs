//! Probes: what is asked, from outside, whether it works. Each is a task of its own, so that one that hangs delays no other,
//! and runs only while somebody wants to know.

mod answer;
mod command;
mod dns;
mod http;
mod perfdata;
mod standing;
mod stream;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use reqwest::Client;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use self::answer::{Answer, Status};
use self::standing::Standing;
use super::pace::{Pace, Turn};
use super::tls::{Expiry, client_config};
use super::{Context, web};
use crate::config::{ProbeKind, ProbeSpec};
use crate::signal::{Demand, Event};

/// The event that says how something stands; kept for those who subscribe later.
pub const STATE: &str = "probe.state";
/// The event of each run.
pub const RESULT: &str = "probe.result";

/// All probes of the configuration.
#[derive(Debug)]
pub struct Probes {
    context: Context,
    probes: BTreeMap<String, Arc<Probe>>,
}

impl Probes {
    /// As configured; nothing runs yet.
    pub fn new(context: Context, specs: BTreeMap<String, ProbeSpec>) -> Self {
        let resolv = context.path("etc/resolv.conf");
        let probe =
            |(name, spec): (String, ProbeSpec)| (name.clone(), Arc::new(Probe::new(name, spec, resolv.clone())));
        let probes = specs.into_iter().map(probe).collect();
        Self { context, probes }
    }

    /// Runs each probe while somebody wants it; ends with the task.
    pub async fn run(&self) {
        let mut tasks = JoinSet::new();
        for probe in self.probes.values() {
            tasks.spawn(probe.clone().attend(self.context.clone()));
        }
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!("a probe does not run any more: {error}");
            }
        }
    }

    /// Runs a probe once, now, whether anybody wants it or not: what it found, as a `probe.result`. It is told to nobody else
    /// and changes no state: that takes `rise` and `fall` answers at the probe's own pace. If the probe is being run, this
    /// waits until that is over.
    pub async fn run_now(&self, name: &str) -> Result<Event, String> {
        let Some(probe) = self.probes.get(name) else {
            return Err(format!("there is no [probes.{name}] in the configuration"));
        };
        let answer = probe.ask().await;
        let failures = u32::from(answer.status.is_bad());
        Ok(answer.event(RESULT, name, probe.kind(), answer.status, failures, self.context.clock.now().wall))
    }
}

/// One of them.
#[derive(Debug)]
struct Probe {
    name: String,
    spec: ProbeSpec,
    resolv: PathBuf,
    /// What is made when the probe first runs. Locked by a run, so that a certificate is seen by the run that met it.
    tools: Mutex<Tools>,
}

/// What asking takes.
#[derive(Default)]
struct Tools {
    http: Option<Client>,
    tls: Option<TlsConnector>,
    expiry: Arc<Expiry>,
}

impl std::fmt::Debug for Tools {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tools").finish_non_exhaustive()
    }
}

impl Probe {
    fn new(name: String, spec: ProbeSpec, resolv: PathBuf) -> Self {
        Self { name, spec, resolv, tools: Mutex::default() }
    }

    fn kind(&self) -> &'static str {
        self.spec.kind.as_str()
    }

    /// Whether somebody wants to know anything that it finds.
    fn is_wanted(&self, demand: &Demand) -> bool {
        let event = |name| {
            let mut selectors = demand.events(name);
            selectors.any(|it| it.allows("subject", &self.name) && it.allows("probe.kind", self.kind()))
        };
        let metric = |name| demand.metrics(name).any(|selector| selector.allows("probe.name", &self.name));
        event(STATE)
            || event(RESULT)
            || metric("probe.duration")
            || metric("probe.success")
            || (self.spec.kind.has_certificate() && metric("tls.certificate.remaining"))
            || (matches!(self.spec.kind, ProbeKind::Command(_)) && metric("probe.perfdata"))
    }

    /// Waits until it is wanted, and then runs until it is not; for ever.
    async fn attend(self: Arc<Self>, context: Context) {
        let source = format!("probe/{}", self.name);
        let nothing_known = || Standing::new(self.spec.rise, self.spec.fall);
        let mut standing = nothing_known();
        let mut pace = Pace::new(context.router.demand(), &self.name, self.spec.interval, self.spec.jitter);
        while let Some(turn) = pace.turn(|demand| self.is_wanted(demand)).await {
            match turn {
                Turn::Run => {
                    let answer = self.ask().await;
                    self.tell(&context, &source, &mut standing, &answer);
                }
                Turn::Rest => {
                    standing = nothing_known();
                    context.router.forget_state(STATE, &self.name);
                    context.router.publish_samples(source.clone(), context.clock.now().wall, &[]);
                    context.health.forget(&source);
                }
            }
        }
    }

    fn tell(&self, context: &Context, source: &str, standing: &mut Standing, answer: &Answer) {
        let at = context.clock.now().wall;
        let new_state = standing.take(answer.status);
        let event = |name| answer.event(name, &self.name, self.kind(), answer.status, standing.failures, at);
        if new_state.is_some() {
            context.router.publish_state(event(STATE));
        }
        context.router.publish(event(RESULT));
        context.router.publish_samples(source.to_owned(), at, &answer.samples(&self.name, at));
        match answer.status {
            Status::Unknown => context.health.degraded(source, answer.message.as_str()),
            // That something is down is what a probe is for.
            Status::Up | Status::Warning | Status::Down => context.health.ok(source),
        }
        if answer.dropped > 0 {
            context.health.dropped(source, answer.dropped);
        }
    }

    /// Asks once, within the timeout.
    async fn ask(&self) -> Answer {
        let mut tools = self.tools.lock().await;
        let begun = Instant::now();
        // An earlier run may have been given up with a certificate in its hand.
        tools.expiry.take();
        let limit = self.spec.timeout;
        let answer = match &self.spec.kind {
            // It has a process group to kill first.
            ProbeKind::Command(probe) => command::ask(probe, limit).await,
            _ => match timeout(limit, self.ask_peer(&mut tools)).await {
                Ok(answer) => answer,
                Err(_) => Answer::down(format!("no answer within {} s", limit.as_secs_f64())),
            },
        };
        Answer { took: begun.elapsed(), expiry: tools.expiry.take(), ..answer }
    }

    async fn ask_peer(&self, tools: &mut Tools) -> Answer {
        match &self.spec.kind {
            ProbeKind::Http(probe) => {
                let make = || {
                    let expiry = tools.expiry.clone();
                    web::client(&probe.url, &probe.trust, probe.redirects, probe.socket.as_deref(), expiry)
                };
                match kept(&mut tools.http, make) {
                    Ok(client) => http::ask(client, probe).await,
                    Err(why) => Answer::unknown(why),
                }
            }
            ProbeKind::Tcp(probe) => {
                let Some(trust) = &probe.tls else {
                    return stream::tcp(probe, None).await;
                };
                let make = || Ok(TlsConnector::from(Arc::new(client_config(trust, tools.expiry.clone())?)));
                match kept(&mut tools.tls, make) {
                    Ok(connector) => stream::tcp(probe, Some(connector)).await,
                    Err(why) => Answer::unknown(why),
                }
            }
            ProbeKind::Unix(path, dialogue) => stream::unix(path, dialogue).await,
            ProbeKind::Dns(probe) => dns::ask(probe, &self.resolv).await,
            ProbeKind::Command(probe) => command::ask(probe, self.spec.timeout).await,
        }
    }
}

/// What is in the slot, made first if there is nothing; what cannot be made is tried again the next time.
fn kept<T>(slot: &mut Option<T>, make: impl FnOnce() -> Result<T, String>) -> Result<&T, String> {
    match slot {
        Some(made) => Ok(made),
        None => Ok(slot.insert(make()?)),
    }
}
