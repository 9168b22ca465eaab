//! The commands, a file each.

pub(crate) mod bench;
pub(crate) mod build_plugins;
pub(crate) mod demo;
pub(crate) mod fuzz;
pub(crate) mod run;
pub(crate) mod test;
