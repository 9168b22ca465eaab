//! The trial of a new version of a plugin, beside the one that runs.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::{AbortHandle, Id, JoinError, block_in_place};

use super::super::canary;
use super::super::loader::Loaded;
use super::super::versions::Rollback;
use super::{Fleet, Running, configured};
use crate::config::Policy;
use crate::incident::ledger::Quota;

/// A new version on trial.
pub(super) struct Canary {
    policy: Arc<Policy>,
    pub(super) loaded: Arc<Loaded>,
    pub(super) basis: Arc<str>,
    task: AbortHandle,
}

/// How a trial ended, and which one.
pub(super) type Ended = Result<(Id, Result<canary::Passed, String>), JoinError>;

/// Where the questions go that a policy's canary is asked as well; no policy has such a name.
pub(super) fn canary_of(policy: &str) -> String {
    format!("{policy}/canary")
}

impl Fleet {
    /// Whether other code is about to take the place of code that runs well.
    pub(super) fn is_worth_a_trial(&self, name: &str, policy: &Policy, loaded: &Loaded) -> bool {
        let Some(Running { handle, policy: before, loaded: running }) = self.instances.get(name) else { return false };
        let plugin = &before.plugin;
        let is_next = *plugin == policy.plugin && running.digest != loaded.digest;
        // What ran before is not tried again.
        let is_back = self.plugins.get(plugin).is_some_and(|source| source.is_rolled_back);
        is_next && !is_back && handle.board.read().is_running() && !self.parts.upgrade.shadow.is_zero()
    }

    /// Begins to try a new version beside the one that runs.
    pub(super) fn try_out(&mut self, name: &str, policy: Arc<Policy>, loaded: Arc<Loaded>, basis: Arc<str>) {
        let Some(Running { handle, .. }) = self.instances.get(name) else { return };
        let board = handle.board.clone();
        let mut interfaces = self.parts.interfaces.clone();
        let quota = Quota { keys: usize::MAX, value: usize::MAX, bytes: usize::MAX, ..Quota::default() };
        let draft = interfaces.state.clone().map(|state| block_in_place(|| state.draft(name, &quota))).transpose();
        let pinned = self.trust.check_pin(&policy, &loaded.digest);
        let built = pinned.and(draft).and_then(|draft| {
            interfaces.state = draft.map(Arc::new);
            let clock = self.parts.clock.as_ref();
            block_in_place(|| configured(&self.parts.sandbox, &policy, &loaded, interfaces, clock))
        });
        let (instance, subscription) = match built {
            Ok(built) => built,
            Err(problem) => return self.refuse(name, &policy, basis, problem),
        };
        self.last_trial += 1;
        let (door, questions) = mpsc::unbounded_channel();
        let setup = canary::Setup {
            policy: policy.name.clone(),
            listener: format!("{}-{}", canary_of(name), self.last_trial).into(),
            router: self.parts.router.clone(),
            clock: self.parts.clock.clone(),
            limits: policy.limits,
            upgrade: self.parts.upgrade,
            board,
            questions,
            heavy: self.heavy.clone(),
        };
        let task = self.trials.spawn(canary::run(setup, instance, subscription));
        self.questions().insert(canary_of(name), door);
        tracing::info!(
            policy = name,
            plugin = policy.plugin,
            sha256 = &*loaded.digest,
            "a new version is tried in shadow"
        );
        self.canaries.insert(name.to_owned(), Canary { policy, loaded, basis, task });
    }

    /// A trial has ended: the new version takes over, or is rolled back and its file marked.
    pub(super) async fn tried(&mut self, ended: Ended) {
        let (id, result) = match ended {
            Ok(ended) => ended,
            // It was ended, because something else is to run.
            Err(error) if error.is_cancelled() => return,
            Err(error) => (error.id(), Err(format!("its trial ended early: {error}"))),
        };
        // Another trial may have begun meanwhile.
        let of = self.canaries.iter().find(|(_, canary)| canary.task.id() == id).map(|(name, _)| name.clone());
        let Some(name) = of else { return };
        let Some(Canary { policy, loaded, basis, .. }) = self.end_trial(&name) else { return };
        match result {
            Ok(canary::Passed { batches, answers, faults }) => {
                tracing::info!(policy = &*name, batches, answers, faults, "the new version stood its trial");
                self.replace(&name, policy, loaded, basis).await;
            }
            Err(reason) => {
                let digest: String = loaded.digest.chars().take(12).collect();
                let problem = format!("version {digest} was rolled back after a trial under {name}: {reason}");
                tracing::error!(policy = &*name, plugin = policy.plugin, sha256 = &*loaded.digest, "{problem}");
                let before = self.instances.get(&name).map(|running| running.loaded.clone());
                if let (Some(source), Some(before)) = (self.plugins.get_mut(&policy.plugin), before) {
                    if let Some(versions) = &self.versions {
                        let (failed, good) = (loaded.digest.to_string(), before.digest.to_string());
                        versions.mark(&policy.plugin, &Rollback { failed, good, reason: problem.clone() });
                    }
                    (source.good, source.problem, source.is_rolled_back) = (Some(before), Some(problem), true);
                }
                self.reconcile().await;
            }
        }
        self.publish();
    }

    /// What still runs of a plugin whose new version is on trial.
    pub(super) fn before_trial(&self, plugin: &str) -> Option<&Arc<Loaded>> {
        let (policy, _) = self.canaries.iter().find(|(_, canary)| canary.policy.plugin == plugin)?;
        self.instances.get(policy).map(|running| &running.loaded)
    }

    pub(super) fn end_trial(&mut self, name: &str) -> Option<Canary> {
        let canary = self.canaries.remove(name)?;
        canary.task.abort();
        self.questions().remove(&canary_of(name));
        Some(canary)
    }
}
