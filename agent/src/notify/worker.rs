use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::Notify;

use super::channel::{Carrier, Failure};
use super::pace::Rate;
use super::{Alertmanager, Channel, Envelope, Pace};
use crate::clock::{Clock, Timestamp};
use crate::incident::ledger::{Alert, Delivery, Entry, LedgerError, Outbox};

/// How long to wait after the ledger could not be used.
const LEDGER_PAUSE: Duration = Duration::from_secs(1);
/// The longest time without a look at the outbox: whoever forgets to poke delays a notice by no more.
const LOOK: Duration = Duration::from_secs(60);
/// Alerts in one request.
const BATCH: u32 = 64;

/// One channel's task.
pub(super) struct Worker {
    pub name: Arc<str>,
    pub host: Arc<str>,
    pub channel: Arc<Channel>,
    pub outbox: Arc<Outbox>,
    pub clock: Arc<dyn Clock>,
    pub pace: Pace,
    pub poke: Arc<Notify>,
}

/// What a worker remembers between rounds. It may forget it with the agent.
struct Memory {
    rate: Rate,
    /// Failures in a row of the channel as a whole.
    failures: u32,
    /// Not before this, on the monotonic clock.
    hold: Duration,
    dice: StdRng,
    /// Whether the last failure has been logged: a channel that stays dead is told of once.
    logged: bool,
}

impl Worker {
    /// Delivers for ever.
    pub(super) async fn run(self) {
        let mut memory = Memory {
            rate: Rate::new(self.channel.rate),
            failures: 0,
            hold: Duration::ZERO,
            // Different on each host and channel is all that is asked of it.
            dice: StdRng::seed_from_u64(self.clock.now().wall.as_nanos() ^ seed(&self.name)),
            logged: false,
        };
        loop {
            let wait = self.round(&mut memory).await.unwrap_or_else(|error| {
                tracing::warn!(channel = %self.name, %error, "notices cannot be taken from the ledger");
                LEDGER_PAUSE
            });
            tokio::select! {
                () = self.poke.notified() => (),
                () = tokio::time::sleep(wait.min(LOOK)) => (),
            }
        }
    }

    /// Takes in what is new and tells one thing, if one is due. How long to wait for the next.
    async fn round(&self, memory: &mut Memory) -> Result<Duration, LedgerError> {
        let now = self.clock.now();
        let channel = self.channel.clone();
        let (host, most) = (self.host.clone(), self.pace.most);
        self.with(move |outbox, name| {
            match &channel.carrier {
                Carrier::Alertmanager(receiver) => outbox.take_in(name, now.wall, |stored| {
                    receiver.entry(stored, &host, channel.events.contains(&stored.notice.kind))
                })?,
                _ => outbox.take_in(name, now.wall, |stored| {
                    if channel.events.contains(&stored.notice.kind) { Entry::Delivery } else { Entry::None }
                })?,
            }
            outbox.join(name, most, now.wall)
        })
        .await?;

        let wait = memory.rate.wait(now.mono).max(memory.hold.saturating_sub(now.mono));
        if !wait.is_zero() {
            return Ok(wait);
        }
        // Farther away no time of a next try is set.
        let longest = self.pace.longest.max(self.pace.resend);
        let told = match &self.channel.carrier {
            Carrier::Alertmanager(receiver) => {
                let due = self.with(move |outbox, name| outbox.due_alerts(name, now.wall, longest, BATCH)).await?;
                if due.is_empty() { false } else { self.alert(memory, receiver, due).await? }
            }
            _ => match self.with(move |outbox, name| outbox.due(name, now.wall, longest)).await? {
                Some(delivery) => self.deliver(memory, delivery).await?,
                None => false,
            },
        };
        if told {
            return Ok(Duration::ZERO);
        }
        let next = self.with(|outbox, name| outbox.next_at(name)).await?;
        let now = self.clock.now();
        let hold = memory.hold.saturating_sub(now.mono);
        Ok(next.map_or(LOOK, |next| next.since(now.wall)).max(hold))
    }

    /// Makes one delivery and records what came of it.
    async fn deliver(&self, memory: &mut Memory, delivery: Delivery) -> Result<bool, LedgerError> {
        memory.rate.count(self.clock.now().mono);
        let result = self.channel.deliver(&Envelope::new(&delivery.stored, &self.host)).await;
        let id = delivery.stored.id;
        match self.weigh(memory, result, delivery.tries) {
            Ok(now) => self.with(move |outbox, name| outbox.sent(name, id, now)).await?,
            Err((failure, times)) => {
                self.with(move |outbox, name| outbox.failed(name, id, &failure.message, times, failure.whole)).await?;
            }
        }
        Ok(true)
    }

    /// Sends alerts and records what came of it.
    async fn alert(&self, memory: &mut Memory, to: &Alertmanager, due: Vec<Alert>) -> Result<bool, LedgerError> {
        memory.rate.count(self.clock.now().mono);
        let result = to.send(&due, self.channel.timeout).await;
        // One that is not liked takes those beside it along: each by itself then, as far as the rate allows.
        let refused = result.as_ref().is_err_and(|failure| !failure.whole);
        if !refused || due.len() == 1 {
            self.record_alerts(memory, due, result).await?;
            return Ok(true);
        }
        for one in due {
            let now = self.clock.now().mono;
            if !memory.rate.wait(now).is_zero() || memory.hold > now {
                break;
            }
            memory.rate.count(now);
            let one = vec![one];
            let result = to.send(&one, self.channel.timeout).await;
            self.record_alerts(memory, one, result).await?;
        }
        Ok(true)
    }

    async fn record_alerts(
        &self,
        memory: &mut Memory,
        alerts: Vec<Alert>,
        result: Result<(), Failure>,
    ) -> Result<(), LedgerError> {
        let tries = alerts.iter().map(|alert| alert.tries).max().unwrap_or(0);
        let again = self.pace.resend;
        match self.weigh(memory, result, tries) {
            Ok(now) => self.with(move |outbox, name| outbox.alerts_sent(name, &alerts, now, again)).await,
            Err((failure, times)) => {
                self.with(move |outbox, name| outbox.alerts_failed(name, &alerts, &failure.message, times)).await
            }
        }
    }

    /// Success and when; or the failure with when, the time until the next try, and since when waiting is too long.
    fn weigh(
        &self,
        memory: &mut Memory,
        result: Result<(), Failure>,
        tries: u32,
    ) -> Result<Timestamp, (Failure, (Timestamp, Duration, Timestamp))> {
        let now = self.clock.now();
        let Err(failure) = result else {
            if memory.logged {
                tracing::info!(channel = %self.name, "notices get through again");
            }
            (memory.failures, memory.logged) = (0, false);
            return Ok(now.wall);
        };
        let tries = if failure.whole { memory.failures } else { tries };
        let delay = self.pace.backoff(tries, memory.dice.random_range(0.0..=1.0));
        if failure.whole {
            memory.failures = memory.failures.saturating_add(1);
            memory.hold = now.mono + delay;
        }
        if !memory.logged {
            tracing::warn!(channel = %self.name, error = failure.message, "a notice does not get through; it is tried again");
            memory.logged = true;
        }
        let give_up = u64::try_from(self.pace.give_up.as_nanos()).unwrap_or(u64::MAX);
        let cutoff = Timestamp::from_nanos(now.wall.as_nanos().saturating_sub(give_up));
        Err((failure, (now.wall, delay, cutoff)))
    }

    /// Asks the outbox, where waiting for the disk blocks nobody.
    async fn with<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Outbox, &str) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let (outbox, name) = (self.outbox.clone(), self.name.clone());
        let asked = tokio::task::spawn_blocking(move || ask(&outbox, &name)).await;
        asked.unwrap_or_else(|error| Err(LedgerError::Row(error.to_string())))
    }
}

/// FNV-1a.
fn seed(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
