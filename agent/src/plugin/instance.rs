//! One plugin under one policy: a store with exactly one instance in it, and the six calls of the contract.

use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use sha2::{Digest, Sha256};
use wasmtime::{Store, StoreContextMut, Trap, UpdateDeadline};

use super::contract::bindings::exports::salve::plugin::remediator::Guest;
use super::contract::bindings::{Plugin, PluginPre};
use super::contract::{self, Description};
use super::engine::Sandbox;
use super::imports::{GRANTABLE, Host, Interfaces, linker};
use super::limits;
use super::loader::{LoadError, Loaded};
use crate::clock::Timestamp;
use crate::config::Access;
use crate::incident::{Cause, Finding, Incident, Recovery, Verdict};
use crate::signal::{Batch, Subscription};

/// A call that did not come back with an acceptable answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The guest trapped, or was stopped at a limit: the instance cannot be called again.
    #[error("`{call}` {reason}")]
    Trapped {
        /// Which call.
        call: &'static str,
        /// What happened, with the guest's own last words if it had any.
        reason: String,
    },
    /// It answered, but not in a way that can be accepted.
    #[error("`{call}` answered with {reason}")]
    Malformed {
        /// Which call.
        call: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// `configure` refused the configuration.
    #[error("`configure` refused the configuration: {0}")]
    Refused(String),
}

/// A running plugin. Calls block the thread for at most [`limits::CALL_CPU`] of its CPU time.
pub struct Instance {
    sandbox: Sandbox,
    store: Store<Host>,
    bindings: Plugin,
}

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instance").field("policy", &self.store.data().policy).finish()
    }
}

impl Instance {
    /// Instantiates a plugin for a policy that grants it this access.
    pub fn new(
        sandbox: &Sandbox,
        loaded: &Loaded,
        policy: Arc<str>,
        access: &Access,
        interfaces: Interfaces,
    ) -> Result<Self, LoadError> {
        if let Some(word) = loaded.needs().into_iter().find(|word| !access.read.contains(*word)) {
            let interface = GRANTABLE.iter().find(|(_, granted)| *granted == word).map_or(word, |(name, _)| name);
            return Err(LoadError::NotGranted { interface: interface.to_owned(), word: word.to_owned() });
        }
        let link = |error: wasmtime::Error| LoadError::Link(format!("{error:#}"));
        let linker = linker(sandbox.engine(), &access.read).map_err(link)?;
        let pre = PluginPre::new(linker.instantiate_pre(&loaded.component).map_err(link)?).map_err(link)?;
        // The same plugin under the same policy draws the same numbers: a replay decides as the live run did.
        let seed = Sha256::new().chain_update(&*loaded.digest).chain_update(&*policy).finalize().into();
        let mut store = Store::new(sandbox.engine(), Host::new(policy, interfaces, access.files.clone(), seed));
        store.limiter(|host| &mut host.limits);
        store.set_hostcall_fuel(limits::HOSTCALL_FUEL);
        store.epoch_deadline_callback(look_at_clock);
        // The deadline is absolute: it is set anew before everything that runs guest code.
        store.set_epoch_deadline(1);
        let busy = sandbox.busy();
        let bindings = pre.instantiate(&mut store).map_err(|error| LoadError::Link(explain(&error, None)))?;
        drop(busy);
        Ok(Self { sandbox: sandbox.clone(), store, bindings })
    }

    /// What the plugin is.
    pub fn describe(&mut self, at: Timestamp) -> Result<Description, CallError> {
        self.call("describe", at, |guest, store| guest.call_describe(store)).map(contract::description)
    }

    /// Hands over the configuration, as JSON; what the plugin wants to be told.
    pub fn configure(&mut self, config: &serde_json::Value, at: Timestamp) -> Result<Subscription, CallError> {
        let config = config.to_string();
        let subscription = self
            .call("configure", at, |guest, store| guest.call_configure(store, &config))?
            .map_err(|reason| CallError::Refused(contract::line(reason)))?;
        accept("configure", contract::subscription(subscription))
    }

    /// What is wrong and what is not any more.
    pub fn detect(&mut self, batch: Batch) -> Result<Vec<Finding>, CallError> {
        let at = batch.at;
        let batch = contract::batch(batch);
        let findings = self.call("detect", at, |guest, store| guest.call_detect(store, &batch))?;
        accept("detect", contract::findings(findings))
    }

    /// Why.
    pub fn diagnose(&mut self, incident: Incident, at: Timestamp) -> Result<Vec<Cause>, CallError> {
        let incident = contract::incident(incident, at);
        self.call("diagnose", at, |guest, store| guest.call_diagnose(store, &incident)).map(contract::causes)
    }

    /// What to do.
    pub fn recover(&mut self, incident: Incident, at: Timestamp) -> Result<Recovery, CallError> {
        let incident = contract::incident(incident, at);
        let recovery = self.call("recover", at, |guest, store| guest.call_recover(store, &incident))?;
        accept("recover", contract::recovery(recovery))
    }

    /// Whether it worked.
    pub fn verify(&mut self, incident: Incident, at: Timestamp) -> Result<Verdict, CallError> {
        let incident = contract::incident(incident, at);
        self.call("verify", at, |guest, store| guest.call_verify(store, &incident)).map(contract::verdict)
    }

    fn call<T>(
        &mut self,
        name: &'static str,
        at: Timestamp,
        call: impl FnOnce(&Guest, &mut Store<Host>) -> wasmtime::Result<T>,
    ) -> Result<T, CallError> {
        self.store.data_mut().begin(at);
        self.store.set_epoch_deadline(1);
        let busy = self.sandbox.busy();
        let result = call(self.bindings.salve_plugin_remediator(), &mut self.store);
        drop(busy);
        result.map_err(|error| {
            let last_words = self.store.data_mut().last_words.take();
            tracing::debug!(policy = &*self.store.data().policy, "`{name}` trapped: {error:?}");
            CallError::Trapped { call: name, reason: explain(&error, last_words) }
        })
    }
}

/// What the ticker leads to: a look at the CPU time this thread has used since the first look of the call. The epoch only
/// says when to look, so that a call on a loaded host is not taken for one that loops.
fn look_at_clock(mut store: StoreContextMut<'_, Host>) -> wasmtime::Result<UpdateDeadline> {
    let used = thread_cpu();
    let started = *store.data_mut().first_look.get_or_insert(used);
    if used.saturating_sub(started) + limits::TICK >= limits::CALL_CPU {
        return Err(Trap::Interrupt.into());
    }
    Ok(UpdateDeadline::Continue(1))
}

fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// What happened, in the operator's words.
fn explain(error: &wasmtime::Error, last_words: Option<String>) -> String {
    let what = match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) => format!("used more than {} ms of CPU and was stopped", limits::CALL_CPU.as_millis()),
        Some(Trap::StackOverflow) => format!("used more than {} KiB of stack", limits::STACK >> 10),
        // The guest's own stack lies at the beginning of its memory: overflowing it reaches beyond.
        Some(Trap::MemoryOutOfBounds) => "reached beyond its memory (endless recursion ends like this)".to_owned(),
        Some(trap) => format!("trapped: {trap}"),
        None => {
            let cause = error.root_cause().to_string();
            if cause.contains("forcing trap when growing") {
                format!("asked for more than {} MiB of memory", limits::MEMORY >> 20)
            } else if cause.contains("fuel allocated for hostcalls") {
                format!("handed over more than {} KiB in one call", limits::HOSTCALL_FUEL >> 10)
            } else {
                format!("failed: {cause}")
            }
        }
    };
    match last_words {
        Some(words) => format!("{what} ({words})"),
        None => what,
    }
}

fn accept<T>(call: &'static str, result: Result<T, contract::Malformed>) -> Result<T, CallError> {
    result.map_err(|malformed| CallError::Malformed { call, reason: malformed.to_string() })
}
