//! Collectors: each turns one source of the host into signals. They know the router and nothing behind it.

pub mod host;
pub mod service;
