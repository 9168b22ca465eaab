//! Salve: a host agent that heals.
//!
//! It collects health signals, hands them to sandboxed WebAssembly plugins, and carries out what they decide, under guard
//! rails that no plugin can reach. Folders follow the flow:
//!
//! | room | what happens there |
//! |---|---|
//! | [`config`] | the operator's files, checked |
//! | [`service`] | the managers of services: systemd, and the agent's own |
//! | [`container`] | containers, by the Docker API |
//! | [`signal`] | collectors, and the router that hands each signal to whoever wants it |
//! | [`plugin`] | WebAssembly: loading, the sandbox, one actor for each instance |
//! | [`incident`] | the state machine, the engine that drives it, the ledger that keeps it |
//! | [`guard`] | what a plan must pass |
//! | [`action`] | actions and the actuators that do them |
//! | [`notify`] | telling people: channels, fed from the ledger's outbox |
//! | [`control`] | the API |
//! | `http` | the outgoing HTTP client |
//! | `permission` | who else may change a file |
//! | `run` | running a program to its end |
//! | [`cli`] | the commands |
//! | [`agent`] | all of it, connected |

pub mod action;
pub mod agent;
pub mod cli;
pub mod clock;
pub mod config;
pub mod container;
pub mod control;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod guard;
mod http;
pub mod incident;
mod memory;
pub mod notify;
mod permission;
pub mod plugin;
mod run;
pub mod service;
pub mod signal;
mod walk;
