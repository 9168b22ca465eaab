//! `cargo xtask bench`: the agent measured beside its peers.

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
    workspace.build_agent(true)?;
    let bench = ["run", "--release", "--package", "salve-tests", "--bin", "salve-bench", "--"];
    shell::run(workspace.cargo(&[&bench, arguments].concat()))
}
