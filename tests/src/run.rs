//! Running a command to its end.

use std::process::Command;

use anyhow::{Context, Result, bail};

/// Runs `command` and returns what it wrote to standard output.
///
/// # Errors
/// When it cannot be started or does not succeed; then with its status and what it wrote to standard error.
pub fn run(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_owned();
    let output = command.output().with_context(|| format!("cannot start {}", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        bail!("{command:?}: {}: {}{}", output.status, text, error.trim_end());
    }
    Ok(text)
}
