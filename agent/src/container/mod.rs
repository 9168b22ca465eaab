//! Containers of this host, over the Docker API on a Unix socket: Docker's own, or podman's, which speaks the same.
//!
//! The collector looks at containers and the actuator acts on them; both go through here. The few endpoints that are needed
//! are asked with hyper, without a version in the path: Docker and podman then answer in the version they have.

mod act;
mod client;
mod model;
mod stream;

pub use act::Verb;
pub use client::Docker;
pub use model::{Container, Happening, Stats, Status};
pub use stream::Happenings;

/// Why the Docker API did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// Nobody offers the API here.
    #[error("no Docker API on this host: there is no {0}")]
    NoSocket(String),
    /// The socket is there, and nobody answers as they should.
    #[error("{socket} cannot be asked: {why}")]
    Lost {
        /// Which socket.
        socket: String,
        /// What went wrong.
        why: String,
    },
    /// There is no such container.
    #[error("there is no container `{0}`")]
    Unknown(String),
    /// It was asked, and said no.
    #[error("refused with {status}: {message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// In its own words.
        message: String,
    },
    /// The answer makes no sense.
    #[error("an answer that makes no sense: {0}")]
    Garbage(String),
    /// It was done and did not have the effect it should have.
    #[error("{0}")]
    Failed(String),
}
