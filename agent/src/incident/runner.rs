//! The engine's task: takes inputs in, writes records down, and only then lets effects out.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::herald::Herald;
use super::ledger::Ledger;
use super::{About, Effect, Engine, Input, Question, Record, State, Step};
use crate::action::Outcome;
use crate::action::actuator::Order;
use crate::clock::Clock;
use crate::config::LedgerSettings;

/// Most inputs that go into one step.
const STEP: usize = 256;
/// How long records that nothing rests on may wait for company: one write for several is what makes recovery fast.
const LINGER: Duration = Duration::from_millis(10);
/// How long to wait before the ledger is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// Records that are kept while the ledger cannot be written; beyond them inputs wait, and detection with them.
const BACKLOG: usize = 20_000;
/// Old incidents leave so many at a time…
const PRUNE_STEP: u32 = 500;
/// …this long after the start, or after one another…
const PRUNE_SOON: Duration = Duration::from_secs(5);
/// …and are looked for this often.
const PRUNE_EVERY: Duration = Duration::from_secs(3600);
/// A plan that had to wait longer than this for the ledger is too old to be carried out.
const STALE: Duration = Duration::from_secs(10);

/// Where effects go.
pub struct Doors {
    /// Hands a question to the instance of a policy.
    pub ask: Box<AskDoor>,
    /// Lets the plugin of a policy go that was quarantined.
    pub release: Box<dyn Fn(&str) + Send>,
    /// Hands an order to the actuators.
    pub perform: Box<dyn Fn(Order) + Send>,
    /// What happens to these targets happens by itself again.
    pub settled: Box<SettledDoor>,
    /// The answer to a person's word, by its token.
    pub reply: Box<dyn Fn(u64, Result<String, String>) + Send>,
    /// There are new notices in the ledger.
    pub noticed: Box<dyn Fn() + Send>,
    /// An incident moved.
    pub moved: Box<dyn Fn(About, State) + Send>,
}

/// Takes a question to the instance of a policy.
type AskDoor = dyn Fn(&str, Question) + Send;
/// Takes targets whose plan is over.
type SettledDoor = dyn Fn(&[String]) + Send;

impl std::fmt::Debug for Doors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Doors")
    }
}

/// What is wrong with the ledger.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trouble {
    /// Why it cannot be written, if it cannot.
    pub unwritable: Option<String>,
    /// Whether it lives on the space that was kept back for a full disk.
    pub reserve_spent: bool,
}

impl Trouble {
    /// A sentence on each.
    pub fn sentences(&self) -> Vec<String> {
        let unwritable = self.unwritable.iter();
        let mut all: Vec<String> = unwritable
            .map(|error| {
                format!("nothing is done, but for `unrecorded` policies: the ledger cannot be written: {error}")
            })
            .collect();
        if self.reserve_spent {
            all.push(
                "the disk is full or nearly so: the ledger has no reserve; make space in the state directory"
                    .to_owned(),
            );
        }
        all
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
    /// What is decided and not yet in the ledger.
    records: Vec<Record>,
    /// What waits for that, and since when on the monotonic count.
    effects: Vec<(Duration, Effect)>,
    /// When the records are to be written at the latest.
    flush: Option<Duration>,
    /// What is wrong with the ledger at the moment.
    trouble: watch::Sender<Trouble>,
    /// Tells of moves.
    herald: Herald,
    /// How much the ledger keeps, and when to look at that again.
    keeping: Option<(LedgerSettings, Duration)>,
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
        let herald = Herald::knowing(engine.incidents());
        let trouble = Trouble { unwritable: None, reserve_spent: ledger.reserve_spent() };
        let trouble = watch::Sender::new(trouble);
        Self {
            engine,
            ledger,
            clock,
            inputs,
            doors,
            records: Vec::new(),
            effects: Vec::new(),
            flush: None,
            trouble,
            herald,
            keeping: None,
        }
    }

    /// Has the ledger keep so much, from a while after the start on.
    pub fn keeping(self, settings: LedgerSettings) -> Self {
        let first = self.clock.now().mono + PRUNE_SOON;
        Self { keeping: Some((settings, first)), ..self }
    }

    /// What is wrong with the ledger, as it changes.
    pub fn trouble(&self) -> watch::Receiver<Trouble> {
        self.trouble.subscribe()
    }

    /// Runs until every sender of inputs is gone. `first` is what the restored engine decided already.
    pub async fn run(mut self, first: Step) {
        let standing: Vec<(About, State)> =
            self.engine.incidents().map(|incident| (About::from(incident), incident.state)).collect();
        standing.into_iter().for_each(|(about, state)| (self.doors.moved)(about, state));
        self.take(first);
        let mut inputs = Vec::with_capacity(STEP);
        loop {
            let now = self.clock.now().mono;
            let prune = self.keeping.map(|(_, at)| at);
            let due = [self.engine.next_due(), self.flush, prune].into_iter().flatten().min();
            let wait = due.map(|due| due.saturating_sub(now));
            let has_room = self.records.len() < BACKLOG;
            tokio::select! {
                received = self.inputs.recv_many(&mut inputs, STEP), if has_room => if received == 0 { break },
                () = sleep(wait) => {}
            }
            let now = self.clock.now();
            let mut step = Step::default();
            for input in inputs.drain(..) {
                self.engine.handle(input, now, &mut step);
            }
            self.engine.tick(now, &mut step);
            self.take(step);
            self.prune();
        }
        self.write();
    }

    /// Takes in what the engine decided. What changes the host, or is told to persons, is written first; questions to
    /// plugins change nothing, and go at once.
    fn take(&mut self, step: Step) {
        let now = self.clock.now().mono;
        let urgent = step.is_urgent();
        for record in &step.records {
            tell(record);
            if let Some((about, state)) = self.herald.hear(record) {
                (self.doors.moved)(about, state);
            }
        }
        if !step.records.is_empty() {
            self.flush.get_or_insert(now + LINGER);
        }
        self.records.extend(step.records);
        for effect in step.effects {
            match effect {
                Effect::Ask(policy, question) => (self.doors.ask)(&policy, *question),
                effect => self.effects.push((now, effect)),
            }
        }
        let blocked = self.trouble.borrow().unwritable.is_some();
        if (urgent && !blocked) || self.flush.is_some_and(|at| at <= now) {
            self.write();
        }
    }

    /// Writes the records down and lets out what waited for that.
    fn write(&mut self) {
        let notices = self.records.iter().any(|record| matches!(record, Record::Notice(_)));
        let now = self.clock.now().mono;
        if !self.records.is_empty() {
            let written = tokio::task::block_in_place(|| self.ledger.commit_lenient(&self.records));
            for (place, error) in written.as_ref().into_iter().flatten() {
                let record = self.records.get(*place);
                tracing::error!(%error, ?record, "the ledger will never take this record; please report it");
            }
            if let Err(error) = written {
                if self.trouble.borrow().unwritable.is_none() {
                    tracing::error!(%error, "nothing is done until the ledger can be written, but for `unrecorded` policies");
                }
                self.report(Some(error.to_string()));
                self.flush = Some(now + RETRY);
                return self.unrecorded();
            }
            self.records.clear();
        }
        self.flush = None;
        let was_blocked = self.trouble.borrow().unwritable.is_some();
        self.report(None);
        if was_blocked {
            tracing::info!("the ledger can be written again");
        }
        let mut late = Vec::new();
        for (since, effect) in std::mem::take(&mut self.effects) {
            match effect {
                Effect::Perform(order) if now.saturating_sub(since) > STALE => late.push(order),
                effect => self.let_out(effect),
            }
        }
        if notices {
            (self.doors.noticed)();
        }
        for order in late {
            self.give_up(order);
        }
    }

    fn report(&self, unwritable: Option<String>) {
        let trouble = Trouble { unwritable, reserve_spent: self.ledger.reserve_spent() };
        self.trouble.send_if_modified(|current| std::mem::replace(current, trouble.clone()) != trouble);
    }

    /// Lets go of what the ledger need not keep any more, a little at a time.
    fn prune(&mut self) {
        let now = self.clock.now();
        let Some((settings, at)) = &mut self.keeping else { return };
        if *at > now.mono {
            return;
        }
        let pruned = tokio::task::block_in_place(|| {
            self.ledger.prune(now.wall, settings.keep, settings.max_incidents, PRUNE_STEP)
        });
        let more = match pruned {
            Ok(pruned) => pruned.more,
            Err(error) => {
                tracing::warn!(%error, "old incidents cannot be let go");
                false
            }
        };
        *at = now.mono + if more { PRUNE_SOON } else { PRUNE_EVERY };
    }

    /// While the ledger cannot be written only that is done which the operator wants done all the same.
    fn unrecorded(&mut self) {
        let (now, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.effects).into_iter().partition(|(_, effect)| match effect {
                Effect::Perform(order) => order.rules.unrecorded,
                Effect::Settled(_) => true,
                _ => false,
            });
        self.effects = later;
        now.into_iter().for_each(|(_, effect)| self.let_out(effect));
    }

    fn let_out(&self, effect: Effect) {
        match effect {
            Effect::Ask(policy, question) => (self.doors.ask)(&policy, *question),
            Effect::Perform(order) => (self.doors.perform)(order),
            Effect::Settled(targets) => (self.doors.settled)(&targets),
            Effect::Release(policy) => (self.doors.release)(&policy),
            Effect::Reply { token, answer } => (self.doors.reply)(token, answer),
        }
    }

    /// A plan that had to wait too long is not carried out: whether it is still wanted is looked at instead.
    fn give_up(&mut self, order: Order) {
        let now = self.clock.now();
        let mut step = Step::default();
        let (incident, attempt) = (order.incident, order.attempt);
        if let Some(action) = order.actions.into_iter().next() {
            let detail = "not begun: the ledger could not be written in time".to_owned();
            let outcome = Outcome { action, ok: false, detail, took: Duration::ZERO };
            self.engine.handle(Input::Done { incident: incident.clone(), attempt, outcome }, now, &mut step);
        }
        self.engine.handle(Input::Performed { incident, attempt }, now, &mut step);
        self.take(step);
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
        Record::Quarantined(it) => {
            let (policy, plugin, sha256) = (&it.policy, &it.plugin, &it.digest);
            tracing::error!(policy, plugin, sha256, "quarantined: {}", it.reason);
        }
        Record::Freed { policy, reason, actor, .. } => {
            tracing::warn!(policy, by = actor, "not quarantined any more: {reason}");
        }
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
