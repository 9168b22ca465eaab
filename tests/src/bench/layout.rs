//! Where things are: all that was built lies around this program.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use salve_tests::run::run;

/// Cargo's target directory and this program's profile in it.
pub(super) struct Layout {
    target: PathBuf,
    profile: PathBuf,
}

impl Layout {
    /// From this program's own place, `target/PROFILE/salve-bench`.
    pub(super) fn find() -> Result<Self> {
        let program = env::current_exe().context("cannot tell where this program is")?;
        let profile = program.parent().context("this program is nowhere")?;
        let target = profile.parent().context("this program is in no target directory")?;
        Ok(Self { target: target.to_owned(), profile: profile.to_owned() })
    }

    /// The agent: `$SALVE_BIN`, else the one beside this program.
    pub(super) fn salve(&self) -> Result<PathBuf> {
        match env::var_os("SALVE_BIN") {
            Some(path) => Ok(path.into()),
            None => existing(self.profile.join("salve")),
        }
    }

    /// A stock plugin.
    pub(super) fn plugin(&self, name: &str) -> Result<PathBuf> {
        existing(self.target.join("plugins").join(name).with_extension("wasm"))
    }

    /// A plugin of the tests' own.
    pub(super) fn guest(&self, name: &str) -> Result<PathBuf> {
        existing(self.target.join("guests").join(name).with_extension("wasm"))
    }

    /// Where results are written.
    pub(super) fn results(&self) -> PathBuf {
        self.target.join("bench")
    }

    /// Compiles a C program of one file, linked statically: nothing starts faster, so that its start hides no difference.
    pub(super) fn compile(&self, name: &str, source: &str) -> Result<PathBuf> {
        let program = self.results().join(name);
        let file = program.with_extension("c");
        fs::create_dir_all(self.results())?;
        fs::write(&file, source).with_context(|| format!("cannot write {}", file.display()))?;
        let mut gcc = Command::new("gcc");
        gcc.args(["-O2", "-Wall", "-static", "-o"]).arg(&program).arg(&file);
        run(&mut gcc).context("the benchmarks need gcc and a static libc (Debian: gcc, libc6-dev)")?;
        Ok(program)
    }
}

fn existing(path: PathBuf) -> Result<PathBuf> {
    let found = Path::exists(&path).then_some(path);
    found.context("not everything is built: run this as `cargo xtask bench`")
}
