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
use super::limits;
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
    pub(super) limits: StoreLimits,
    /// The time of the call, for the guest's clocks.
    pub(super) moment: wasi::Moment,
    /// The last error the guest logged in this call: the message of a panic comes this way, right before the trap.
    pub(super) last_words: Option<String>,
    /// The CPU time of the thread when the deadline was first looked at in this call.
    pub(super) first_look: Option<Duration>,
    log_allowance: f64,
    log_filled: Instant,
    log_dropped: u64,
    wasi: WasiCtx,
    table: ResourceTable,
}

impl Host {
    /// A host for an instance of `policy`. Random numbers come from `seed`.
    pub(super) fn new(policy: Arc<str>, interfaces: Interfaces, files: Vec<Pattern>, seed: [u8; 32]) -> Self {
        let moment = wasi::Moment::default();
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits::HANDLES);
        Self {
            policy,
            interfaces,
            files,
            limits: StoreLimitsBuilder::new()
                .memory_size(limits::MEMORY)
                .table_elements(limits::TABLE_ELEMENTS)
                .instances(limits::INSTANCES)
                .memories(limits::INSTANCES)
                .tables(limits::INSTANCES)
                // Otherwise running out of memory would look like a bug of the plugin: a bare `unreachable`.
                .trap_on_grow_failure(true)
                .build(),
            wasi: wasi::inert(&moment, seed),
            moment,
            last_words: None,
            first_look: None,
            log_allowance: f64::from(limits::LOG_BURST),
            log_filled: Instant::now(),
            log_dropped: 0,
            table,
        }
    }

    /// A call begins at this moment.
    pub(super) fn begin(&mut self, at: Timestamp) {
        self.moment.set(at);
        self.last_words = None;
        self.first_look = None;
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
