use std::time::Duration;

use super::Host;
use super::contract::history::{Host as History, Past};
use super::contract::types::Attribute;
use crate::plugin::contract::{self, decoded};
use crate::plugin::limits;
use crate::signal::{Bounds, Selector};

/// What may be told at once.
const BOUNDS: Bounds =
    Bounds { series: limits::HISTORY_SERIES, each: limits::HISTORY_SAMPLES, total: limits::HISTORY_SAMPLES };

impl History for Host {
    fn query(&mut self, metric: String, matching: Vec<Attribute>, window: u64) -> wasmtime::Result<Vec<Past>> {
        let selector = Selector::new(&metric, decoded(matching));
        self.timed(|host, _| {
            let found = host.interfaces.history.past(
                &selector,
                Duration::from_millis(window),
                // The time of the call, as everything else the guest sees.
                host.moment.at(),
                BOUNDS,
            );
            let mut size = 0;
            let told = found.into_iter().map(contract::past).take_while(|past| {
                size += weight(past);
                size <= host.limits.transfer
            });
            Ok(told.collect())
        })
    }
}

/// The bytes that cross into the sandbox, or a few more.
fn weight(past: &Past) -> usize {
    let attributes = past.attributes.iter().map(|attribute| {
        let super::contract::types::Value::Text(text) = &attribute.value else { return 0 };
        32 + attribute.key.len() + text.len()
    });
    32 + past.metric.len() + attributes.sum::<usize>() + 16 * past.samples.len()
}
