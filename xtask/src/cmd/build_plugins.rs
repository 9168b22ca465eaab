//! `cargo xtask build-plugins`: the stock plugins, compiled.

use std::path::{self, Path};

use anyhow::{Context, Result};

use crate::{
    plugins,
    workspace::{PLUGINS, Workspace},
};

/// Builds the stock plugins into `out`, or into target/plugins.
pub(crate) fn run(workspace: &Workspace, out: Option<&Path>) -> Result<()> {
    let out = out.map_or_else(|| workspace.target.join("plugins"), Path::to_owned);
    let out = path::absolute(&out).with_context(|| format!("`{}` is not a directory", out.display()))?;
    plugins::build(workspace, PLUGINS, &out)
}
