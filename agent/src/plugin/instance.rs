//! One plugin under one policy: a store with exactly one instance in it, and the six calls of the contract.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use wasmtime::{Store, StoreContextMut, Trap, UpdateDeadline};

use super::allowance::thread_cpu;
use super::contract::bindings::Plugin;
use super::contract::bindings::exports::salve::plugin::remediator::Guest;
use super::contract::{self, Description, Weigh};
use super::engine::Sandbox;
use super::imports::{GRANTABLE, Host, Interfaces};
use super::limits::{self, Limits};
use super::loader::{LoadError, Loaded};
use super::trace;
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

/// A running plugin. Calls block the thread for at most [`Limits::call_cpu`] of its CPU time, and [`Limits::host_calls`] of
/// waiting.
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
    /// Instantiates a plugin for a policy that grants it this access, within the limits of all.
    pub fn new(
        sandbox: &Sandbox,
        loaded: &Loaded,
        policy: Arc<str>,
        access: &Access,
        interfaces: Interfaces,
    ) -> Result<Self, LoadError> {
        Self::within(sandbox.limits(), sandbox, loaded, policy, access, interfaces)
    }

    /// The same within these limits.
    pub fn within(
        limits: &Limits,
        sandbox: &Sandbox,
        loaded: &Loaded,
        policy: Arc<str>,
        access: &Access,
        interfaces: Interfaces,
    ) -> Result<Self, LoadError> {
        let mut store = store(limits, sandbox, loaded, policy, access, interfaces)?;
        let busy = sandbox.busy();
        let bindings = loaded.linked.instantiate(&mut store);
        drop(busy);
        let bindings = bindings.map_err(|error| LoadError::Link(explain(&error, store.data_mut())))?;
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
        accept("configure", contract::subscription(subscription, self.limits()))
    }

    /// What is wrong and what is not any more.
    pub fn detect(&mut self, batch: Batch) -> Result<Vec<Finding>, CallError> {
        let at = batch.at;
        let batch = contract::batch(batch);
        let findings = self.call("detect", at, |guest, store| guest.call_detect(store, &batch))?;
        accept("detect", contract::findings(findings, self.limits()))
    }

    /// Why.
    pub fn diagnose(&mut self, incident: Incident, at: Timestamp) -> Result<Vec<Cause>, CallError> {
        let incident = contract::incident(incident, at);
        let causes = self.call("diagnose", at, |guest, store| guest.call_diagnose(store, &incident))?;
        Ok(contract::causes(causes, self.limits()))
    }

    /// What to do.
    pub fn recover(&mut self, incident: Incident, at: Timestamp) -> Result<Recovery, CallError> {
        let incident = contract::incident(incident, at);
        let recovery = self.call("recover", at, |guest, store| guest.call_recover(store, &incident))?;
        accept("recover", contract::recovery(recovery, self.limits()))
    }

    /// Whether it worked.
    pub fn verify(&mut self, incident: Incident, at: Timestamp) -> Result<Verdict, CallError> {
        let incident = contract::incident(incident, at);
        self.call("verify", at, |guest, store| guest.call_verify(store, &incident)).map(contract::verdict)
    }

    fn limits(&self) -> &Limits {
        &self.store.data().limits
    }

    fn call<T: Weigh>(
        &mut self,
        name: &'static str,
        at: Timestamp,
        call: impl FnOnce(&Guest, &mut Store<Host>) -> wasmtime::Result<T>,
    ) -> Result<T, CallError> {
        let guest = self.bindings.salve_plugin_remediator();
        let answer = call_within(&self.sandbox, &mut self.store, name, at, |store| call(guest, store))?;
        accept(name, contract::not_too_heavy(&answer, self.limits()))?;
        Ok(answer)
    }
}

/// What an instance of a plugin lives in.
pub(super) fn store(
    limits: &Limits,
    sandbox: &Sandbox,
    loaded: &Loaded,
    policy: Arc<str>,
    access: &Access,
    interfaces: Interfaces,
) -> Result<Store<Host>, LoadError> {
    if let Some(word) = loaded.needs().into_iter().find(|word| !access.read.contains(*word)) {
        let interface = GRANTABLE.iter().find(|(_, granted)| *granted == word).map_or(word, |(name, _)| name);
        return Err(LoadError::NotGranted { interface: interface.to_owned(), word: word.to_owned() });
    }
    // The same plugin under the same policy draws the same numbers: a replay decides as the live run did.
    let seed = Sha256::new().chain_update(&*loaded.digest).chain_update(&*policy).finalize().into();
    let mut store = Store::new(sandbox.engine(), Host::new(policy, interfaces, access.files.clone(), seed, limits));
    store.limiter(|host| &mut host.store);
    store.set_hostcall_fuel(limits.transfer);
    store.epoch_deadline_callback(look_at_clock);
    // The deadline is absolute: it is set anew before everything that runs guest code.
    store.set_epoch_deadline(1);
    Ok(store)
}

/// Runs a guest's code within the limits of its store.
pub(super) fn call_within<T>(
    sandbox: &Sandbox,
    store: &mut Store<Host>,
    name: &'static str,
    at: Timestamp,
    call: impl FnOnce(&mut Store<Host>) -> wasmtime::Result<T>,
) -> Result<T, CallError> {
    store.data_mut().begin(at);
    store.set_epoch_deadline(1);
    let busy = sandbox.busy();
    let result = call(store);
    drop(busy);
    result.map_err(|error| {
        tracing::debug!(policy = &*store.data().policy, "`{name}` trapped: {error:?}");
        CallError::Trapped { call: name, reason: explain(&error, store.data_mut()) }
    })
}

/// What the ticker leads to: a look at the CPU time this thread has used since the first look of the call. The epoch only
/// says when to look, so that a call on a loaded host is not taken for one that loops.
fn look_at_clock(mut store: StoreContextMut<'_, Host>) -> wasmtime::Result<UpdateDeadline> {
    let used = thread_cpu();
    let started = *store.data_mut().first_look.get_or_insert(used);
    let used = used.saturating_sub(started) + limits::TICK;
    if used >= store.data().limits.call_cpu {
        store.data_mut().used = used;
        return Err(Trap::Interrupt.into());
    }
    Ok(UpdateDeadline::Continue(1))
}

/// What happened, in the operator's words: what, the guest's own last words, and where in it.
fn explain(error: &wasmtime::Error, host: &mut Host) -> String {
    let limits = &host.limits;
    let what = match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) => {
            let (most, used) = (limits.call_cpu.as_millis(), host.used.as_millis());
            format!("used more than {most} ms of CPU and was stopped after {used} ms")
        }
        Some(Trap::StackOverflow) => format!("used more than {} of stack", limits::bytes(limits.stack as u64)),
        // The guest's own stack lies at the beginning of its memory: overflowing it reaches beyond.
        Some(Trap::MemoryOutOfBounds) => "reached beyond its memory (endless recursion ends like this)".to_owned(),
        Some(trap) => format!("trapped: {trap}"),
        None => {
            let cause = error.root_cause().to_string();
            if cause.contains("forcing trap when growing memory") {
                format!("asked for more than {} of memory", limits::bytes(limits.memory as u64))
            } else if cause.contains("forcing trap when growing") {
                format!("asked for a table of more than {} elements", limits.table_elements)
            } else if cause.contains("fuel allocated for hostcalls") {
                format!("handed over more than {} at once", limits::bytes(limits.transfer as u64))
            } else {
                format!("failed: {cause}")
            }
        }
    };
    let words = host.last_words.take().map(|words| words.split_whitespace().collect::<Vec<_>>().join(" "));
    let (what, words) = match words {
        // The trap is how a panic ends: its own message says all there is.
        Some(words) if words.starts_with("panicked at ") => (words, String::new()),
        Some(words) => (what, format!(" ({words})")),
        None => (what, String::new()),
    };
    let place = trace::of(error).map(|place| format!("; at {place}")).unwrap_or_default();
    // The place is worth more than the end of a long speech.
    let place = contract::cut(place, limits::ERROR / 2);
    format!("{}{place}", contract::cut(what + &words, limits::ERROR - place.len()))
}

fn accept<T>(call: &'static str, result: Result<T, contract::Malformed>) -> Result<T, CallError> {
    result.map_err(|malformed| CallError::Malformed { call, reason: malformed.to_string() })
}
