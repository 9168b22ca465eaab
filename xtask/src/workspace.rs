//! Where things are: the repository and its one target directory.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::shell;

/// The folder of the stock plugins, a cargo workspace of its own.
pub(crate) const PLUGINS: &str = "plugins";

/// The folder of the program that compiles plugins, a cargo workspace of its own.
pub(crate) const COMPILER: &str = "agent/compiler";

/// The folder of the good and misbehaving plugins that tests use, a cargo workspace of its own.
pub(crate) const GUESTS: &str = "tests/guests";

/// The folder of the plugins that attack the agent: one package, of which each is an example.
pub(crate) const HOSTILE: &str = "tests/hostile";

/// The folder of the fuzz targets, a cargo workspace of its own.
pub(crate) const FUZZ: &str = "tests/fuzz";

/// The repository.
pub(crate) struct Workspace {
    /// The directory with the workspace's `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// Cargo's target directory, wherever the developer's configuration puts it.
    pub(crate) target: PathBuf,
}

impl Workspace {
    /// Finds the repository this command was built from, and asks cargo for the target directory.
    pub(crate) fn find() -> Result<Self> {
        let crate_directory = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = crate_directory.parent().context("xtask is not in a folder of the repository")?.to_owned();
        let mut workspace = Self { root, target: PathBuf::new() };
        let metadata = shell::output(workspace.cargo(&["metadata", "--no-deps", "--format-version", "1"]))?;
        let metadata: serde_json::Value = serde_json::from_str(&metadata).context("`cargo metadata` is not JSON")?;
        let target = metadata.get("target_directory").and_then(|directory| directory.as_str());
        workspace.target = target.context("`cargo metadata` names no target directory")?.into();
        Ok(workspace)
    }

    /// The cargo that runs this command, about to run in the repository.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(&self.root).args(arguments);
        cargo
    }

    /// The same for a workspace in the folder `inner`, which compiles to WebAssembly and has its builds in target/wasm.
    pub(crate) fn inner_cargo(&self, inner: &str, arguments: &[&str]) -> Command {
        let mut cargo = self.cargo(arguments);
        cargo.arg("--manifest-path").arg(self.root.join(inner).join("Cargo.toml"));
        cargo.arg("--target-dir").arg(self.target.join("wasm"));
        cargo
    }

    /// The same for the compiler, whose builds go where the agent looks for it: beside the agent.
    pub(crate) fn compiler_cargo(&self, arguments: &[&str]) -> Command {
        let mut cargo = self.cargo(arguments);
        cargo.arg("--manifest-path").arg(self.root.join(COMPILER).join("Cargo.toml"));
        cargo.arg("--target-dir").arg(&self.target);
        cargo
    }

    /// Builds the compiler: apart from all else, because cargo gives everything that it builds in one go the same features.
    pub(crate) fn build_compiler(&self, release: bool) -> Result<()> {
        let arguments: &[&str] = if release { &["build", "--release"] } else { &["build"] };
        shell::run(self.compiler_cargo(arguments))
    }

    /// Builds the agent and its compiler, and says where the agent is.
    pub(crate) fn build_agent(&self, release: bool) -> Result<PathBuf> {
        self.build_compiler(release)?;
        let mut build = self.cargo(&["build", "--package", "salve"]);
        if release {
            build.arg("--release");
        }
        shell::run(build)?;
        Ok(self.target.join(if release { "release" } else { "debug" }).join("salve"))
    }
}
