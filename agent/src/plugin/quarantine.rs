//! Which plugins are not called any more, for the fleet: what the ledger says at the start, and what actors and persons say
//! after that.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::incident::Quarantine;

/// Quarantines by policy.
#[derive(Debug, Default)]
pub struct Quarantines(Mutex<BTreeMap<String, Quarantine>>);

impl Quarantines {
    /// Those that the ledger knows.
    pub fn new(known: impl IntoIterator<Item = Quarantine>) -> Self {
        Self(Mutex::new(known.into_iter().map(|quarantine| (quarantine.policy.clone(), quarantine)).collect()))
    }

    /// Begins one.
    pub(super) fn begin(&self, quarantine: Quarantine) {
        self.all().insert(quarantine.policy.clone(), quarantine);
    }

    /// The one of a policy, if it is about exactly this policy and plugin.
    pub(super) fn of(&self, policy: &str, basis: &str) -> Option<Quarantine> {
        self.all().get(policy).filter(|quarantine| quarantine.basis == basis).cloned()
    }

    /// Ends that of a policy, if there is one.
    pub(super) fn end(&self, policy: &str) {
        self.all().remove(policy);
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Quarantine>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
