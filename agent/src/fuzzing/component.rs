//! A plugin's file.

use std::env;
use std::path::PathBuf;
use std::sync::LazyLock;

use crate::plugin::{Compiler, LoadError, Loaded, Sandbox};

/// The compiler beside the program that runs, or two directories above, or where `SALVE_COMPILE` says.
fn program() -> Option<PathBuf> {
    let named = env::var_os("SALVE_COMPILE").map(PathBuf::from);
    let this = env::current_exe().ok();
    let places = this.iter().flat_map(|this| this.ancestors().skip(1).take(2));
    named.or_else(|| places.map(|place| place.join("salve-compile")).find(|path| path.is_file()))
}

/// None where there is no compiler, because then nothing is looked at but the beginning of a file.
static SANDBOX: LazyLock<Option<Sandbox>> = LazyLock::new(|| Sandbox::new(Compiler::new(Some(program()?))).ok());

/// Any bytes are a plugin or not, but the compiler never fails on them by itself.
pub fn component(bytes: &[u8]) {
    let Some(sandbox) = &*SANDBOX else { return };
    if let Err(LoadError::Compile(why)) = Loaded::new(sandbox, bytes) {
        assert!(why.starts_with("it does not compile"), "{why}");
    }
}

/// Whether there is a compiler, without which [`component`] does nothing.
pub fn compiler_holds() -> bool {
    SANDBOX.is_some()
}
