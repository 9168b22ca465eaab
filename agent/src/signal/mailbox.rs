use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use super::{Batch, Event, Reading, Series};
use crate::clock::Timestamp;

/// Where signals wait for an instance: one growing batch, bounded. Whatever arrives while a call is under way is handed
/// over together by the next.
#[derive(Debug)]
pub struct Mailbox {
    pending: Mutex<Batch>,
    bell: Notify,
    readings: usize,
    events: usize,
}

impl Default for Mailbox {
    fn default() -> Self {
        Self::bounded(Self::READINGS, Self::EVENTS)
    }
}

impl Mailbox {
    /// Most readings that wait for one instance, unless told otherwise; the oldest go first. An instance that is called once
    /// a second would have to watch this many series to lose one.
    pub const READINGS: usize = 4096;
    /// Most events that wait for one instance, unless told otherwise; the oldest go first.
    pub const EVENTS: usize = 1024;

    /// One that holds so many readings and events.
    pub fn bounded(readings: usize, events: usize) -> Self {
        Self { pending: Mutex::default(), bell: Notify::new(), readings, events }
    }

    /// Adds what one publication brings.
    pub(super) fn deliver(&self, new_series: Vec<Series>, gone_series: Vec<u32>, readings: Vec<Reading>) {
        if new_series.is_empty() && gone_series.is_empty() && readings.is_empty() {
            return;
        }
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.new_series.extend(new_series);
        pending.gone_series.extend(gone_series);
        pending.readings.extend(readings);
        let surplus = pending.readings.len().saturating_sub(self.readings);
        pending.readings.drain(..surplus);
        pending.dropped += surplus as u64;
        drop(pending);
        self.bell.notify_one();
    }

    /// Adds an event.
    pub(super) fn deliver_event(&self, event: Event) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        if pending.events.len() >= self.events {
            pending.events.pop_front();
            pending.dropped += 1;
        }
        pending.events.push_back(event);
        drop(pending);
        self.bell.notify_one();
    }

    /// Takes everything that waits; `None` if nothing does.
    pub fn take(&self, at: Timestamp) -> Option<Batch> {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        if pending.is_empty() {
            return None;
        }
        let mut batch = std::mem::take(&mut *pending);
        batch.at = at;
        Some(batch)
    }

    /// Resolves once something may have arrived since the last [`take`](Self::take).
    pub async fn ring(&self) {
        self.bell.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_readings_go_first_and_are_counted() {
        let mailbox = Mailbox::default();
        let readings = (0..Mailbox::READINGS + 3).map(|n| Reading { series: n as u32, value: 0.0 }).collect();
        mailbox.deliver(vec![], vec![], readings);
        let batch = mailbox.take(Timestamp::default()).unwrap();
        assert_eq!((batch.readings.len(), batch.dropped), (Mailbox::READINGS, 3));
        assert_eq!(batch.readings[0].series, 3);
        assert_eq!(mailbox.take(Timestamp::default()), None);
    }

    #[test]
    fn a_smaller_one_holds_less() {
        let mailbox = Mailbox::bounded(2, 1);
        mailbox.deliver(vec![], vec![], vec![Reading { series: 1, value: 0.0 }; 5]);
        for subject in ["first", "second"] {
            let (name, subject) = ("test".into(), subject.to_owned());
            let (attributes, body, at) = (vec![], String::new(), Timestamp::default());
            mailbox.deliver_event(Event { name, subject, attributes, body, at, caused_by: None });
        }
        let batch = mailbox.take(Timestamp::default()).unwrap();
        assert_eq!((batch.readings.len(), batch.events.len(), batch.dropped), (2, 1, 4));
        assert_eq!(batch.events[0].subject, "second");
    }
}
