use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::{Batch, Cause, Finding, Incident, Recovery, Subscription, Verdict};

/// A plugin that keeps its [`state`](crate::state) in another shape than an earlier version of it did. Exported by
/// `export!(Type, migrate)`.
pub trait Migrate: Remediator {
    /// Converts what version `from` (of the crate, by its Cargo.toml) left in [`state`](crate::state). Called once, before this
    /// version is configured in its place. What it changes counts as a whole, and only if there is no error; the error is shown
    /// to the operator, and the earlier version goes on with what it had.
    fn migrate(from: &str) -> Result<(), String>;
}

/// A plugin's logic. Most plugins write [`configure`](Self::configure), [`detect`](Self::detect) and
/// [`recover`](Self::recover) only.
///
/// Calls come one at a time and must be short: the host ends one that takes more than its CPU deadline (100 ms unless the
/// policy says otherwise). A panic ends the instance; the host logs its message and starts a new one, which is
/// configured again and has lost what it did not put into [`state`](crate::state).
pub trait Remediator: Sized + 'static {
    /// What the operator writes under `[config]`. `#[serde(deny_unknown_fields)]` makes a typing error visible; doc
    /// comments become the schema's descriptions.
    type Config: DeserializeOwned + JsonSchema;

    /// Patterns `kind:target` of the actions this plugin may ask for: what the operator is advised to grant.
    fn wants() -> Vec<String> {
        Vec::new()
    }

    /// Makes the plugin from its configuration and says which signals it is to be given. An error is shown to the operator
    /// and the plugin does not run.
    fn configure(config: Self::Config) -> Result<(Self, Subscription), String>;

    /// What is wrong and what is no longer wrong, given what is new. Raising a fault that is already open updates it.
    fn detect(&mut self, batch: &Batch<'_>) -> Vec<Finding>;

    /// Why the fault is there, the most likely cause first. Called once for each incident.
    fn diagnose(&mut self, incident: &Incident) -> Vec<Cause> {
        let _ = incident;
        Vec::new()
    }

    /// What to do now. Called before each attempt; `incident.attempts` holds what was tried already, and a
    /// [`Ladder`](crate::Ladder) says what comes next. By default a person is asked, since a plugin that only detects has
    /// nothing else to offer.
    fn recover(&mut self, incident: &Incident) -> Recovery {
        Recovery::Escalate(format!("{} only detects: {}", incident.fault.kind, incident.fault.summary))
    }

    /// Whether the last attempt worked. By default by what [`detect`](Self::detect) said since: see
    /// [`Incident::as_detected`].
    fn verify(&mut self, incident: &Incident) -> Verdict {
        incident.as_detected()
    }
}
