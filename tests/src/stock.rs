//! What the scenarios of the stock plugins share: their policies, and what an incident's record must say.

use crate::agent::Incident;

/// A path without detours: seen, explained, healed, and looked at again.
pub const STRAIGHT: [&str; 5] = ["detected", "diagnosed", "recovering", "verifying", "resolved"];

/// A policy for the plugin of this name with these tables, and with guards that lose no time.
pub fn policy(name: &str, mode: &str, tables: &str) -> String {
    format!(
        "plugin = \"{name}\"\nmode = \"{mode}\"\n{tables}\n[guard]\nattempts = 4\n\
         backoff = {{ initial = \"10ms\", factor = 1.0, max = \"10ms\" }}\nflapping = {{ enabled = false }}\n"
    )
}

/// What was done, by kind and target.
///
/// # Panics
/// When an attempt had other than one action, or the last one did not work.
#[track_caller]
pub fn done(incident: &Incident) -> Vec<(&str, &str)> {
    let last = incident.attempts.last().and_then(|attempt| attempt.verdict.as_deref());
    assert_eq!(last, Some("healthy"), "{incident:#?}");
    let actions = incident.attempts.iter().map(|attempt| match &attempt.actions[..] {
        [action] => (action.kind.as_str(), action.target.as_str()),
        _ => panic!("{incident:#?}"),
    });
    actions.collect()
}

/// The most likely cause says so, in its sentence or its evidence.
///
/// # Panics
/// When it does not.
#[track_caller]
pub fn is_explained(incident: &Incident, by: &str) {
    let first = incident.causes.first().map(ToString::to_string).unwrap_or_default();
    assert!(first.contains(by), "{incident:#?}");
}
