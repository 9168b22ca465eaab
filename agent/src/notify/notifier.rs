use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::channel::{Carrier, Channel};
use super::pace::Pace;
use super::worker::Worker;
use crate::clock::Clock;
use crate::incident::ledger::{ChannelState, LedgerError, Outbox};
use crate::incident::{About, Notice, NoticeKind};

/// How often deliveries that were done long ago are forgotten.
const PRUNE: Duration = Duration::from_secs(3600);

/// A channel as `salve status` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelView {
    /// Its name in the configuration.
    pub name: String,
    /// What it is: `webhook`, `alertmanager`, `command`, `journal`.
    pub channel: String,
    /// How it does.
    #[serde(flatten)]
    pub state: ChannelState,
}

/// Why a message is not sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// There is no such channel.
    #[error("there is no channel `{name}` that takes messages; {known}")]
    Unknown {
        /// Which.
        name: String,
        /// Which there are, in words.
        known: String,
    },
    /// It cannot be stored.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Tells people what the ledger's notices say, and messages.
#[derive(Debug)]
pub struct Notifier {
    outbox: Arc<Outbox>,
    channels: BTreeMap<Arc<str>, (Arc<Channel>, Arc<Notify>)>,
    clock: Arc<dyn Clock>,
    host: Arc<str>,
    pace: Pace,
}

impl Notifier {
    /// Over the channels of the configuration. To be made before the engine stores its first notice: what comes before
    /// that, a channel that is new does not tell.
    pub fn new(
        outbox: Outbox,
        channels: BTreeMap<String, Channel>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, LedgerError> {
        Self::with_pace(outbox, channels, clock, Pace::default())
    }

    /// The same at another pace.
    pub fn with_pace(
        outbox: Outbox,
        channels: BTreeMap<String, Channel>,
        clock: Arc<dyn Clock>,
        pace: Pace,
    ) -> Result<Self, LedgerError> {
        outbox.register(&channels.keys().map(String::as_str).collect::<Vec<_>>(), clock.now().wall)?;
        let channels = channels
            .into_iter()
            .map(|(name, channel)| (name.into(), (Arc::new(channel), Arc::new(Notify::new()))))
            .collect();
        let host = rustix::system::uname().nodename().to_string_lossy().into();
        Ok(Self { outbox: Arc::new(outbox), channels, clock, host, pace })
    }

    /// Delivers for ever: each channel in a task of its own. `poke` says that there may be new notices; permits of it that
    /// nobody waits for are kept.
    pub async fn run(&self, poke: Arc<Notify>) {
        // Dropped with this future, and all tasks with it.
        let mut tasks = JoinSet::new();
        for (name, (channel, own)) in &self.channels {
            let worker = Worker {
                name: name.clone(),
                host: self.host.clone(),
                channel: channel.clone(),
                outbox: self.outbox.clone(),
                clock: self.clock.clone(),
                pace: self.pace,
                poke: own.clone(),
            };
            tasks.spawn(worker.run());
        }
        let mut prune = tokio::time::interval(PRUNE);
        loop {
            tokio::select! {
                () = poke.notified() => {
                    for (_, own) in self.channels.values() {
                        own.notify_one();
                    }
                }
                _ = prune.tick() => {
                    let (outbox, now) = (self.outbox.clone(), self.clock.now().wall);
                    if let Ok(Err(error)) = tokio::task::spawn_blocking(move || outbox.prune(now)).await {
                        tracing::warn!(%error, "old deliveries cannot be forgotten");
                    }
                }
            }
        }
    }

    /// How each channel does, by name. Reads the ledger: not to be called where nothing may block.
    pub fn view(&self) -> Result<Vec<ChannelView>, LedgerError> {
        let view = |(name, (channel, _)): (&Arc<str>, &(Arc<Channel>, _))| {
            let channel = channel.carrier.as_str().to_owned();
            Ok(ChannelView { name: name.as_ref().to_owned(), channel, state: self.outbox.state(name)? })
        };
        self.channels.iter().map(view).collect()
    }

    /// Puts a message into the outbox of one channel, or, with `*`, of all that take messages: durable when it returns,
    /// delivered as any notice is. The same message for the same incident is not put there twice while it waits. Names the
    /// channels. Writes the ledger: not to be called where nothing may block.
    pub fn send_now(&self, channel: &str, message: &str, about: Option<About>) -> Result<Vec<String>, SendError> {
        let takes = |channel: &Channel| !matches!(channel.carrier, Carrier::Alertmanager(_));
        let chosen: Vec<_> = self
            .channels
            .iter()
            .filter(|(name, (one, _))| match channel {
                "*" => takes(one) && one.events.contains(&NoticeKind::Message),
                named => takes(one) && name.as_ref() == named,
            })
            .collect();
        if chosen.is_empty() {
            let known: Vec<_> =
                self.channels.iter().filter(|(_, (one, _))| takes(one)).map(|(name, _)| &**name).collect();
            let known = if known.is_empty() {
                "add one to salve.toml: [notify.NAME]".to_owned()
            } else {
                format!("there are: {}", known.join(", "))
            };
            return Err(SendError::Unknown { name: channel.to_owned(), known });
        }
        let now = self.clock.now().wall;
        let incident = about.as_ref().map_or("", |about| about.id.as_str());
        let digest = Sha256::digest(format!("{incident}\n{message}"));
        let digest: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let notice = Notice {
            kind: NoticeKind::Message,
            at: now,
            key: format!("message:{digest}"),
            reason: message.to_owned(),
            incident: about,
            actions: Vec::new(),
        };
        let names: Vec<&str> = chosen.iter().map(|(name, _)| &***name).collect();
        self.outbox.send(&names, &notice, now)?;
        for (_, (_, own)) in &chosen {
            own.notify_one();
        }
        Ok(names.into_iter().map(str::to_owned).collect())
    }
}
