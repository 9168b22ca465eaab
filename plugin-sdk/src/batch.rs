use std::time::Duration;

use crate::bindings::salve::plugin::types::{Batch as WireBatch, Reading, Series};
use crate::{Attribute, Attributes, Event, Value};

/// The series this instance was told of, by their number. Numbers are dense, so a vector finds them fastest.
#[derive(Debug, Default)]
pub(crate) struct SeriesTable(Vec<Option<Series>>);

impl SeriesTable {
    /// Takes over what a batch says of new and gone series.
    pub(crate) fn update(&mut self, new: Vec<Series>, gone: &[u32]) {
        for number in gone {
            if let Some(slot) = self.0.get_mut(*number as usize) {
                *slot = None;
            }
        }
        for series in new {
            let number = series.id as usize;
            if self.0.len() <= number {
                self.0.resize_with(number + 1, || None);
            }
            if let Some(slot) = self.0.get_mut(number) {
                *slot = Some(series);
            }
        }
    }

    fn get(&self, number: u32) -> Option<&Series> {
        self.0.get(number as usize)?.as_ref()
    }
}

/// What is new since the last call: samples and events, oldest first.
#[derive(Debug)]
pub struct Batch<'a> {
    at: u64,
    readings: Vec<Reading>,
    events: Vec<Event>,
    dropped: u64,
    series: &'a SeriesTable,
}

/// A metric's value at the time of the batch.
#[derive(Debug, Clone, Copy)]
pub struct Sample<'a> {
    /// The metric's name: `system.memory.utilization`.
    pub metric: &'a str,
    /// In the unit the metric's convention gives.
    pub value: f64,
    attributes: &'a [Attribute],
}

impl Attributes for Sample<'_> {
    fn attributes(&self) -> &[Attribute] {
        self.attributes
    }
}

impl<'a> Batch<'a> {
    pub(crate) fn new(wire: WireBatch, series: &'a mut SeriesTable) -> Self {
        series.update(wire.new_series, &wire.gone_series);
        Self { at: wire.at, readings: wire.readings, events: wire.events, dropped: wire.dropped, series }
    }

    /// The time of the batch, since the Unix epoch.
    pub fn at(&self) -> Duration {
        Duration::from_nanos(self.at)
    }

    /// The samples.
    pub fn samples(&self) -> impl Iterator<Item = Sample<'_>> {
        self.readings.iter().filter_map(|reading| {
            let series = self.series.get(reading.series)?;
            Some(Sample { metric: &series.metric, value: reading.value, attributes: &series.attributes })
        })
    }

    /// The latest value of the first series of `metric` whose text attributes have these values.
    pub fn value(&self, metric: &str, matching: &[(&str, &str)]) -> Option<f64> {
        let fits = |sample: &Sample<'_>| {
            sample.metric == metric && matching.iter().all(|(key, value)| sample.text(key) == Some(value))
        };
        self.samples().filter(fits).last().map(|sample| sample.value)
    }

    /// Whether it has no samples.
    pub(crate) fn is_of_events(&self) -> bool {
        self.readings.is_empty()
    }

    /// The events.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// The events of one name.
    pub fn events_named(&self, name: &str) -> impl Iterator<Item = &Event> {
        self.events.iter().filter(move |event| event.name == name)
    }

    /// How many signals the host had to drop for this plugin since the last call.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

impl Sample<'_> {
    /// The value of an attribute.
    pub fn attribute(&self, key: &str) -> Option<&Value> {
        self.get(key)
    }
}
