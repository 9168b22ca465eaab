//! The API: HTTP over a Unix socket, read-only in this version. What the command line shows, programs can ask for.

mod api;
mod ledger;
mod view;

pub use api::{Api, ApiError};
pub use view::{IncidentDetail, IncidentView, StatusView};
