//! The contract, host side: what crosses into and out of the sandbox, converted once at this edge.

pub(super) mod bindings;
mod decode;
mod encode;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod weight;

pub use decode::Description;
pub(super) use decode::{
    Malformed, attributes as decoded, causes, cut, description, findings, line, not_too_heavy, recovery, subscription,
    text, verdict,
};
pub(super) use encode::{attributes, batch, incident, past};
pub(super) use weight::Weigh;
