//! The contract, host side: what crosses into and out of the sandbox, converted once at this edge.

pub(super) mod bindings;
mod decode;
mod encode;

pub use decode::Description;
pub(super) use decode::{
    Malformed, attributes as decoded, causes, description, findings, line, recovery, subscription, text, verdict,
};
pub(super) use encode::{attributes, batch, incident, past};
