//! Metrics of others: endpoints that tell them in Prometheus' text format, each asked by a task of its own while somebody
//! wants something of it.

mod exposition;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod overlap;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use reqwest::Client;
use reqwest::header::ACCEPT;
use tokio::task::JoinSet;
use tokio::time::timeout;
use wildmatch::WildMatch;

use self::exposition::{Filter, Taken};
use self::overlap::overlap;
use super::pace::{Pace, Turn};
use super::tls::Expiry;
use super::{Context, web};
use crate::config::EndpointSpec;
use crate::http::causes;
use crate::signal::{Demand, Sample, SeriesName};

/// Bytes of an answer. kube-state-metrics of a large cluster has more; an exporter of one host has not.
const BODY: usize = 8 * 1024 * 1024;
/// The metric that says whether an endpoint answers.
const UP: &str = "scrape.up";
/// The share of the interval by which questions vary.
const JITTER: f64 = 0.1;

/// Asks each endpoint while somebody wants its metrics; ends with the task.
pub async fn run(context: Context, endpoints: BTreeMap<String, EndpointSpec>) {
    let mut tasks = JoinSet::new();
    for (name, spec) in endpoints {
        tasks.spawn(Endpoint::new(name, spec).attend(context.clone()));
    }
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            tracing::error!("an endpoint is not asked any more: {error}");
        }
    }
}

struct Endpoint {
    spec: EndpointSpec,
    filter: Filter,
    /// Made when it is first needed.
    client: Option<Client>,
}

impl Endpoint {
    fn new(name: String, spec: EndpointSpec) -> Self {
        let allow = spec.allow.iter().map(|pattern| WildMatch::new(pattern)).collect();
        let filter = Filter { scrape: name, allow, labels: spec.labels.clone() };
        Self { spec, filter, client: None }
    }

    /// Whether somebody wants a metric that it may have.
    fn is_wanted(&self, demand: &Demand) -> bool {
        // No dot is in a name of Prometheus: whoever asks for `system.*` does not mean it.
        let may_be = |name: &str| !name.contains('.') && self.spec.allow.iter().any(|allowed| overlap(allowed, name));
        let mut selectors = demand.all_metrics().filter(|selector| selector.allows("scrape.name", &self.filter.scrape));
        selectors.any(|selector| selector.takes_name(UP) || may_be(&selector.name()))
    }

    async fn attend(mut self, context: Context) {
        let source = format!("scrape/{}", self.filter.scrape);
        let mut pace = Pace::new(context.router.demand(), &self.filter.scrape, self.spec.interval, JITTER);
        while let Some(turn) = pace.turn(|demand| self.is_wanted(demand)).await {
            match turn {
                Turn::Run => self.scrape(&context, &source).await,
                Turn::Rest => {
                    context.router.publish_samples(source.clone(), context.clock.now().wall, &[]);
                    context.health.forget(&source);
                }
            }
        }
    }

    async fn scrape(&mut self, context: &Context, source: &str) {
        let answer = match timeout(self.spec.timeout, self.ask()).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no answer within {} s", self.spec.timeout.as_secs_f64())),
        };
        let up = f64::from(u8::from(answer.is_ok()));
        let attributes = vec![("scrape.name".into(), self.filter.scrape.as_str().into())];
        let mut samples = vec![Sample { series: SeriesName { metric: UP.into(), attributes }, value: up }];
        match answer {
            Ok(Taken { samples: taken, dropped, garbled, trouble }) => {
                samples.extend(taken);
                match trouble {
                    Some(why) => {
                        let why = format!("{garbled} lines are not in Prometheus' text format; {why}");
                        context.health.degraded(source, why);
                    }
                    None => context.health.ok(source),
                }
                if dropped + garbled > 0 {
                    context.health.dropped(source, dropped + garbled);
                }
            }
            Err(why) => context.health.degraded(source, why),
        }
        // A series that is missing is gone, and all are where the endpoint does not answer.
        context.router.publish_samples(source.to_owned(), context.clock.now().wall, &samples);
    }

    async fn ask(&mut self) -> Result<Taken, String> {
        let client = match &self.client {
            Some(client) => client,
            None => {
                let EndpointSpec { url, trust, socket, .. } = &self.spec;
                let made = web::client(url, trust, 0, socket.as_deref(), Arc::<Expiry>::default())?;
                self.client.insert(made)
            }
        };
        let request = client.get(self.spec.url.clone()).header(ACCEPT, "text/plain;version=0.0.4");
        let failed = |error: reqwest::Error| causes(&error.without_url());
        let response = request.headers(self.spec.headers.clone()).send().await.map_err(failed)?;
        if !response.status().is_success() {
            return Err(format!("it answers {}", response.status()));
        }
        let (body, is_all) = web::body(response, BODY).await.map_err(failed)?;
        if !is_all {
            return Err(format!("its answer is longer than {} MiB", BODY / 1024 / 1024));
        }
        self.filter.take(&String::from_utf8_lossy(&body))
    }
}
