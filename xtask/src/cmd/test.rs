//! `cargo xtask test`: everything that CI checks, in order, up to the first failure.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::{
    packages::{self, LAB},
    plugins, shell,
    workspace::{COMPILER, FUZZ, GUESTS, HOSTILE, PLUGINS, Workspace},
};

/// What is checked: a headline and how.
const STEPS: &[(&str, Step)] = &[
    ("format", format),
    ("packages", install_packages),
    ("plugins and guests", build),
    ("lints", lint),
    ("tests", test),
    ("tests of the plugins", test_plugins),
    ("documentation", document),
    ("dependencies", deny),
];

type Step = fn(&Context<'_>) -> Result<Done>;

/// What each step may need.
struct Context<'a> {
    workspace: &'a Workspace,
    e2e: bool,
}

/// How a step ended, if it did not fail.
enum Done {
    Passed,
    Skipped(&'static str),
}

/// Runs the steps, and ends with a summary.
pub(crate) fn run(workspace: &Workspace, e2e: bool) -> Result<()> {
    let context = Context { workspace, e2e };
    let mut summary = String::new();
    let mut failure = None;
    for (number, (name, step)) in STEPS.iter().enumerate() {
        if failure.is_some() {
            summary += &row("not run", None, name);
            continue;
        }
        println!("\n== {}/{} {name} ==", number + 1, STEPS.len());
        let start = Instant::now();
        let done = step(&context);
        let took = Some(start.elapsed());
        let line = match done {
            Ok(Done::Passed) => row("ok", took, name),
            Ok(Done::Skipped(why)) => row("skipped", None, &format!("{name}: {why}")),
            Err(error) => {
                failure = Some(error.context(*name));
                row("FAILED", took, name)
            }
        };
        print!("{line}");
        summary += &line;
    }
    println!("\n== summary ==\n{summary}");
    failure.map_or(Ok(()), Err)
}

/// A line of the summary.
fn row(outcome: &str, took: Option<Duration>, name: &str) -> String {
    let took = took.map_or(String::new(), |took| format!("{:.1} s", took.as_secs_f64()));
    format!("{outcome:<8} {took:>8}  {name}\n")
}

fn format(context: &Context<'_>) -> Result<Done> {
    for folder in [".", COMPILER, PLUGINS, GUESTS, HOSTILE, FUZZ] {
        let mut cargo = context.workspace.cargo(&["fmt", "--all", "--check", "--manifest-path"]);
        cargo.arg(context.workspace.root.join(folder).join("Cargo.toml"));
        shell::run(cargo).with_context(|| format!("not all is formatted: run `cargo fmt --all` in {folder}"))?;
    }
    Ok(Done::Passed)
}

fn install_packages(context: &Context<'_>) -> Result<Done> {
    if !context.e2e {
        return Ok(Done::Skipped("--no-e2e"));
    }
    if !packages::is_root() {
        println!("Not root: the end-to-end tests that boot hosts of their own are skipped.");
    }
    let missing = packages::install(LAB).context("`--no-e2e` leaves out the tests that need them")?;
    if missing.is_empty() {
        return Ok(Done::Passed);
    }
    println!("End-to-end tests that use one of these Debian packages are skipped:\n{}", packages::list(&missing));
    Ok(Done::Skipped("some are missing, and only root on Debian can install them"))
}

fn build(context: &Context<'_>) -> Result<Done> {
    plugins::build_all(context.workspace)?;
    Ok(Done::Passed)
}

fn lint(context: &Context<'_>) -> Result<Done> {
    let arguments = ["clippy", "--workspace", "--all-targets"];
    let workspace = context.workspace;
    for mut clippy in
        [workspace.cargo(&arguments), workspace.compiler_cargo(&arguments), workspace.inner_cargo(PLUGINS, &arguments)]
    {
        clippy.args(["--", "-D", "warnings"]);
        shell::run(clippy)?;
    }
    Ok(Done::Passed)
}

fn test(context: &Context<'_>) -> Result<Done> {
    let selected: &[&str] = if context.e2e { &["--workspace"] } else { &["--workspace", "--exclude", "salve-tests"] };
    context.workspace.build_compiler(false)?;
    shell::run(context.workspace.compiler_cargo(&["test"]))?;
    // The end-to-end tests start the agent; cargo builds it for its own package's tests alone.
    shell::run(context.workspace.cargo(&[&["build", "--bins"], selected].concat()))?;
    // One failure hides no other.
    shell::run(context.workspace.cargo(&[&["test", "--no-fail-fast"], selected].concat()))?;
    Ok(Done::Passed)
}

fn test_plugins(context: &Context<'_>) -> Result<Done> {
    shell::run(context.workspace.inner_cargo(PLUGINS, &["test", "--workspace", "--no-fail-fast"]))?;
    Ok(Done::Passed)
}

fn document(context: &Context<'_>) -> Result<Done> {
    let mut doc = context.workspace.cargo(&["doc", "--workspace", "--no-deps"]);
    doc.env("RUSTDOCFLAGS", "-D warnings");
    shell::run(doc)?;
    Ok(Done::Passed)
}

fn deny(context: &Context<'_>) -> Result<Done> {
    if shell::find_program("cargo-deny").is_none() {
        return Ok(Done::Skipped("cargo-deny is not installed (`cargo install cargo-deny`)"));
    }
    for folder in [".", COMPILER] {
        let manifest = context.workspace.root.join(folder).join("Cargo.toml");
        let mut deny = context.workspace.cargo(&["deny", "--manifest-path"]);
        deny.arg(manifest).args(["check", "--config"]).arg(context.workspace.root.join("deny.toml"));
        shell::run(deny)?;
    }
    Ok(Done::Passed)
}
