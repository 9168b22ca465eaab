//! The engine under load: faults opened, diagnosed, planned, guarded, acted on by an actuator that does nothing, verified,
//! healed, and written to a real ledger.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use salve::action::actuator::Order;
use salve::action::{Action, Outcome};
use salve::clock::{Clock, SystemClock, Timestamp};
use salve::config::{Backoff, Breaker, Budget, HostRules, Mode, Pattern, Rules};
use salve::guard::Chain;
use salve::incident::ledger::{Ledger, LedgerReader};
use salve::incident::{
    Cause, Doors, Engine, Fault, Finding, Ground, Input, Past, Plan, Question, Recovery, Reply, Runner, Severity,
    State, Terrain, Topic, Verdict,
};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;

use super::Setting;
use super::report::{Limit, Report, Row, median};

const POLICY: &str = "web";
/// Incidents that are open at once.
const OPEN: usize = 400;
/// What no budget and no breaker of the run reaches: they are looked at and let everything pass.
const PLENTY: u32 = 1_000_000;

pub(super) fn run(setting: &Setting, report: &mut Report) -> Result<()> {
    let (count, rounds) = if setting.quick { (4_000, 2) } else { (20_000, 5) };
    let state = setting.layout.results().join("engine-state");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut rates = Vec::new();
    for _ in 0..rounds {
        // Left behind by the round before, or by a run that was broken off.
        drop(fs::remove_dir_all(&state));
        let rate = runtime.block_on(storm(&state, count));
        drop(fs::remove_dir_all(&state));
        rates.push(rate?);
    }
    let row = Row { name: "opened, planned, healed", samples: &rates };
    report.samples(&format!("{count} incidents, {OPEN} open at once"), "incidents/s", &[row], &[]);
    report.goal("engine >= 2000 incidents/s", median(&rates), Limit::AtLeast(2000.0));
    report.note(
        "Plugin and actuator answer at once; engine, guards and ledger are the agent's own, and the ledger is durable.",
    );
    Ok(())
}

/// Every target stands alone.
struct Plain;

impl Terrain for Plain {
    fn ground(&self, target: &str, _: &[Action]) -> Ground {
        Ground { targets: BTreeSet::from([target.to_owned()]), ..Ground::default() }
    }
}

/// An engine at work: its runner, a plugin that answers at once, and an actuator that does nothing.
pub(super) struct Work {
    pub(super) inputs: mpsc::Sender<Input>,
    reader: LedgerReader,
    runner: JoinHandle<()>,
    plugin: JoinHandle<()>,
    actuator: JoinHandle<()>,
}

impl Work {
    /// Begins, with a new ledger; of each of `count` incidents that is healed, `room` is told by a permit.
    pub(super) async fn begin(state: &Path, clock: Arc<dyn Clock>, count: usize, room: Arc<Semaphore>) -> Result<Self> {
        Ledger::prepare(state)?;
        let ledger = Ledger::open(state)?;
        let now = clock.now();
        let (engine, first) = Engine::restore(host(), Chain::standard(), Box::new(Plain), Past::default(), now);
        let reader = ledger.reader()?;

        let (inputs, inbox) = mpsc::channel(1024);
        let (questions, asked) = mpsc::unbounded_channel::<Question>();
        let (orders, ordered) = mpsc::unbounded_channel();
        let doors = Doors {
            // The receivers outlive the runner.
            ask: Box::new(move |_, question| drop(questions.send(question))),
            release: Box::new(|_| {}),
            perform: Box::new(move |order| drop(orders.send(order))),
            settled: Box::new(|_| {}),
            reply: Box::new(|_, _| {}),
            noticed: Box::new(|| {}),
            moved: Box::new(move |_, state| {
                if state == State::Resolved {
                    room.add_permits(1);
                }
            }),
        };
        let runner = tokio::spawn(Runner::new(engine, ledger, clock, inbox, doors).run(first));
        let rules = Arc::new(rules()?);
        let (policy, plugin, basis, digest) = (POLICY.into(), "bench".into(), "basis".into(), "digest".into());
        inputs.send(Input::Arrived { policy, plugin, rules, basis, digest }).await?;
        let plugin = tokio::spawn(answer(asked, inputs.clone(), count));
        let actuator = tokio::spawn(act(ordered, inputs.clone()));
        Ok(Self { inputs, reader, runner, plugin, actuator })
    }

    /// A plugin has found this.
    pub(super) async fn find(&self, fault: Fault, at: Timestamp) -> Result<()> {
        let findings = vec![(Finding::Present(fault), at)];
        Ok(self.inputs.send(Input::Found { policy: POLICY.into(), findings }).await?)
    }

    /// Waits until all incidents are healed and written; `since` is when they began, if not now.
    pub(super) async fn end(self, since: Instant) -> Result<(Duration, LedgerReader)> {
        self.plugin.await?;
        drop(self.inputs);
        let reader = self.reader;
        // The runner ends when the actuator has nothing to say any more, and has written everything by then.
        let resolved = async {
            while reader.open_by_state()?.iter().map(|(_, open)| open).sum::<u64>() > 0 {
                tokio::task::yield_now().await;
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(Duration::from_secs(30), resolved).await.context("incidents stay open")??;
        let took = since.elapsed();
        self.actuator.abort();
        self.runner.await?;
        Ok((took, reader))
    }
}

async fn answer(mut asked: mpsc::UnboundedReceiver<Question>, inputs: mpsc::Sender<Input>, count: usize) {
    let mut healed = 0;
    while healed < count
        && let Some(Question { topic, incident, turn }) = asked.recv().await
    {
        let reply = match topic {
            Topic::Diagnose => Reply::Causes(vec![cause()]),
            Topic::Recover => Reply::Recovery(plan(&incident.fault.target)),
            Topic::Verify => {
                healed += 1;
                Reply::Verdict(Verdict::Healthy)
            }
        };
        drop(inputs.send(Input::Answered { incident: incident.id, turn, reply: Ok(reply) }).await);
    }
}

async fn act(mut ordered: mpsc::UnboundedReceiver<Order>, inputs: mpsc::Sender<Input>) {
    while let Some(order) = ordered.recv().await {
        let (incident, attempt) = (order.incident, order.attempt);
        for action in order.actions {
            let detail = "failed (pid none) -> active (pid 4711)".to_owned();
            let outcome = Outcome { action, ok: true, detail, took: Duration::from_millis(1) };
            drop(inputs.send(Input::Done { incident: incident.clone(), attempt, outcome }).await);
        }
        drop(inputs.send(Input::Performed { incident, attempt }).await);
    }
}

/// How many incidents a second go from their fault to its resolution.
async fn storm(state: &Path, count: usize) -> Result<f64> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let room = Arc::new(Semaphore::new(OPEN));
    let work = Work::begin(state, clock.clone(), count, room.clone()).await?;
    let start = Instant::now();
    for number in 0..count {
        room.acquire().await?.forget();
        work.find(fault(number), clock.now().wall).await?;
    }
    let (took, reader) = work.end(start).await?;
    let (since, to) = (Timestamp::from_nanos(0), clock.now().wall);
    let total = reader.report(since, to, salve::incident::ledger::GroupBy::Kind)?.total;
    ensure!(total.incidents == count as u64, "{} incidents instead of {count}", total.incidents);
    Ok(count as f64 / took.as_secs_f64())
}

/// Every guard has something to look at.
fn host() -> HostRules {
    let plenty = Some(Budget { count: PLENTY, per: Duration::from_secs(3600) });
    HostRules {
        ceiling: Mode::Auto,
        budget: plenty,
        budget_per_target: plenty,
        max_plans: 64,
        breaker: Breaker { incidents: PLENTY, actions: PLENTY, within: Duration::from_secs(600) },
        ..HostRules::default()
    }
}

fn rules() -> Result<Rules> {
    let plenty = Some(Budget { count: PLENTY, per: Duration::from_secs(3600) });
    Ok(Rules {
        mode: Mode::Auto,
        grant: vec![Pattern::parse("service.restart:service-*").map_err(|error| anyhow::anyhow!("{error}"))?],
        budget: plenty,
        budget_per_target: plenty,
        backoff: Backoff { initial: Duration::from_millis(1), ..Backoff::default() },
        ..Rules::default()
    })
}

pub(super) fn fault(number: usize) -> Fault {
    let target = format!("service-{number:06}.service");
    let summary = format!("{target} is failed: its main process was ended by signal 9");
    Fault { kind: "service.down".into(), target, severity: Severity::Error, summary, evidence: vec![] }
}

fn cause() -> Cause {
    Cause { summary: "signal 9 ended it".into(), path: vec![], confidence: 0.7, evidence: vec![] }
}

fn plan(target: &str) -> Recovery {
    let action = Action { kind: "service.restart".into(), target: target.to_owned(), parameters: vec![] };
    Recovery::Act(Plan { actions: vec![action], settle: Duration::ZERO, deadline: Duration::from_secs(10) })
}
