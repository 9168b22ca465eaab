//! Collectors: each turns one source of the host into signals. They know the router and nothing behind it.
//!
//! A collector is a task that looks at what is wanted ([`Demand`](super::Demand)) and reads no more than that; it takes the
//! host from a root path, tells its [`Health`], and goes on where the host lacks something.

pub mod container;
pub mod file;
mod health;
pub mod host;
pub mod service;
pub mod timer;

pub use health::{Condition, Health, SourceView};

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::Router;
use crate::clock::Clock;

/// What every collector works with.
#[derive(Debug, Clone)]
pub struct Context {
    /// Where signals go, and what is wanted.
    pub router: Arc<Router>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where it says how it does.
    pub health: Arc<Health>,
    /// The host's root directory: `/`, in tests another.
    pub root: PathBuf,
    /// How often what cannot be pushed is read.
    pub interval: Duration,
}

impl Context {
    /// A file of the host, by its path without the leading `/`.
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.root.join(path)
    }
}
