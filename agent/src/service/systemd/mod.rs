//! Units of systemd, over D-Bus.
//!
//! What happens to a unit is pushed by systemd's signals, never polled; see `unit.rs` for how they become a status.
//! Without a system bus nothing is lost but systemd: every call says why, and watching goes on as soon as it is back.

mod act;
mod bus;
mod name;
mod rules;
mod session;
mod timers;
mod unit;
mod watch;

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;

use futures_core::Stream;
use tokio::sync::{Mutex, watch as channel};
use zbus::{Message, MessageStream};

pub use act::ACTION_TIMEOUT;
pub use timers::{TimerReading, Timers};

use self::bus::Bus;
use super::needs::Needs;
use super::{Change, Report, ServiceError, ServiceStatus, Verb};

/// systemd, as seen over the system bus. Connects when first needed and again whenever the connection was lost.
#[derive(Debug, Default)]
pub struct Systemd {
    bus: Mutex<Option<Bus>>,
    needs: Needs,
}

impl Systemd {
    /// A handle that has not connected yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Connects unless connected; for saying at start-up why systemd is not there. Nothing else depends on it.
    ///
    /// # Errors
    /// [`ServiceError::NoSystemd`] if the host was not booted with systemd, or its bus cannot be reached within 3 s.
    pub async fn connect(&self) -> Result<(), ServiceError> {
        self.bus().await.map(drop)
    }

    /// Reads the status of `unit` now. It does not say whether a stop was asked for: only watching can tell.
    ///
    /// # Errors
    /// [`ServiceError::Unknown`] if there is no such unit, [`ServiceError::NoSystemd`] if systemd cannot be reached.
    pub async fn status(&self, unit: &str) -> Result<ServiceStatus, ServiceError> {
        let unknown = || ServiceError::Unknown(unit.to_owned());
        if !name::is_unit(unit) {
            return Err(unknown());
        }
        let reading = self.bus().await?.read(unit).await.map_err(|error| ServiceError::NoSystemd(error.to_string()))?;
        let mut status = reading.filter(|reading| !reading.is_absent()).ok_or_else(unknown)?.status(None);
        unit.clone_into(&mut status.name);
        Ok(status)
    }

    /// Does `verb` to `unit` (job mode `replace`) and waits for the end of the job, at most [`ACTION_TIMEOUT`].
    ///
    /// # Errors
    /// [`ServiceError::Unknown`] for a unit that does not exist, [`ServiceError::Failed`] with the unit's result when
    /// the job failed or was not permitted, [`ServiceError::Unsupported`] when the unit has no way to do it (a reload
    /// without `ExecReload=`), [`ServiceError::TimedOut`], [`ServiceError::NoSystemd`].
    pub async fn act(&self, verb: Verb, unit: &str) -> Result<Change, ServiceError> {
        if !name::is_unit(unit) {
            return Err(ServiceError::Unknown(unit.to_owned()));
        }
        act::act(&self.bus().await?, verb, unit).await
    }

    /// Reports every unit that `names` covers, at first sight and at each change, until the sender of `names` is gone.
    ///
    /// A name is a unit (`nginx.service`) or a pattern with `*` and `?`; a pattern that does not end in a type of unit
    /// means services. Names without a dot are not systemd's and ignored. A unit that does not exist is not reported
    /// but warned of once; it is reported when it appears. Returns at once on a host without systemd.
    pub async fn watch(&self, names: channel::Receiver<Arc<BTreeSet<String>>>, report: Report) {
        watch::watch(self, names, report).await;
    }

    /// What `unit` needs, if it is watched: what it `Requires=`, is bound to, is part of or starts after.
    pub fn needs(&self, unit: &str) -> BTreeSet<String> {
        self.needs.of(unit)
    }

    async fn bus(&self) -> Result<Bus, ServiceError> {
        let mut bus = self.bus.lock().await;
        if let Some(open) = bus.as_ref().filter(|bus| !bus.connection().is_closed()) {
            return Ok(open.clone());
        }
        let fresh = Bus::connect().await?;
        *bus = Some(fresh.clone());
        Ok(fresh)
    }
}

/// The next message of a stream; `None` when the connection is closed.
async fn next(stream: &mut MessageStream) -> Option<zbus::Result<Message>> {
    std::future::poll_fn(|context| Pin::new(&mut *stream).poll_next(context)).await
}
