//! What the tests with compiled plugins share: one sandbox, the files, and an incident.
//!
//! The plugins are built by `cargo xtask build-plugins` and `cargo xtask test`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{LazyLock, Mutex};

use salve::clock::Timestamp;
use salve::incident::{Attempt, Fault, Incident, State};
use salve::plugin::{Compiler, LoadError, Loaded, Sandbox};

static SANDBOX: LazyLock<Sandbox> = LazyLock::new(|| Sandbox::new(compiler()).unwrap());

/// Beside the agent of the build that this test is of: `target/PROFILE/deps/TEST`.
pub(crate) fn compiler() -> Compiler {
    let build = std::env::current_exe().unwrap();
    Compiler::new(Some(build.ancestors().nth(2).unwrap().join("salve-compile")))
}

/// Plugins that were compiled already, by folder and stem.
static LOADED: Mutex<BTreeMap<(String, String), Loaded>> = Mutex::new(BTreeMap::new());

/// The sandbox of every test in the file.
pub(crate) fn sandbox() -> &'static Sandbox {
    &SANDBOX
}

/// Takes bytes for a plugin.
pub(crate) fn load(bytes: &[u8]) -> Result<Loaded, LoadError> {
    Loaded::new(sandbox(), bytes)
}

/// A plugin of `plugins` or `guests`, compiled once.
pub(crate) fn loaded(folder: &str, stem: &str) -> Loaded {
    let mut all = LOADED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let key = (folder.to_owned(), stem.to_owned());
    all.entry(key).or_insert_with(|| load(&bytes(folder, stem)).unwrap()).clone()
}

/// Its file.
pub(crate) fn bytes(folder: &str, stem: &str) -> Vec<u8> {
    let path = file(folder, stem);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; run `cargo xtask test`", path.display()))
}

/// Where that is.
pub(crate) fn file(folder: &str, stem: &str) -> PathBuf {
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().to_owned();
    target.join(folder).join(format!("{stem}.wasm"))
}

/// So many seconds after the epoch.
pub(crate) fn at(seconds: u64) -> Timestamp {
    Timestamp::from_nanos(seconds * 1_000_000_000)
}

/// An open incident about a fault.
pub(crate) fn incident(fault: Fault, opened_at: Timestamp, attempts: Vec<Attempt>) -> Incident {
    Incident {
        id: "1".into(),
        plugin: "p".into(),
        policy: "test".into(),
        fault,
        state: State::Diagnosed,
        opened_at,
        resolved_at: None,
        causes: vec![],
        attempts,
        digest: String::new(),
        since: Timestamp::default(),
        occurred_at: Timestamp::default(),
        round: 0,
        pending: None,
        cause: None,
        flapping: false,
        resolution: None,
        basis: String::new(),
    }
}
