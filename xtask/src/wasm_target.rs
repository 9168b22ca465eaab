//! The compiler's target for plugins.

use std::{env, path::Path, process::Command};

use anyhow::{Context, Result};

use crate::shell;

/// WASI 0.2: what rustc compiles to is a component already.
pub(crate) const TARGET: &str = "wasm32-wasip2";

/// Makes sure that rustc can compile plugins, by adding the target where it is missing.
pub(crate) fn ensure() -> Result<()> {
    if installed()? {
        return Ok(());
    }
    let mut rustup = Command::new("rustup");
    rustup.args(["target", "add", TARGET]);
    shell::run(rustup).with_context(|| {
        format!(
            "rustc has no standard library for {TARGET}, which plugins compile to, and it could not be added. \
             With rustup: get online and run `rustup target add {TARGET}`. With a distribution's Rust: install its \
             standard library for that target, or use rustup (https://rustup.rs)"
        )
    })
}

/// Whether the target's standard library is beside the compiler.
fn installed() -> Result<bool> {
    let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.args(["--print", "target-libdir", "--target", TARGET]);
    let directory = shell::output(rustc)?;
    Ok(Path::new(directory.trim()).is_dir())
}
