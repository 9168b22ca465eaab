//! A canary: a new version of a plugin beside the one that runs. It gets the same signals and the same questions; what it
//! decides is counted and compared, and nothing is done about it. What it writes into `state` is forgotten.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::block_in_place;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::actor::Message;
use super::instance::{CallError, Instance};
use super::limits::Limits;
use super::rhythm::Rhythm;
use super::view::Board;
use crate::clock::Clock;
use crate::config::Upgrade;
use crate::incident::{Finding, Question, Topic};
use crate::signal::{Batch, Mailbox, Router, Subscription};

/// A fault: its kind and target.
pub(super) type Key = (String, String);

/// What a canary works with.
pub(super) struct Setup {
    pub policy: Arc<str>,
    /// The name that it listens under: no policy's, and of this trial alone.
    pub listener: Arc<str>,
    pub router: Arc<Router>,
    pub clock: Arc<dyn Clock>,
    pub limits: Limits,
    pub upgrade: Upgrade,
    /// Of the version that runs.
    pub board: Arc<Board>,
    /// What the version that runs is asked.
    pub questions: mpsc::UnboundedReceiver<Message>,
    /// Held by whoever's calls take long, which is not known of a canary.
    pub heavy: Arc<Semaphore>,
}

/// What became of a trial that went well.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Passed {
    /// Calls of `detect`.
    pub batches: u32,
    /// Questions it answered.
    pub answers: u32,
    /// Faults it says are there.
    pub faults: usize,
}

/// Its subscription, which ends with the trial however that ends.
struct Listening<'a> {
    router: &'a Router,
    name: Arc<str>,
}

impl Drop for Listening<'_> {
    fn drop(&mut self) {
        self.router.unsubscribe(&self.name);
    }
}

/// Tries a new version for as long as an upgrade says. The error is why it must not take over.
pub(super) async fn run(
    mut setup: Setup,
    mut instance: Instance,
    subscription: Subscription,
) -> Result<Passed, String> {
    let mailbox = Arc::new(Mailbox::bounded(setup.limits.mailbox_readings, setup.limits.mailbox_events));
    let name = setup.listener.clone();
    let mut rhythm = Rhythm::new(subscription.every, Instant::now());
    setup.router.subscribe(name.clone(), subscription, mailbox.clone());
    let router = setup.router.clone();
    let _listening = Listening { router: &router, name };
    let end = Instant::now() + setup.upgrade.shadow;
    let (mut passed, mut view) = (Passed::default(), View::default());
    while passed.batches < setup.upgrade.batches {
        let due = rhythm.next(false).unwrap_or(end);
        let question = tokio::select! {
            biased;
            () = sleep_until(end) => break,
            Some(message) = setup.questions.recv() => match message {
                Message::Question(question) => Some(*question),
                Message::Release => None,
            },
            () = mailbox.ring() => None,
            () = sleep_until(due) => None,
        };
        let Ok(turn) = timeout_at(end, setup.heavy.clone().acquire_owned()).await else { break };
        let is_due = rhythm.call(Instant::now());
        let now = setup.clock.now().wall;
        let batch = mailbox.take(now).or_else(|| is_due.then(|| Batch { at: now, ..Batch::default() }));
        if let Some(batch) = batch {
            rhythm.detected();
            let findings = block_in_place(|| instance.detect(batch)).map_err(failed)?;
            passed.batches += 1;
            findings.into_iter().for_each(|finding| view.take(finding));
        }
        if let Some(question) = question {
            block_in_place(|| answer(&mut instance, question, &setup)).map_err(failed)?;
            passed.answers += 1;
        }
        drop(turn);
    }
    passed.faults = view.present.len();
    let running = setup.board.present();
    let differences = view.differences(&running);
    match differences.first() {
        Some((kind, target)) if differences.len() > setup.upgrade.differences => Err(format!(
            "it contradicts the version that runs about {} faults, {kind} of {target} for one; at most {} are allowed \
             ([agent.upgrade] differences)",
            differences.len(),
            setup.upgrade.differences
        )),
        _ => Ok(passed),
    }
}

fn failed(error: CallError) -> String {
    error.to_string()
}

/// Has it answer, and says what it would do.
fn answer(instance: &mut Instance, question: Question, setup: &Setup) -> Result<(), CallError> {
    let (at, id) = (setup.clock.now().wall, question.incident.id.clone());
    let decision = match question.topic {
        Topic::Diagnose => format!("{:?}", instance.diagnose(question.incident, at)?),
        Topic::Recover => format!("{:?}", instance.recover(question.incident, at)?),
        Topic::Verify => format!("{:?}", instance.verify(question.incident, at)?),
    };
    let decision: String = decision.chars().take(500).collect();
    tracing::info!(policy = &*setup.policy, incident = &*id, "the canary would decide: {decision}");
    Ok(())
}

/// What a version says of faults.
#[derive(Debug, Default)]
struct View {
    present: BTreeSet<Key>,
    cleared: BTreeSet<Key>,
}

impl View {
    fn take(&mut self, finding: Finding) {
        match finding {
            Finding::Present(fault) => {
                let key = (fault.kind, fault.target);
                self.cleared.remove(&key);
                self.present.insert(key);
            }
            Finding::Cleared { kind, target } => {
                let key = (kind, target);
                self.present.remove(&key);
                self.cleared.insert(key);
            }
        }
    }

    /// Faults that only this version sees, and those it says are gone that the other sees. One that it does not speak of is no
    /// difference: it may need longer than the trial to be sure.
    fn differences(&self, running: &BTreeSet<Key>) -> Vec<Key> {
        let more = self.present.difference(running);
        more.chain(self.cleared.intersection(running)).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::{Fault, Severity};

    fn present(target: &str) -> Finding {
        Finding::Present(Fault {
            kind: "service.failed".into(),
            target: target.into(),
            severity: Severity::Error,
            summary: String::new(),
            evidence: vec![],
        })
    }

    fn cleared(target: &str) -> Finding {
        Finding::Cleared { kind: "service.failed".into(), target: target.into() }
    }

    #[test]
    fn what_only_one_sees_and_what_one_denies_are_differences() {
        let running = ["web", "db"].map(|target| ("service.failed".to_owned(), target.to_owned())).into();
        let differences = |findings: Vec<Finding>| {
            let mut view = View::default();
            findings.into_iter().for_each(|finding| view.take(finding));
            view.differences(&running).into_iter().map(|(_, target)| target).collect::<Vec<_>>()
        };
        assert!(differences(vec![]).is_empty());
        assert!(differences(vec![present("web"), present("db")]).is_empty());
        assert_eq!(differences(vec![present("web"), present("mail")]), ["mail"]);
        assert_eq!(differences(vec![cleared("db"), cleared("other")]), ["db"]);
        assert_eq!(differences(vec![present("mail"), cleared("mail"), cleared("db"), present("db")]), [""; 0]);
    }
}
