//! WASI 0.2 with nothing in it: what a language's runtime insists on importing, and no way out of the sandbox.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use wasmtime::component::Linker;
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxView, WasiView};

use super::{Host, limits};
use crate::clock::Timestamp;

/// The time inside the sandbox: that of the call, standing still, so that a replay sees what the live run saw.
#[derive(Debug, Clone, Default)]
pub(in crate::plugin) struct Moment(Arc<AtomicU64>);

impl Moment {
    /// It is now this late.
    pub(super) fn set(&self, at: Timestamp) {
        self.0.store(at.as_nanos(), Ordering::Relaxed);
    }

    /// The time of the call.
    pub(super) fn at(&self) -> Timestamp {
        Timestamp::from_nanos(self.nanos())
    }

    fn nanos(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl HostWallClock for Moment {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(self.nanos())
    }
}

impl HostMonotonicClock for Moment {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        self.nanos()
    }
}

/// No files, network, environment or arguments (the builder's defaults); output goes nowhere; random numbers from `seed`, at
/// most so many bytes at once.
pub(super) fn inert(moment: &Moment, seed: [u8; 32], most: usize) -> WasiCtx {
    let short = u128::from_le_bytes(std::array::from_fn(|at| seed.get(at).copied().unwrap_or(0)));
    WasiCtx::builder()
        .wall_clock(moment.clone())
        .monotonic_clock(moment.clone())
        .secure_random(StdRng::from_seed(seed))
        .insecure_random(StdRng::from_seed(seed))
        .insecure_random_seed(short)
        .max_random_size(limits::RANDOM.min(most as u64))
        .allow_tcp(false)
        .allow_udp(false)
        .build()
}

/// Links WASI, but for waiting: no deadline could end a plugin that sleeps inside a host function.
pub(super) fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_sync(linker)?;
    linker.allow_shadowing(true);
    let mut poll = linker.instance("wasi:io/poll@0.2.12")?;
    for waiting in ["poll", "[method]pollable.block"] {
        poll.func_new(waiting, |_, _, _, _| {
            Err(wasmtime::Error::msg("a plugin must not wait: answer `wait` from `recover`, or subscribe with `every`"))
        })?;
    }
    linker.allow_shadowing(false);
    Ok(())
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}
