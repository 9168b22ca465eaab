//! Compiles a workspace of plugins and puts what comes out where the agent can load it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{
    shell, wasm_target,
    workspace::{GUESTS, HOSTILE, PLUGINS, Workspace},
};

/// Builds the stock plugins into target/plugins, the tests' guests into target/guests, and those that attack the agent into
/// target/hostile.
pub(crate) fn build_all(workspace: &Workspace) -> Result<()> {
    for (inner, folder) in [(PLUGINS, "plugins"), (GUESTS, "guests"), (HOSTILE, "hostile")] {
        build(workspace, inner, &workspace.target.join(folder))?;
    }
    Ok(())
}

/// Builds each plugin of the workspace in the folder `inner` and puts it into `out` as `<package>.wasm`, or as
/// `<example>.wasm` where one package makes them all.
pub(crate) fn build(workspace: &Workspace, inner: &str, out: &Path) -> Result<()> {
    wasm_target::ensure()?;
    let arguments = ["build", "--workspace", "--lib", "--examples", "--release", "--target", wasm_target::TARGET];
    let mut cargo = workspace.inner_cargo(inner, &arguments);
    println!("$ {}", shell::line(&cargo));
    cargo.arg("--message-format=json-render-diagnostics");
    let messages = shell::output(cargo)?;

    let artefacts = artefacts(&messages, &workspace.root.join(inner));
    if artefacts.is_empty() {
        bail!(
            "{inner} has no plugin: a crate becomes one by `crate-type = [\"cdylib\"]` under [lib] in its Cargo.toml"
        );
    }
    shell::make_directory(out)?;
    for artefact in &artefacts {
        install(artefact, out)?;
    }
    Ok(())
}

/// Puts a compiled plugin into a directory, under a name with dashes: cargo names the file as Rust names the crate.
pub(crate) fn install(artefact: &Path, directory: &Path) -> Result<()> {
    let stem = artefact.file_stem().context("a compiled plugin has no name")?.to_string_lossy().replace('_', "-");
    let plugin = directory.join(stem).with_extension("wasm");
    let code = fs::read(artefact).with_context(|| format!("cannot read {}", artefact.display()))?;
    let changed = shell::replace(&plugin, &code)?;
    let news = if changed { "" } else { ", unchanged" };
    println!("  {} ({} KB{news})", shell::short(&plugin), code.len().div_ceil(1024));
    Ok(())
}

/// The .wasm files among what cargo says it has made, of the crates in `folder` alone: a dependency may make one too.
fn artefacts(messages: &str, folder: &Path) -> Vec<PathBuf> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let ours = messages.filter(|message| {
        let manifest = message.get("manifest_path").and_then(Value::as_str);
        message.get("reason").is_some_and(|reason| reason == "compiler-artifact")
            && manifest.is_some_and(|manifest| Path::new(manifest).starts_with(folder))
    });
    let files = ours.filter_map(|message| message.get("filenames")?.as_array().cloned()).flatten();
    let files = files.filter_map(|file| file.as_str().map(PathBuf::from));
    files.filter(|file| file.extension().is_some_and(|extension| extension == "wasm")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_wasm_files_are_artefacts() {
        let messages = r#"
            {"reason":"compiler-artifact","manifest_path":"/r/plugins/disk-full/Cargo.toml","filenames":["/t/disk_full.wasm"]}
            {"reason":"compiler-artifact","manifest_path":"/r/plugins/common/Cargo.toml","filenames":["/t/libcommon.rlib"]}
            {"reason":"compiler-artifact","manifest_path":"/registry/dep/Cargo.toml","filenames":["/t/dep.wasm"]}
            {"reason":"build-finished","success":true}"#;
        assert_eq!(artefacts(messages, Path::new("/r/plugins")), [Path::new("/t/disk_full.wasm")]);
    }
}
