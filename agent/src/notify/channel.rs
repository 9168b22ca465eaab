use std::collections::BTreeSet;
use std::time::Duration;

use super::{Alertmanager, Command, Envelope, Journal, Webhook};
use crate::config::Budget;
use crate::incident::NoticeKind;

/// A way to tell people, as the operator wrote it in `[notify.NAME]`.
#[derive(Debug, Clone)]
pub struct Channel {
    /// Which kinds of notice it is told of.
    pub events: BTreeSet<NoticeKind>,
    /// How many sendings it may take, as a count in any stretch of that length.
    pub rate: Budget,
    /// How long one may take.
    pub timeout: Duration,
    /// How they are made.
    pub carrier: Carrier,
}

/// How notices are told.
#[derive(Debug, Clone)]
pub enum Carrier {
    /// An HTTP request for each.
    Webhook(Webhook),
    /// Alerts that fire and are resolved.
    Alertmanager(Alertmanager),
    /// A program for each.
    Command(Command),
    /// An entry of the systemd journal for each.
    Journal(Journal),
}

impl Carrier {
    /// The word for it.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Webhook(_) => "webhook",
            Self::Alertmanager(_) => "alertmanager",
            Self::Command(_) => "command",
            Self::Journal(_) => "journal",
        }
    }
}

/// Why a notice did not get through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    /// In words.
    pub message: String,
    /// Whether the next would fail as well: the receiver is not there, rather than that it does not want this one.
    pub whole: bool,
}

impl Failure {
    /// The receiver is not there.
    pub(super) fn absent(message: impl Into<String>) -> Self {
        Self { message: message.into(), whole: true }
    }

    /// It does not want this one.
    pub(super) fn refused(message: impl Into<String>) -> Self {
        Self { message: message.into(), whole: false }
    }
}

impl Channel {
    /// Tells one notice within the timeout. An Alertmanager is told of alerts instead.
    pub(super) async fn deliver(&self, envelope: &Envelope<'_>) -> Result<(), Failure> {
        match &self.carrier {
            Carrier::Webhook(webhook) => webhook.deliver(envelope, self.timeout).await,
            Carrier::Command(command) => command.deliver(envelope, self.timeout).await,
            Carrier::Journal(journal) => journal.deliver(envelope).await,
            Carrier::Alertmanager(_) => Err(Failure::refused("an Alertmanager takes alerts, not messages")),
        }
    }
}
