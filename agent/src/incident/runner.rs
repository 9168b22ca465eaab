//! The engine's task: takes inputs in, writes records down, and only then lets effects out.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::ledger::Ledger;
use super::{Effect, Engine, Input, Question, Record, State, Step};
use crate::action::actuator::Order;
use crate::clock::Clock;

/// Most inputs that go into one step, and so into one transaction.
const STEP: usize = 256;
/// How long to wait before the ledger is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Where effects go.
pub struct Doors {
    /// Hands a question to the instance of a policy.
    pub ask: Box<AskDoor>,
    /// Hands an order to the actuators.
    pub perform: Box<PerformDoor>,
}

/// Takes a question to the instance of a policy.
type AskDoor = dyn Fn(&str, Question) + Send;
/// Takes an order to the actuators.
type PerformDoor = dyn Fn(Order) + Send;

impl std::fmt::Debug for Doors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Doors")
    }
}

/// The engine, its ledger, and the doors for its effects.
#[derive(Debug)]
pub struct Runner {
    engine: Engine,
    ledger: Ledger,
    clock: Arc<dyn Clock>,
    inputs: mpsc::Receiver<Input>,
    doors: Doors,
    /// Why the ledger cannot be written at the moment.
    trouble: watch::Sender<Option<String>>,
}

impl Runner {
    /// Puts the parts together.
    pub fn new(
        engine: Engine,
        ledger: Ledger,
        clock: Arc<dyn Clock>,
        inputs: mpsc::Receiver<Input>,
        doors: Doors,
    ) -> Self {
        Self { engine, ledger, clock, inputs, doors, trouble: watch::Sender::new(None) }
    }

    /// Why the ledger cannot be written at the moment, if it cannot.
    pub fn trouble(&self) -> watch::Receiver<Option<String>> {
        self.trouble.subscribe()
    }

    /// Runs until every sender of inputs is gone. `first` is what the restored engine decided already.
    pub async fn run(mut self, first: Step) {
        self.carry_out(first).await;
        let mut inputs = Vec::with_capacity(STEP);
        loop {
            let wait = self.engine.next_due().map(|due| due.saturating_sub(self.clock.now().mono));
            tokio::select! {
                received = self.inputs.recv_many(&mut inputs, STEP) => if received == 0 { break },
                () = sleep(wait) => {}
            }
            let now = self.clock.now();
            let mut step = Step::default();
            for input in inputs.drain(..) {
                self.engine.handle(input, now, &mut step);
            }
            self.engine.tick(now, &mut step);
            self.carry_out(step).await;
        }
    }

    /// Records first. While they cannot be written nothing is done, and new inputs wait in their bounded queue.
    async fn carry_out(&mut self, step: Step) {
        while !step.records.is_empty() {
            match tokio::task::block_in_place(|| self.ledger.commit(&step.records)) {
                Ok(()) => {
                    if self.trouble.send_replace(None).is_some() {
                        tracing::info!("the ledger can be written again");
                    }
                    break;
                }
                Err(error) => {
                    tracing::error!(%error, "nothing is done until the ledger can be written");
                    self.trouble.send_replace(Some(error.to_string()));
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
        step.records.iter().for_each(tell);
        for effect in step.effects {
            match effect {
                Effect::Ask(policy, question) => (self.doors.ask)(&policy, *question),
                Effect::Perform(order) => (self.doors.perform)(order),
            }
        }
    }
}

async fn sleep(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}

/// The story as it happens, in the agent's log.
fn tell(record: &Record) {
    let incident = record.incident().unwrap_or_default();
    match record {
        Record::Opened(opened) => {
            tracing::warn!(incident, policy = opened.policy, "detected: {}", opened.fault.summary);
        }
        Record::Moved { to: State::Escalated, reason, .. } => tracing::error!(incident, "escalated: {reason}"),
        Record::Moved { to, reason, .. } => tracing::info!(incident, "{to}: {reason}"),
        Record::Done { outcome, .. } if outcome.ok => {
            let took = outcome.took.as_secs_f64() * 1e3;
            tracing::info!(incident, "{} took {took:.1} ms: {}", outcome.action, outcome.detail);
        }
        Record::Done { outcome, .. } => tracing::warn!(incident, "{} failed: {}", outcome.action, outcome.detail),
        Record::Held(hold) => tracing::warn!(by = hold.actor, "hold {}: {}", hold.id, hold.reason),
        Record::Released { hold, actor, .. } => tracing::info!(by = actor, "hold {hold} ended"),
        Record::Tripped(trip) => tracing::error!("the storm breaker opened: {}", trip.reason),
        Record::Closed { actor, .. } => tracing::warn!(by = actor, "the storm breaker is closed"),
        Record::Flapping { flapping: true, .. } => tracing::warn!(incident, "flapping"),
        Record::Raised { .. }
        | Record::Diagnosed { .. }
        | Record::Began { .. }
        | Record::Judged { .. }
        | Record::Pending { .. }
        | Record::Flapping { .. }
        | Record::Round { .. }
        | Record::Collected { .. }
        | Record::Notice(_) => {}
    }
}
