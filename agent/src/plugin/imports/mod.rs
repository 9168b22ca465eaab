//! What a plugin can call: a file per interface. What a policy does not grant is not linked.

mod files;
mod history;
mod log;
mod services;
mod state;
mod wasi;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::component::{HasSelf, Linker, ResourceTable};
use wasmtime::{Engine, StoreLimits, StoreLimitsBuilder};
use wasmtime_wasi::WasiCtx;

use super::contract::bindings::salve::plugin as contract;
use super::limits::{self, Limits};
use crate::clock::Timestamp;
use crate::config::Pattern;
use crate::incident::ledger::PluginState;
use crate::service::{Services, StatusTable};
use crate::signal::History;

/// What stands behind the interfaces: shared by all instances.
#[derive(Debug, Clone, Default)]
pub struct Interfaces {
    /// Behind `state`; none where a plugin is only inspected.
    pub state: Option<Arc<PluginState>>,
    /// Behind `services`.
    pub services: Arc<StatusTable>,
    /// Behind `services`, too; none where a plugin is only inspected.
    pub needs: Option<Arc<Services>>,
    /// Behind `history`.
    pub history: Arc<History>,
}

/// The host as one instance sees it.
pub(super) struct Host {
    pub(super) policy: Arc<str>,
    pub(super) interfaces: Interfaces,
    /// Which files it may see.
    pub(super) files: Vec<Pattern>,
    pub(super) limits: Limits,
    pub(super) store: StoreLimits,
    /// The time of the call, for the guest's clocks.
    pub(super) moment: wasi::Moment,
    /// The last error the guest logged in this call: the message of a panic comes this way, right before the trap.
    pub(super) last_words: Option<String>,
    /// The CPU time of the thread when the deadline was first looked at in this call.
    pub(super) first_look: Option<Duration>,
    /// How much of it the call had used when it was stopped for that.
    pub(super) used: Duration,
    /// The wall time that the host's functions took in this call.
    waited: Duration,
    log: log::Meter,
    wasi: WasiCtx,
    table: ResourceTable,
}

impl Host {
    /// A host for an instance of `policy`. Random numbers come from `seed`.
    pub(super) fn new(
        policy: Arc<str>,
        interfaces: Interfaces,
        files: Vec<Pattern>,
        seed: [u8; 32],
        limits: &Limits,
    ) -> Self {
        let moment = wasi::Moment::default();
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits::HANDLES);
        Self {
            policy,
            interfaces,
            files,
            limits: *limits,
            store: StoreLimitsBuilder::new()
                .memory_size(limits.memory)
                .table_elements(limits.table_elements)
                .instances(limits::INSTANCES)
                .memories(limits::INSTANCES)
                .tables(limits::INSTANCES)
                // Otherwise running out of memory would look like a bug of the plugin: a bare `unreachable`.
                .trap_on_grow_failure(true)
                .build(),
            wasi: wasi::inert(&moment, seed, limits.transfer),
            moment,
            last_words: None,
            first_look: None,
            used: Duration::ZERO,
            waited: Duration::ZERO,
            log: log::Meter::new(limits, Instant::now()),
            table,
        }
    }

    /// A call begins at this moment.
    pub(super) fn begin(&mut self, at: Timestamp) {
        self.moment.set(at);
        self.last_words = None;
        self.first_look = None;
        self.waited = Duration::ZERO;
    }

    /// Does a host function's work, by a time that it is given, and counts how long it took. What a disk holds up cannot be
    /// interrupted: it ends the call as soon as it is done.
    fn timed<T>(&mut self, work: impl FnOnce(&mut Self, Instant) -> wasmtime::Result<T>) -> wasmtime::Result<T> {
        let started = Instant::now();
        let left = self.limits.host_calls.saturating_sub(self.waited);
        let result = work(self, started + self.limits.host_call.min(left));
        self.waited += started.elapsed();
        if self.waited > self.limits.host_calls {
            return Err(wasmtime::Error::msg(format!(
                "the host's functions took {} ms in one call; at most {} ([limits] host-calls)",
                self.waited.as_millis(),
                self.limits.host_calls.as_millis()
            )));
        }
        result
    }
}

/// Which interfaces exist, and under which word a policy grants them; none for those every plugin has.
pub(super) const GRANTABLE: [(&str, &str); 3] =
    [("salve:plugin/files", "files"), ("salve:plugin/history", "history"), ("salve:plugin/services", "services")];

/// A linker with WASI, `log`, `state`, and the interfaces that `read` grants.
pub(super) fn linker(engine: &Engine, read: &BTreeSet<String>) -> wasmtime::Result<Linker<Host>> {
    let mut linker = Linker::new(engine);
    wasi::link(&mut linker)?;
    contract::types::add_to_linker::<_, HasSelf<_>>(&mut linker, |host: &mut Host| host)?;
    contract::log::add_to_linker::<_, HasSelf<_>>(&mut linker, |host: &mut Host| host)?;
    contract::state::add_to_linker::<_, HasSelf<_>>(&mut linker, |host: &mut Host| host)?;
    if read.contains("files") {
        contract::files::add_to_linker::<_, HasSelf<_>>(&mut linker, |host: &mut Host| host)?;
    }
    if read.contains("services") {
        contract::services::add_to_linker::<_, HasSelf<_>>(&mut linker, |host: &mut Host| host)?;
    }
    if read.contains("history") {
        contract::history::add_to_linker::<_, HasSelf<_>>(&mut linker, |host: &mut Host| host)?;
    }
    Ok(linker)
}

impl contract::types::Host for Host {}

#[cfg(test)]
mod tests {
    use wasmtime::ResourceLimiter;

    use super::*;

    fn host(limits: &Limits) -> Host {
        Host::new("test".into(), Interfaces::default(), vec![], [0; 32], limits)
    }

    #[test]
    fn tables_and_memories_grow_to_the_limit_and_no_further() {
        let limits = Limits { table_elements: 10, memory: 1 << 20, ..Limits::default() };
        let mut host = host(&limits);
        assert!(host.store.table_growing(0, 10, None).unwrap());
        assert!(host.store.table_growing(0, 11, None).is_err());
        assert!(host.store.memory_growing(0, 1 << 20, None).unwrap());
        assert!(host.store.memory_growing(0, (1 << 20) + 1, None).is_err());
    }

    #[test]
    fn host_functions_have_their_time_each_and_all_together() {
        let (host_call, host_calls) = (Duration::from_millis(20), Duration::from_millis(50));
        let mut host = host(&Limits { host_call, host_calls, ..Limits::default() });
        let use_up = |host: &mut Host| {
            host.timed(|_, deadline| {
                let left = deadline.saturating_duration_since(Instant::now());
                while Instant::now() < deadline {
                    std::thread::yield_now();
                }
                Ok(left)
            })
        };
        let mut all = Vec::new();
        let error = loop {
            match use_up(&mut host) {
                Ok(left) => all.push(left),
                Err(error) => break error.to_string(),
            }
        };
        assert!(all.len() <= 3 && all.iter().all(|left| *left <= host_call), "{all:?}");
        assert!(error.contains("at most 50 ([limits] host-calls)"), "{error}");
        // It is for one call.
        assert!(host.timed(|_, _| Ok(())).is_err());
        host.begin(Timestamp::default());
        host.timed(|_, _| Ok(())).unwrap();
    }
}
