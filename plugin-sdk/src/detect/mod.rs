//! Detection in small pieces: each takes a value with its time and says one thing about it.
//!
//! | question | piece |
//! |---|---|
//! | Is it beyond a limit, and for long enough to matter? | [`Threshold`], configured by a [`Limit`] |
//! | How fast does a counter count, or a gauge move? | [`Rate`] |
//! | What is usual lately, how far does it vary, and is this value unusual? | [`Ewma`] |
//! | The same where outliers must not count as usual | [`RobustZ`] |
//! | Does it grow, is that more than chance, and when does it reach a limit? | [`Trend`] |
//! | What comes next where the trend bends or the day has a rhythm? | [`HoltWinters`] |
//! | Did the level shift for good, by little, and when? | [`Cusum`] |
//! | Does it come and go too often? | [`Flapping`] |
//! | How many in the last minutes? | [`CountWithin`] |
//! | How many log lines of a class in the last minutes, and is that a fault? | [`LogCount`] |
//!
//! They compose: a counter becomes a rate, the rate an average, the average is held against a limit.
//!
//! ```
//! use std::time::Duration;
//! use salve_plugin_sdk::detect::{Ewma, Limit, Rate, Threshold};
//! use salve_plugin_sdk::prelude::*;
//!
//! struct Errors { rate: Rate, usual: Ewma, high: Threshold }
//!
//! impl Errors {
//!     fn new(limit: Limit) -> Self {
//!         Self { rate: Rate::of_counter(), usual: Ewma::new(Duration::from_secs(60)), high: Threshold::new(limit) }
//!     }
//!
//!     fn detect(&mut self, batch: &Batch<'_>) -> Option<Finding> {
//!         let errors = batch.value("http.server.errors", &[])?;
//!         let rate = self.rate.push(batch.at(), errors)?;
//!         self.usual.push(batch.at(), rate);
//!         let high = self.high.push(batch.at(), self.usual.mean()?)?;
//!         Some(Fault::new("errors.high", "web").present_if(high))
//!     }
//! }
//! ```
//!
//! These rules hold for all of them.
//!
//! - A value that is no number, is infinite or beyond ±1e100 is ignored, and so is one that is not later than the last.
//! - After ten in a row that are earlier than the last one, the clock was set back, and the piece begins anew; a
//!   [`Threshold`] that was raised stays raised until its readings say otherwise.
//! - Nothing panics, and memory is bounded, whatever comes in.
//! - `None` means: not known yet. A plugin that has just been started then says nothing, and what the agent knows stands.
//! - They are plain data: an author keeps one in [`state`](crate::state) and goes on with it by [`Resume::resume`].

mod clock;
mod count_within;
mod crossing;
mod cusum;
mod ewma;
mod flapping;
mod holt_winters;
mod limit;
mod log_count;
mod normal;
mod rate;
mod resume;
mod robust_z;
mod spread;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod threshold;
mod timestamp;
mod trend;
mod trend_line;

pub use count_within::CountWithin;
pub use crossing::Crossing;
pub use cusum::{Change, Cusum, Direction};
pub use ewma::Ewma;
pub use flapping::Flapping;
pub use holt_winters::{Forecast, HoltWinters};
pub use limit::Limit;
pub use log_count::{LogChange, LogCount, LogRule};
pub use rate::Rate;
pub use resume::Resume;
pub use robust_z::RobustZ;
pub use threshold::Threshold;
pub use timestamp::Timestamp;
pub use trend::Trend;
pub use trend_line::TrendLine;
