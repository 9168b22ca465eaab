//! What the tests of collectors share: a context, and somebody who listens.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::{Context, Health, SourceView};
use crate::clock::SystemClock;
use crate::signal::{Batch, Event, Mailbox, Router, Selector, Subscription};

/// An instance that wants some signals.
pub(super) struct Listener {
    pub(super) context: Context,
    mailbox: Arc<Mailbox>,
    batch: Batch,
}

impl Listener {
    /// Of the host at `root`.
    pub(super) fn new(root: &Path) -> Self {
        let clock = Arc::new(SystemClock::new());
        let context = Context {
            router: Arc::new(Router::new()),
            health: Arc::new(Health::new(clock.clone())),
            clock,
            root: root.to_owned(),
            interval: Duration::from_millis(20),
        };
        Self { context, mailbox: Arc::default(), batch: Batch::default() }
    }

    /// Wants these from now on.
    pub(super) fn want(&self, metrics: Vec<Selector>, events: Vec<Selector>) {
        let subscription = Subscription { metrics, events, every: None };
        self.context.router.subscribe("test".into(), subscription, self.mailbox.clone());
    }

    /// What came since the last time.
    pub(super) fn take(&mut self) -> Batch {
        self.gather();
        std::mem::take(&mut self.batch)
    }

    fn gather(&mut self) {
        let Some(more) = self.mailbox.take(self.context.clock.now().wall) else { return };
        self.batch.new_series.extend(more.new_series);
        self.batch.gone_series.extend(more.gone_series);
        self.batch.readings.extend(more.readings);
        self.batch.events.extend(more.events);
    }

    /// The next event.
    pub(super) async fn event(&mut self) -> Event {
        self.until(|listener| {
            listener.gather();
            listener.batch.events.pop_front()
        })
        .await
    }

    /// Waits until this source is in such a condition.
    pub(super) async fn health(&mut self, source: &str, mut fits: impl FnMut(&SourceView) -> bool) -> SourceView {
        self.until(|listener| listener.context.health.view().into_iter().find(|it| it.source == source && fits(it)))
            .await
    }

    /// Waits until there is something.
    pub(super) async fn until<T>(&mut self, mut found: impl FnMut(&mut Self) -> Option<T>) -> T {
        let waited = tokio::time::timeout(Duration::from_secs(30), async {
            loop {
                if let Some(found) = found(self) {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        waited.await.unwrap_or_else(|_| panic!("it did not come; the sources: {:?}", self.context.health.view()))
    }
}
