//! Admission: from a file of the plugins directory to a plugin that may run. What is hashed is what is verified is what is
//! compiled.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::directory::File;
use super::engine::Sandbox;
use super::loader::{LoadError, Loaded};
use super::trust::{Trust, TrustError, Verified, digest};
use super::versions::Versions;

/// A plugin that may run, and by what it was recognised.
pub(super) struct Admitted {
    pub(super) loaded: Arc<Loaded>,
    pub(super) verified: Verified,
    /// Why this version runs and not the one in the file.
    pub(super) instead: Option<String>,
}

/// What a file waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WaitsFor {
    /// A policy that pins it.
    Pin,
    /// The compiler.
    Compiler,
}

/// Why a file does not run as it is now.
pub(super) struct Refusal {
    /// What is in the file, where it was read.
    pub(super) digest: Option<Arc<str>>,
    /// What might change that.
    pub(super) waits_for: Option<WaitsFor>,
    /// For people.
    pub(super) problem: String,
}

impl From<String> for Refusal {
    fn from(problem: String) -> Self {
        Self { digest: None, waits_for: None, problem }
    }
}

/// Judges a file and loads it; where that version of it has failed its trial, the last good one.
pub(super) fn admit_good(
    sandbox: &Sandbox,
    trust: &Trust,
    versions: Option<&Versions>,
    file: &File,
    pins: &BTreeSet<String>,
    current: Option<Arc<Loaded>>,
) -> Result<Admitted, Refusal> {
    if let Some((versions, rollback)) = versions.and_then(|it| Some((it, it.rollback(&file.stem)?)))
        && *digest(&file.content()?) == *rollback.failed
    {
        let good = versions.instead_of(file, &rollback.good);
        let problem = match admit(sandbox, trust, &good, pins, current.clone()) {
            Ok(admitted) if *admitted.verified.digest == *rollback.good => {
                return Ok(Admitted { instead: Some(rollback.reason), ..admitted });
            }
            Ok(_) => "it was changed".to_owned(),
            Err(refusal) if refusal.waits_for == Some(WaitsFor::Compiler) => return Err(refusal),
            Err(refusal) => refusal.problem,
        };
        tracing::warn!(
            plugin = file.stem,
            "the version in the file was rolled back, but the one before it is not there any more: {problem}"
        );
    }
    admit(sandbox, trust, file, pins, current)
}

/// Judges a file and loads it. `pins` are the digests that policies of this plugin pin. What is in `current` already is not
/// compiled again.
pub(super) fn admit(
    sandbox: &Sandbox,
    trust: &Trust,
    file: &File,
    pins: &BTreeSet<String>,
    current: Option<Arc<Loaded>>,
) -> Result<Admitted, Refusal> {
    let bytes = &file.content()?;
    let refusal = |problem: String| Refusal { digest: Some(digest(bytes)), waits_for: None, problem };
    let verified = trust.check(&file.path, bytes, file.signature().as_ref(), pins).map_err(|error| Refusal {
        waits_for: matches!(error, TrustError::Unpinned { .. }).then_some(WaitsFor::Pin),
        ..refusal(error.to_string())
    })?;
    let loaded = match current.filter(|current| current.digest == verified.digest) {
        Some(current) => current,
        None => Arc::new(Loaded::new(sandbox, bytes).map_err(|error| Refusal {
            waits_for: (error == LoadError::Uncompiled).then_some(WaitsFor::Compiler),
            ..refusal(error.to_string())
        })?),
    };
    trust.check_wants(&loaded.description).map_err(|error| refusal(error.to_string()))?;
    Ok(Admitted { loaded, verified, instead: None })
}
