//! What services need to work.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{PoisonError, RwLock};

/// The direct needs of every service that is known, by its name.
#[derive(Debug, Default)]
pub(super) struct Needs(RwLock<BTreeMap<String, BTreeSet<String>>>);

impl Needs {
    /// What `name` needs itself; empty if it is not known.
    pub(super) fn of(&self, name: &str) -> BTreeSet<String> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned().unwrap_or_default()
    }

    /// Takes in what `name` needs.
    pub(super) fn put(&self, name: &str, needs: BTreeSet<String>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), needs);
    }

    /// Makes an entry for `name`; false if there is one. Whoever makes it finds out what belongs there.
    pub(super) fn claim(&self, name: &str) -> bool {
        let mut needs = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let is_new = !needs.contains_key(name);
        if is_new {
            needs.insert(name.to_owned(), BTreeSet::new());
        }
        is_new
    }

    /// Forgets `name`.
    pub(super) fn remove(&self, name: &str) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// Forgets every name that is not to be kept.
    pub(super) fn retain(&self, keep: impl Fn(&str) -> bool) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).retain(|name, _| keep(name));
    }
}

/// Everything that `name` needs, directly or by what it needs, as far as `direct` knows; `name` itself is never part of it.
pub(super) fn closure(name: &str, direct: impl Fn(&str) -> BTreeSet<String>) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    let mut next = vec![name.to_owned()];
    while let Some(of) = next.pop() {
        for needed in direct(&of) {
            if needed != name && all.insert(needed.clone()) {
                next.push(needed);
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn needs_are_followed_and_cycles_end() {
        let needs = Needs::default();
        needs.put("a", set(&["b", "x"]));
        needs.put("b", set(&["c"]));
        needs.put("c", set(&["a", "b", "c"]));
        assert_eq!(closure("a", |name| needs.of(name)), set(&["b", "c", "x"]));
        assert_eq!(closure("c", |name| needs.of(name)), set(&["a", "b", "x"]));
        assert_eq!(closure("x", |name| needs.of(name)), set(&[]));
    }

    #[test]
    fn an_entry_is_claimed_once_until_it_is_forgotten() {
        let needs = Needs::default();
        assert!(needs.claim("a") && !needs.claim("a"));
        needs.put("a", set(&["b"]));
        assert!(!needs.claim("a"));
        assert_eq!(needs.of("a"), set(&["b"]));
        needs.retain(|name| name != "a");
        assert!(needs.claim("a"));
        needs.remove("a");
        assert!(needs.claim("a"));
    }
}
