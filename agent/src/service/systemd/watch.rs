//! Watching units for as long as somebody asks, over as many connections to the bus as that takes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch as channel;

use super::Systemd;
use super::bus::Bus;
use super::session::Session;
use super::unit::Unit;
use crate::service::{Report, ServiceStatus};

/// The wait before connecting again after a connection that worked; doubled at each failure.
const RECONNECT_FIRST: Duration = Duration::from_millis(100);
/// The longest wait before connecting again.
const RECONNECT_MAX: Duration = Duration::from_secs(60);

/// Names and patterns of the units that somebody wants to see.
pub(super) type Names = channel::Receiver<Arc<BTreeSet<String>>>;

/// What is known of the watched units; outlives a connection.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// By object path.
    pub(super) units: BTreeMap<String, Unit>,
    /// The last report under each name.
    pub(super) reported: BTreeMap<String, ServiceStatus>,
    /// Names that no unit has, which has been told once.
    pub(super) missing: BTreeSet<String>,
}

/// See [`Systemd::watch`].
pub(super) async fn watch(systemd: &Systemd, mut names: Names, report: Report) {
    let mut known = Known::default();
    let mut wait = RECONNECT_FIRST;
    loop {
        let why = match systemd.bus().await {
            Ok(bus) => {
                let mut session = Session::new(bus.clone(), &report, &mut known, &systemd.needs);
                let Err(why) = session.run(&mut names).await else {
                    return;
                };
                if session.is_subscribed() {
                    wait = RECONNECT_FIRST;
                }
                // Its match rules go with it; an action that still waits on it learns that it cannot know the result.
                bus.close().await;
                why.to_string()
            }
            Err(why) => why.to_string(),
        };
        if !Bus::is_possible() {
            tracing::info!("not watching units: {why}");
            return;
        }
        tracing::warn!("not watching units for the next {wait:?}: {why}");
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(RECONNECT_MAX);
    }
}
