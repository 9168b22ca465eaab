//! Telling people. Notices are in the ledger, in the same transaction as what they tell of; from there each channel takes
//! those it wants into the outbox and delivers them in a task of its own, so that a channel that is dead delays neither the
//! engine nor another channel. Deliveries are made at least once.

mod alertmanager;
mod channel;
mod command;
mod envelope;
mod journal;
mod notifier;
mod pace;
mod post;
mod template;
#[cfg(test)]
mod tests;
mod webhook;
mod worker;

pub use alertmanager::Alertmanager;
pub use channel::{Carrier, Channel};
pub use command::Command;
pub use envelope::Envelope;
pub use journal::Journal;
pub use notifier::{ChannelView, Notifier, SendError};
pub use pace::Pace;
pub use template::Template;
pub use webhook::{Secret, Webhook};
