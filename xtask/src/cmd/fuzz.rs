//! `cargo xtask fuzz`: libFuzzer on what the agent reads from others.
//!
//! It needs no more than stable Rust and a C++ compiler: the instrumentation is LLVM's own, asked for by flags.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{
    shell,
    workspace::{FUZZ, PLUGINS, Workspace},
};

/// What `cargo fuzz --sanitizer=none` sets, but for what only a nightly Rust knows.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
                     -Cllvm-args=-sanitizer-coverage-pc-table -Ccodegen-units=16";
/// How long each target runs unless it is told.
pub(crate) const SECONDS: u64 = 60;
/// The longest input in bytes.
const LONGEST: usize = 16 << 10;

/// Builds all targets, and runs one of them or each of them for so many seconds.
pub(crate) fn run(workspace: &Workspace, target: Option<&str>, seconds: u64) -> Result<()> {
    let known = targets(workspace)?;
    if let Some(unknown) = target.filter(|target| !known.iter().any(|known| known == target)) {
        bail!("there is no target `{unknown}`; possible: {}", known.join(", "));
    }
    workspace.build_compiler(false)?;
    let directory = workspace.target.join("fuzz");
    // With a target named, build scripts and macros are not instrumented: they are of the host.
    let host = host(workspace)?;
    let mut build = workspace.cargo(&["build", "--target", &host]);
    build.arg("--manifest-path").arg(workspace.root.join(FUZZ).join("Cargo.toml"));
    build.arg("--target-dir").arg(&directory).env("RUSTFLAGS", FLAGS);
    match target {
        Some(target) => drop(build.args(["--bin", target])),
        None => drop(build.arg("--bins")),
    }
    shell::run(build)?;
    for name in known.iter().filter(|name| target.is_none_or(|target| target == *name)) {
        let program = directory.join(&host).join("debug").join(name);
        fuzz(workspace, name, &program, seconds)?;
    }
    Ok(())
}

/// Runs a target. What it finds out is kept in target/fuzz/corpus; what fails goes to target/fuzz/failures.
fn fuzz(workspace: &Workspace, name: &str, program: &Path, seconds: u64) -> Result<()> {
    let corpus = workspace.target.join("fuzz/corpus").join(name);
    let failures = workspace.target.join("fuzz/failures").join(name);
    shell::make_directory(&corpus)?;
    shell::make_directory(&failures)?;
    if name == "config" {
        for plugin in entries(&workspace.root.join(PLUGINS))? {
            let policy = plugin.join("policy.toml");
            if let (Some(stem), true) = (plugin.file_name(), policy.is_file()) {
                fs::copy(&policy, corpus.join(stem)).with_context(|| format!("cannot copy {}", policy.display()))?;
            }
        }
    }
    let mut fuzz = Command::new(program);
    fuzz.arg(&corpus).arg(workspace.root.join(FUZZ).join("seeds").join(name));
    fuzz.arg(format!("-artifact_prefix={}/", failures.display()));
    fuzz.args([format!("-max_total_time={seconds}"), format!("-max_len={LONGEST}")]);
    // One input may take so many seconds; a target may take so many MB.
    fuzz.args(["-timeout=20", "-rss_limit_mb=2048", "-print_final_stats=1"]);
    fuzz.env("SALVE_COMPILE", workspace.target.join("debug/salve-compile"));
    shell::run(fuzz).with_context(|| {
        format!("target {name} failed; run {} with the file it has left to see it again", program.display())
    })
}

/// The names of the targets: a file each.
fn targets(workspace: &Workspace) -> Result<Vec<String>> {
    let files = entries(&workspace.root.join(FUZZ).join("fuzz_targets"))?;
    let stems = files.iter().filter_map(|file| Some(file.file_stem()?.to_string_lossy().into_owned()));
    let mut stems: Vec<String> = stems.collect();
    stems.sort();
    Ok(stems)
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    Ok(entries.flatten().map(|entry| entry.path()).collect())
}

/// What this machine is to Rust: `x86_64-unknown-linux-gnu`.
fn host(workspace: &Workspace) -> Result<String> {
    let told = shell::output(workspace.cargo(&["--version", "--verbose"]))?;
    let host = told.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("`cargo --version --verbose` names no host")
}
