//! Plugins: loading, running and supervising WebAssembly components. The only place that names wasmtime.

mod actor;
mod admission;
mod allowance;
mod canary;
mod content;
mod contract;
mod directory;
mod engine;
mod fleet;
mod imports;
mod instance;
pub mod limits;
mod loader;
mod migration;
mod native;
mod quarantine;
mod rhythm;
mod schema;
mod supervisor;
mod survey;
mod trace;
mod trust;
mod versions;
mod view;
mod watch;

pub use contract::Description;
#[cfg(any(test, fuzzing))]
pub(crate) use contract::fuzz as contract_fuzz;
pub use engine::Sandbox;
pub use fleet::{Fleet, Parts, configured};
pub use imports::Interfaces;
pub use instance::{CallError, Instance};
pub use limits::Limits;
pub use loader::{LoadError, Loaded};
pub use native::Compiler;
pub use quarantine::Quarantines;
pub use survey::{Survey, survey};
pub use trust::{Signature, SignatureFlaw, Signer, Statement, Trust, TrustError, Verified, signature_of};
pub use view::{FleetView, InstanceState, InstanceView, PluginView, PolicyView};
