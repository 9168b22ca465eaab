//! The actor of an instance: the one task that calls it, with signals from its mailbox and questions from the incident
//! engine. A trap costs the instance, never the actor: it makes a new one, after a while; and where that happens too often,
//! none any more, until a person says so or another actor takes its place.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::{JoinHandle, block_in_place};
use tokio::time::Instant;

use super::allowance::{Allowance, thread_cpu};
use super::instance::{CallError, Instance};
use super::limits::Limits;
use super::quarantine::Quarantines;
use super::rhythm::Rhythm;
use super::supervisor::{Sentence, Supervisor};
use super::view::{Board, InstanceState};
use crate::clock::{Clock, Timestamp};
use crate::config::{Rules, Supervision};
use crate::incident::{Finding, Input, Quarantine, Question, Reply, Topic, Verdict};
use crate::signal::{Batch, Mailbox, Router, Subscription};

/// So many strikes in a row, and a person is told.
const AILING: u32 = 3;

/// Makes a fresh instance of the same plugin under the same policy, configured.
pub(super) type Build = Arc<dyn Fn() -> Result<(Instance, Subscription), String> + Send + Sync>;

/// Who an actor is and what it works with.
pub(super) struct Setup {
    pub policy: Arc<str>,
    pub plugin: Arc<str>,
    pub rules: Arc<Rules>,
    pub basis: Arc<str>,
    pub digest: Arc<str>,
    pub build: Build,
    pub router: Arc<Router>,
    pub clock: Arc<dyn Clock>,
    pub engine: mpsc::Sender<Input>,
    pub limits: Limits,
    pub supervision: Supervision,
    pub quarantines: Arc<Quarantines>,
    /// Held by whoever's calls take long.
    pub heavy: Arc<Semaphore>,
}

/// What an actor begins with.
pub(super) enum Start {
    /// Its first instance.
    Running(Box<Instance>, Subscription),
    /// None: it failed too often before.
    Quarantined(Quarantine),
}

/// What an actor is told.
#[derive(Debug)]
pub(super) enum Message {
    /// A question to the plugin.
    Question(Box<Question>),
    /// Its quarantine is over.
    Release,
}

/// A running actor, from outside.
#[derive(Debug)]
pub(super) struct Handle {
    pub basis: Arc<str>,
    pub board: Arc<Board>,
    door: mpsc::UnboundedSender<Message>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Handle {
    /// Starts an actor.
    pub(super) fn start(setup: Setup, start: Start) -> Self {
        let board = Board::new(setup.clock.now().wall);
        let (door, inbox) = mpsc::unbounded_channel();
        let (stop, stopped) = oneshot::channel();
        let actor = Actor {
            mailbox: Arc::new(Mailbox::default()),
            board: board.clone(),
            undecided: Vec::new(),
            supervisor: Supervisor::new(setup.supervision),
            allowance: Allowance::new(setup.limits.cpu_share, setup.clock.now().mono),
            is_held_back: false,
            has_told: false,
            setup,
            inbox,
            stopped,
        };
        let basis = actor.setup.basis.clone();
        let task = tokio::spawn(actor.live(start));
        Self { basis, board, door, stop, task }
    }

    /// Where messages go. There is at most one open question for each open incident, which bounds the queue.
    pub(super) fn door(&self) -> mpsc::UnboundedSender<Message> {
        self.door.clone()
    }

    /// Ends the actor after the call under way.
    pub(super) async fn stop(self) {
        self.board.update(|board| board.state = InstanceState::Unloading);
        // An error means that it has ended already.
        let _ = self.stop.send(());
        let _ = self.task.await;
    }
}

struct Actor {
    setup: Setup,
    mailbox: Arc<Mailbox>,
    board: Arc<Board>,
    /// Verify questions the plugin has not decided yet.
    undecided: Vec<Question>,
    supervisor: Supervisor,
    allowance: Allowance,
    /// Whether it had to wait for CPU time of its own, and that was told.
    is_held_back: bool,
    /// Whether a person was told that it fails again and again.
    has_told: bool,
    inbox: mpsc::UnboundedReceiver<Message>,
    stopped: oneshot::Receiver<()>,
}

/// What comes next in an actor's life.
enum Next {
    Serve(Box<Instance>, Subscription),
    /// The instance is lost, for this reason; another is made after this long.
    Wait(String, Duration),
    SitOut(Quarantine),
    Stop,
}

/// The actor is to stop.
struct Stopped;

/// A strike that ends an instance.
struct Struck {
    reason: String,
    sentence: Sentence,
}

impl Actor {
    async fn live(mut self, start: Start) {
        let mut next = match start {
            Start::Running(instance, subscription) => Next::Serve(instance, subscription),
            Start::Quarantined(quarantine) => Next::SitOut(quarantine),
        };
        loop {
            next = match next {
                Next::Serve(instance, subscription) => self.serve(instance, subscription).await,
                Next::Wait(reason, wait) => self.wait_out(reason, wait).await,
                Next::SitOut(quarantine) => self.sit_out(quarantine).await,
                Next::Stop => break,
            };
        }
    }

    /// Tells the world that an instance is up. The engine hears of it first: a fault found in the very first batch must find
    /// its policy known.
    async fn arrive(&mut self, subscription: &Subscription) {
        let Setup { policy, plugin, rules, basis, digest, limits, .. } = &self.setup;
        let (policy, plugin, rules) = (policy.clone(), plugin.clone(), rules.clone());
        let (basis, digest) = (basis.clone(), digest.clone());
        self.mailbox = Arc::new(Mailbox::bounded(limits.mailbox_readings, limits.mailbox_events));
        self.undecided.clear();
        self.tell(Input::Arrived { policy: policy.clone(), plugin, rules, basis, digest }).await;
        self.setup.router.subscribe(policy, subscription.clone(), self.mailbox.clone());
        self.stands(InstanceState::Running);
    }

    /// Calls an instance until it is not called any more. A store that trapped is never entered again.
    async fn serve(&mut self, mut instance: Box<Instance>, subscription: Subscription) -> Next {
        self.arrive(&subscription).await;
        let struck = self.calls(&mut instance, &subscription).await;
        self.setup.router.unsubscribe(&self.setup.policy);
        match struck {
            Some(struck) => self.sentenced(struck).await,
            None => Next::Stop,
        }
    }

    /// None if the actor is to stop.
    async fn calls(&mut self, instance: &mut Instance, subscription: &Subscription) -> Option<Struck> {
        let mailbox = self.mailbox.clone();
        let started = Instant::now();
        let mut rhythm = Rhythm::new(subscription.every, started);
        loop {
            let now = self.setup.clock.now().mono;
            if self.supervisor.is_healthy(now) {
                let strikes = self.supervisor.count();
                self.board.update(|board| board.strikes = strikes);
                self.recovered().await;
            }
            let healthy = self.supervisor.healthy_at().map(|at| Instant::now() + at.saturating_sub(now));
            let next = rhythm.next(!self.undecided.is_empty());
            let question = tokio::select! {
                biased;
                _ = &mut self.stopped => return None,
                () = mailbox.ring() => None,
                message = self.inbox.recv() => match message {
                    Some(Message::Question(question)) => Some(*question),
                    Some(Message::Release) => continue,
                    None => return None,
                },
                () = sleep_until([next, healthy].into_iter().flatten().min()) => None,
            };
            let Ok(_turn) = self.turn().await else { return None };
            let is_due = rhythm.call(Instant::now());
            // What is new goes first, so that a question is answered on the latest knowledge.
            let now = self.setup.clock.now().wall;
            let batch = mailbox.take(now).or_else(|| is_due.then(|| Batch { at: now, ..Batch::default() }));
            if let Some(batch) = batch {
                rhythm.detected();
                if let Err(struck) = self.detect(instance, batch).await {
                    self.refuse(question, &struck.reason).await;
                    return Some(struck);
                }
            }
            let mut questions = std::mem::take(&mut self.undecided);
            questions.extend(question);
            let mut questions = questions.into_iter();
            while let Some(question) = questions.next() {
                if let Err(struck) = self.answer(instance, question).await {
                    for question in questions {
                        self.refuse(Some(question), &struck.reason).await;
                    }
                    return Some(struck);
                }
            }
        }
    }

    async fn detect(&mut self, instance: &mut Instance, batch: Batch) -> Result<(), Struck> {
        let dropped = batch.dropped;
        let seen = Seen::of(&batch);
        let findings = self.call(|| instance.detect(batch))?;
        if dropped > 0 {
            self.board.update(|board| board.dropped += dropped);
            tracing::warn!(policy = &*self.setup.policy, dropped, "signals dropped: more came than the plugin took");
        }
        let findings = findings.unwrap_or_default();
        self.board.note(&findings);
        let findings = findings.into_iter().map(|finding| {
            let at = seen.at(&finding);
            (finding, at)
        });
        self.found(findings.collect()).await;
        Ok(())
    }

    async fn found(&mut self, findings: Vec<(Finding, Timestamp)>) {
        if !findings.is_empty() {
            self.tell(Input::Found { policy: self.setup.policy.clone(), findings }).await;
        }
    }

    async fn answer(&mut self, instance: &mut Instance, question: Question) -> Result<(), Struck> {
        let at = self.setup.clock.now().wall;
        let (id, turn, topic) = (question.incident.id.clone(), question.turn, question.topic);
        // A later question about the same incident makes an undecided one void.
        self.undecided.retain(|earlier| earlier.incident.id != id);
        let incident = question.incident.clone();
        let result = match topic {
            Topic::Diagnose => self.call(|| instance.diagnose(incident, at)).map(|answer| answer.map(Reply::Causes)),
            Topic::Recover => self.call(|| instance.recover(incident, at)).map(|answer| answer.map(Reply::Recovery)),
            Topic::Verify => self.call(|| instance.verify(incident, at)).map(|answer| answer.map(Reply::Verdict)),
        };
        let (reply, end) = match result {
            Ok(Ok(Reply::Verdict(Verdict::Undecided))) => {
                self.undecided.push(question);
                return Ok(());
            }
            Ok(answer) => (answer, Ok(())),
            Err(struck) => (Err(struck.reason.clone()), Err(struck)),
        };
        self.tell(Input::Answered { incident: id, turn, reply }).await;
        end
    }

    /// Answers a question with the reason why there is no answer.
    async fn refuse(&self, question: Option<Question>, reason: &str) {
        let Some(question) = question else { return };
        let reply = Err(format!("the plugin is down: {reason}"));
        self.tell(Input::Answered { incident: question.incident.id, turn: question.turn, reply }).await;
    }

    /// Calls the guest on this thread; tokio moves its other tasks elsewhere meanwhile. The outer error ends the instance,
    /// the inner one is an answer that cannot be accepted: a strike as well, but the instance is as good as before.
    fn call<T>(&mut self, call: impl FnOnce() -> Result<T, CallError>) -> Result<Result<T, String>, Struck> {
        let result = self.spend(call);
        self.board.update(|board| board.calls += 1);
        let error = match result {
            Ok(answer) => return Ok(Ok(answer)),
            Err(error) => error,
        };
        let (is_trap, reason) = (matches!(error, CallError::Trapped { .. }), error.to_string());
        let sentence = self.strike(&reason);
        if is_trap {
            self.board.update(|board| board.traps += 1);
        }
        if is_trap || sentence == Sentence::Quarantine {
            return Err(Struck { reason, sentence });
        }
        tracing::warn!(policy = &*self.setup.policy, "{reason}");
        Ok(Err(reason))
    }

    /// Waits until it is this plugin's turn to take CPU time; those whose calls are short or seldom do not wait. The permit is
    /// held during the calls. The error is that the actor is to stop.
    async fn turn(&mut self) -> Result<Option<OwnedSemaphorePermit>, Stopped> {
        let now = self.setup.clock.now().mono;
        if let Some(wait) = self.allowance.wait(now) {
            self.hold_back();
            tokio::select! {
                biased;
                _ = &mut self.stopped => return Err(Stopped),
                () = tokio::time::sleep(wait) => {}
            }
        } else if self.allowance.is_full() {
            self.is_held_back = false;
        }
        if !self.allowance.is_heavy() && self.supervisor.streak() == 0 {
            return Ok(None);
        }
        tokio::select! {
            biased;
            _ = &mut self.stopped => Err(Stopped),
            permit = self.setup.heavy.clone().acquire_owned() => Ok(permit.ok()),
        }
    }

    fn hold_back(&mut self) {
        if !std::mem::replace(&mut self.is_held_back, true) {
            let percent = self.setup.limits.cpu_share;
            let reason = format!("used more than {percent} % of a core and is called later (`cpu-share` in [limits])");
            tracing::warn!(policy = &*self.setup.policy, sha256 = &*self.setup.digest, "{reason}");
            self.board.update(|board| board.last_error = Some(reason));
        }
    }

    /// Runs the plugin on this thread, and takes note of what that costs.
    fn spend<T>(&mut self, run: impl FnOnce() -> T) -> T {
        let (result, used) = block_in_place(|| {
            let before = thread_cpu();
            let result = run();
            (result, thread_cpu().saturating_sub(before))
        });
        self.allowance.spend(used, self.setup.clock.now().mono);
        result
    }

    fn strike(&mut self, reason: &str) -> Sentence {
        let sentence = self.supervisor.strike(self.setup.clock.now().mono, chance());
        let strikes = self.supervisor.count();
        self.board.update(|board| (board.strikes, board.last_error) = (strikes, Some(reason.to_owned())));
        sentence
    }

    async fn sentenced(&mut self, Struck { reason, sentence }: Struck) -> Next {
        match sentence {
            Sentence::Again(wait) => {
                if self.supervisor.streak() >= AILING && !self.has_told {
                    self.has_told = true;
                    let (policy, trouble) = (self.setup.policy.clone(), Some(reason.clone()));
                    self.tell(Input::Ailing { policy, trouble }).await;
                }
                Next::Wait(reason, wait)
            }
            Sentence::Quarantine => {
                let strikes = self.setup.supervision.strikes;
                let (count, per) = (strikes.count, humantime::format_duration(strikes.per));
                let plural = if count == 1 { "strike" } else { "strikes" };
                Next::SitOut(Quarantine {
                    policy: self.setup.policy.to_string(),
                    plugin: self.setup.plugin.to_string(),
                    basis: self.setup.basis.to_string(),
                    digest: self.setup.digest.to_string(),
                    since: self.setup.clock.now().wall,
                    reason: format!("{count} {plural} within {per}, the last: {reason}"),
                })
            }
        }
    }

    /// Waits, and makes a new instance.
    async fn wait_out(&mut self, reason: String, wait: Duration) -> Next {
        let (policy, sha256, wait_s) = (&*self.setup.policy, &*self.setup.digest, wait.as_secs_f64());
        tracing::error!(policy, sha256, "plugin stopped, again in {wait_s:.1} s: {reason}");
        self.stands(InstanceState::Backoff);
        let until = Instant::now() + wait;
        loop {
            tokio::select! {
                biased;
                _ = &mut self.stopped => return Next::Stop,
                () = tokio::time::sleep_until(until) => break,
                message = self.inbox.recv() => match message {
                    Some(Message::Question(question)) => self.refuse(Some(*question), &reason).await,
                    Some(Message::Release) => {}
                    None => return Next::Stop,
                }
            }
        }
        self.make().await
    }

    /// Calls nothing of the plugin until somebody says so.
    async fn sit_out(&mut self, quarantine: Quarantine) -> Next {
        let reason = format!("it is quarantined: {}", quarantine.reason);
        let since = quarantine.since;
        self.board.update(|board| {
            (board.state, board.since) = (InstanceState::Quarantined, since);
            board.last_error = Some(quarantine.reason.clone());
        });
        self.has_told = false;
        self.setup.quarantines.begin(quarantine.clone());
        let (plugin, rules) = (self.setup.plugin.clone(), self.setup.rules.clone());
        self.tell(Input::Quarantined { plugin, rules, quarantine }).await;
        loop {
            tokio::select! {
                biased;
                _ = &mut self.stopped => return Next::Stop,
                message = self.inbox.recv() => match message {
                    Some(Message::Question(question)) => self.refuse(Some(*question), &reason).await,
                    Some(Message::Release) => break,
                    None => return Next::Stop,
                }
            }
        }
        self.supervisor.forgive();
        self.board.update(|board| (board.strikes, board.last_error) = (0, None));
        self.make().await
    }

    /// Makes a new instance.
    async fn make(&mut self) -> Next {
        self.stands(InstanceState::Loading);
        let Ok(_turn) = self.turn().await else { return Next::Stop };
        let build = self.setup.build.clone();
        match self.spend(|| build()) {
            Ok((instance, subscription)) => Next::Serve(Box::new(instance), subscription),
            Err(reason) => {
                let sentence = self.strike(&reason);
                self.sentenced(Struck { reason, sentence }).await
            }
        }
    }

    /// It has run for long enough to count as well.
    async fn recovered(&mut self) {
        if std::mem::take(&mut self.has_told) {
            self.tell(Input::Ailing { policy: self.setup.policy.clone(), trouble: None }).await;
        }
    }

    fn stands(&self, state: InstanceState) {
        let since = self.setup.clock.now().wall;
        // One that is being stopped does not come back.
        self.board.update(|board| {
            if board.state != InstanceState::Unloading {
                (board.state, board.since) = (state, since);
            }
        });
    }

    async fn tell(&self, input: Input) {
        // The engine is gone only when the agent ends.
        let _ = self.setup.engine.send(input).await;
    }
}

/// When the host saw what a batch tells of: the time a finding in it is counted from.
struct Seen {
    events: Vec<(String, Timestamp)>,
    batch: Timestamp,
}

impl Seen {
    fn of(batch: &Batch) -> Self {
        Self { events: batch.events.iter().map(|event| (event.subject.clone(), event.at)).collect(), batch: batch.at }
    }

    /// The last event about the finding's target; the batch itself where there is none.
    fn at(&self, finding: &Finding) -> Timestamp {
        let Finding::Present(fault) = finding else { return self.batch };
        let about = self.events.iter().rev().find(|(subject, _)| *subject == fault.target);
        about.map_or(self.batch, |(_, at)| *at)
    }
}

/// A number from 0 to 1, another each time.
fn chance() -> f64 {
    RandomState::new().build_hasher().finish() as f64 / u64::MAX as f64
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
