use std::collections::VecDeque;

use super::{Event, Reading, Series};
use crate::clock::Timestamp;

/// Signals for one instance since its last call, oldest first.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Batch {
    /// When it was handed over.
    pub at: Timestamp,
    /// Series the instance has not heard of yet.
    pub new_series: Vec<Series>,
    /// Numbers of series that will not be seen again.
    pub gone_series: Vec<u32>,
    /// Samples.
    pub readings: VecDeque<Reading>,
    /// Events.
    pub events: VecDeque<Event>,
    /// How many signals were dropped for want of room.
    pub dropped: u64,
}

impl Batch {
    /// Whether there is nothing in it to tell.
    pub fn is_empty(&self) -> bool {
        self.new_series.is_empty()
            && self.gone_series.is_empty()
            && self.readings.is_empty()
            && self.events.is_empty()
            && self.dropped == 0
    }
}
