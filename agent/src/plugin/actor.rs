//! The actor of an instance: the one task that calls it, with signals from its mailbox and questions from the incident
//! engine. A trap costs the instance, never the actor: it makes a new one, after a while.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, block_in_place};
use tokio::time::Instant;

use super::instance::{CallError, Instance};
use super::limits;
use super::view::{Board, InstanceState};
use crate::clock::{Clock, Timestamp};
use crate::config::Rules;
use crate::incident::{Finding, Input, Question, Reply, Topic, Verdict};
use crate::signal::{Batch, Mailbox, Router, Subscription};

/// How often an undecided `verify` is asked again when nothing new arrives.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// So many traps in a row, and a person is told.
const AILING: u32 = 3;

/// Makes a fresh instance of the same plugin under the same policy, configured.
pub(super) type Build = Box<dyn Fn() -> Result<(Instance, Subscription), String> + Send + Sync>;

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
}

/// A running actor, from outside.
#[derive(Debug)]
pub(super) struct Handle {
    pub basis: Arc<str>,
    pub board: Arc<Board>,
    questions: mpsc::UnboundedSender<Question>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Handle {
    /// Starts an actor with its first instance.
    pub(super) fn start(setup: Setup, instance: Instance, subscription: Subscription) -> Self {
        let board = Board::new(setup.clock.now().wall);
        let (questions, inbox) = mpsc::unbounded_channel();
        let (stop, stopped) = oneshot::channel();
        let actor = Actor {
            mailbox: Arc::new(Mailbox::default()),
            board: board.clone(),
            undecided: Vec::new(),
            traps_in_a_row: 0,
            setup,
        };
        let basis = actor.setup.basis.clone();
        let task = tokio::spawn(actor.live(instance, subscription, inbox, stopped));
        Self { basis, board, questions, stop, task }
    }

    /// Where questions go. There is at most one open question for each open incident, which bounds the queue.
    pub(super) fn questions(&self) -> mpsc::UnboundedSender<Question> {
        self.questions.clone()
    }

    /// Ends the actor after the call under way.
    pub(super) async fn stop(self) {
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
    traps_in_a_row: u32,
}

/// Why an instance is not called any more.
enum End {
    /// The actor was told to stop.
    Stopped,
    /// It trapped.
    Trapped(CallError),
}

impl Actor {
    async fn live(
        mut self,
        mut instance: Instance,
        mut subscription: Subscription,
        mut inbox: mpsc::UnboundedReceiver<Question>,
        mut stopped: oneshot::Receiver<()>,
    ) {
        loop {
            self.arrive(&subscription).await;
            let End::Trapped(error) = self.serve(&mut instance, &subscription, &mut inbox, &mut stopped).await else {
                break;
            };
            self.setup.router.unsubscribe(&self.setup.policy);
            // A store that trapped is never entered again.
            drop(instance);
            match self.rebuild(error, &mut inbox, &mut stopped).await {
                Some(fresh) => (instance, subscription) = fresh,
                None => break,
            }
        }
        self.setup.router.unsubscribe(&self.setup.policy);
    }

    /// Tells the world that an instance is up. The engine hears of it first: a fault found in the very first batch must find
    /// its policy known.
    async fn arrive(&mut self, subscription: &Subscription) {
        let Setup { policy, plugin, rules, basis, digest, .. } = &self.setup;
        let (policy, plugin, rules) = (policy.clone(), plugin.clone(), rules.clone());
        let (basis, digest) = (basis.clone(), digest.clone());
        self.mailbox = Arc::new(Mailbox::default());
        self.undecided.clear();
        self.tell(Input::Arrived { policy: policy.clone(), plugin, rules, basis, digest }).await;
        self.setup.router.subscribe(policy, subscription.clone(), self.mailbox.clone());
    }

    async fn serve(
        &mut self,
        instance: &mut Instance,
        subscription: &Subscription,
        inbox: &mut mpsc::UnboundedReceiver<Question>,
        stopped: &mut oneshot::Receiver<()>,
    ) -> End {
        let mailbox = self.mailbox.clone();
        let started = Instant::now();
        let (mut last_call, mut last_detect) = (started, started);
        loop {
            if self.traps_in_a_row > 0 && started.elapsed() >= Duration::from_secs(600) {
                self.recovered().await;
            }
            let due = subscription.every.map(|every| last_detect + every);
            let again = (!self.undecided.is_empty()).then(|| last_call + ASK_AGAIN);
            let question = tokio::select! {
                biased;
                _ = &mut *stopped => return End::Stopped,
                () = mailbox.ring() => None,
                question = inbox.recv() => match question {
                    Some(question) => Some(question),
                    None => return End::Stopped,
                },
                () = sleep_until(earliest(due, again)) => None,
            };
            last_call = Instant::now();
            // What is new goes first, so that a question is answered on the latest knowledge.
            let now = self.setup.clock.now().wall;
            let is_due = due.is_some_and(|due| due <= last_call);
            let batch = mailbox.take(now).or_else(|| is_due.then(|| Batch { at: now, ..Batch::default() }));
            if let Some(batch) = batch {
                // Questions do not count: an undecided `verify` is asked each second, and would put off this for ever.
                last_detect = last_call;
                if let Err(error) = self.detect(instance, batch).await {
                    return End::Trapped(error);
                }
            }
            let mut questions = std::mem::take(&mut self.undecided);
            questions.extend(question);
            for question in questions {
                if let Err(error) = self.answer(instance, question).await {
                    return End::Trapped(error);
                }
            }
        }
    }

    async fn detect(&mut self, instance: &mut Instance, batch: Batch) -> Result<(), CallError> {
        let dropped = batch.dropped;
        let seen = Seen::of(&batch);
        let findings = self.call(|| instance.detect(batch))?;
        if dropped > 0 {
            self.board.update(|board| board.dropped += dropped);
            tracing::warn!(policy = &*self.setup.policy, dropped, "signals dropped: more came than the plugin took");
        }
        let findings = findings.unwrap_or_default().into_iter().map(|finding| {
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

    async fn answer(&mut self, instance: &mut Instance, question: Question) -> Result<(), CallError> {
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
            Ok(answer) => (answer.map_err(|error| error.to_string()), Ok(())),
            Err(trap) => (Err(trap.to_string()), Err(trap)),
        };
        self.tell(Input::Answered { incident: id, turn, reply }).await;
        end
    }

    /// Calls the guest on this thread; tokio moves its other tasks elsewhere meanwhile. The outer error is a trap, the inner
    /// one an answer that cannot be accepted, which leaves the instance alive.
    fn call<T>(&self, call: impl FnOnce() -> Result<T, CallError>) -> Result<Result<T, CallError>, CallError> {
        let result = block_in_place(call);
        self.board.update(|board| {
            board.calls += 1;
            if let Err(error) = &result {
                board.last_error = Some(error.to_string());
            }
        });
        match result {
            Err(error @ CallError::Trapped { .. }) => Err(error),
            Err(error) => {
                tracing::warn!(policy = &*self.setup.policy, "{error}");
                Ok(Err(error))
            }
            Ok(answer) => Ok(Ok(answer)),
        }
    }

    /// Waits, longer with each trap in a row, and makes a new instance; none if the actor is to stop.
    async fn rebuild(
        &mut self,
        error: CallError,
        inbox: &mut mpsc::UnboundedReceiver<Question>,
        stopped: &mut oneshot::Receiver<()>,
    ) -> Option<(Instance, Subscription)> {
        let mut reason = error.to_string();
        loop {
            let wait = backoff(self.traps_in_a_row);
            self.traps_in_a_row = self.traps_in_a_row.saturating_add(1);
            let since = self.setup.clock.now().wall;
            tracing::error!(
                policy = &*self.setup.policy,
                "plugin stopped, again in {} s: {reason}",
                wait.as_secs_f64()
            );
            if self.traps_in_a_row == AILING {
                let (policy, trouble) = (self.setup.policy.clone(), Some(reason.clone()));
                self.tell(Input::Ailing { policy, trouble }).await;
            }
            self.board.update(|board| {
                board.traps += 1;
                (board.state, board.since, board.last_error) = (InstanceState::Backoff, since, Some(reason.clone()));
            });
            let until = Instant::now() + wait;
            loop {
                tokio::select! {
                    biased;
                    _ = &mut *stopped => return None,
                    () = tokio::time::sleep_until(until) => break,
                    question = inbox.recv() => {
                        let question = question?;
                        let reply = Err(format!("the plugin is down: {reason}"));
                        self.tell(Input::Answered { incident: question.incident.id, turn: question.turn, reply }).await;
                    }
                }
            }
            match block_in_place(&self.setup.build) {
                Ok(fresh) => {
                    let since = self.setup.clock.now().wall;
                    self.board.update(|board| (board.state, board.since) = (InstanceState::Running, since));
                    return Some(fresh);
                }
                Err(error) => reason = error,
            }
        }
    }

    /// It has run for long enough to count as well.
    async fn recovered(&mut self) {
        if std::mem::take(&mut self.traps_in_a_row) >= AILING {
            self.tell(Input::Ailing { policy: self.setup.policy.clone(), trouble: None }).await;
        }
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

/// `RESTART_INITIAL * 2 ^ traps`, capped.
fn backoff(traps_in_a_row: u32) -> Duration {
    Duration::from_secs(1).saturating_mul(1 << traps_in_a_row.min(16)).min(Duration::from_secs(300))
}

fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    [a, b].into_iter().flatten().min()
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_a_cap() {
        let waits: Vec<u64> = [0, 1, 2, 8, 9, 40].map(|traps| backoff(traps).as_secs()).into();
        assert_eq!(waits, [1, 2, 4, 256, 300, 300]);
    }
}
