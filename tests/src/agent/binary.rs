//! Where the program under test is.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// `$SALVE_BIN`; else `salve` of the same build as the running test, and if there is none, of the other profile.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = env::var_os("SALVE_BIN") {
        return Ok(PathBuf::from(path));
    }
    let test = env::current_exe()?; // target/PROFILE/deps/TEST
    let profile = test.ancestors().nth(2).unwrap_or(Path::new("."));
    let target = profile.parent().unwrap_or(profile);
    let candidates = [profile.join("salve"), target.join("release/salve"), target.join("debug/salve")];
    let found = candidates.into_iter().find(|path| path.is_file());
    found.with_context(|| format!("no salve in {}: `cargo build -p salve`, or set SALVE_BIN", target.display()))
}

/// Cargo's target directory of this build.
pub fn target() -> Result<PathBuf> {
    let profile = profile()?;
    Ok(profile.parent().unwrap_or(&profile).to_owned())
}

/// `target/PROFILE`, where the running test is `target/PROFILE/deps/TEST`.
fn profile() -> Result<PathBuf> {
    let test = env::current_exe()?;
    Ok(test.ancestors().nth(2).unwrap_or(Path::new(".")).to_owned())
}
