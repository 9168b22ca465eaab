//! `cargo xtask bench`: the agent measured beside its peers.

use std::process::Command;

use anyhow::Result;

use crate::{
    packages::{self, LAB, PEERS},
    plugins, shell,
    workspace::Workspace,
};

/// Installs the peers, builds everything as it would be shipped, and runs the benchmarks, with the arguments handed on.
pub(crate) fn run(workspace: &Workspace, arguments: &[&str]) -> Result<()> {
    let missing = packages::install(LAB.iter().chain(PEERS))?;
    if !missing.is_empty() {
        println!("Not measured, for want of these Debian packages:\n{}", packages::list(&missing));
    }
    plugins::build_all(workspace)?;
    workspace.build_compiler(true)?;
    // In one go, because both link all of the agent: that takes minutes, and so they do it side by side.
    let both = ["--package", "salve", "--package", "salve-tests"];
    let build = ["build", "--release", "--bin", "salve", "--bin", "salve-bench"];
    shell::run(workspace.cargo(&[build.as_slice(), &both].concat()))?;
    let mut bench = Command::new(workspace.target.join("release/salve-bench"));
    bench.args(arguments);
    shell::run(bench)
}
