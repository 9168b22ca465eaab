//! The API: HTTP over a Unix socket. What the command line shows, programs can ask for.

mod api;
mod cloud_event;
mod desk;
mod events;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod history;
mod ledger;
mod peer;
mod view;

pub use api::{Api, ApiError};
pub use desk::Desk;
pub use events::Outside;
pub use history::{HistoryView, PastView};
pub use view::{Collected, IncidentDetail, IncidentView, StatusView};
