//! From the files of both directories to plugins and policies: each is read when it has changed, and what is broken leaves the
//! last good version in its place.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::task::{block_in_place, spawn_blocking};

use super::super::admission::{Admitted, Refusal, WaitsFor, admit_good};
use super::super::directory::File;
use super::{Fleet, Sandbox};
use crate::config::Policy;

/// A file of either directory: the last good version of it, and what is wrong with it as it is now.
pub(super) struct Source<T> {
    pub(super) good: Option<Arc<T>>,
    pub(super) problem: Option<String>,
    /// The load that is under way, by its number.
    pub(super) loading: Option<u64>,
    /// Whether `good` runs in the place of what is in the file, which failed its trial.
    pub(super) is_rolled_back: bool,
}

impl<T> Default for Source<T> {
    fn default() -> Self {
        Self { good: None, problem: None, loading: None, is_rolled_back: false }
    }
}

impl<T> Source<T> {
    pub(super) fn update(&mut self, result: Result<Arc<T>, String>) {
        match result {
            Ok(good) => (self.good, self.problem, self.is_rolled_back) = (Some(good), None, false),
            Err(problem) => self.problem = Some(problem),
        }
        self.loading = None;
    }
}

/// A load that has ended.
pub(super) struct Load {
    number: u64,
    file: Arc<File>,
    /// What was pinned when it began.
    pins: Arc<BTreeSet<String>>,
    result: Result<Admitted, Refusal>,
}

impl Fleet {
    /// Begins to load what is new.
    pub(super) fn read_plugins(&mut self) {
        let anew: Vec<String> = self
            .unpinned
            .iter()
            .filter(|(stem, tried)| self.pins(stem) != **tried)
            .map(|(stem, _)| stem.clone())
            .collect();
        anew.iter().for_each(|stem| self.plugin_files.forget(stem));
        // A directory that cannot be read says nothing about what should run.
        let Some(changes) = block_in_place(|| self.plugin_files.changes()) else {
            return;
        };
        for gone in changes.gone {
            self.plugins.remove(&gone);
            self.signers.remove(&gone);
            self.unpinned.remove(&gone);
            if let Some(versions) = &self.versions {
                versions.forget(&gone);
            }
        }
        for file in changes.changed {
            self.last_load += 1;
            let number = self.last_load;
            let pins = self.pins(&file.stem);
            let source = self.plugins.entry(file.stem.clone()).or_default();
            source.loading = Some(number);
            let current = source.good.clone();
            let (sandbox, trust, at_once) = (self.parts.sandbox.clone(), self.trust.clone(), self.at_once.clone());
            let (versions, compilers) = (self.versions.clone(), self.compilers.clone());
            let (file, pins) = (Arc::new(file), Arc::new(pins));
            let admitting = {
                let (file, pins) = (file.clone(), pins.clone());
                async move |sandbox: Sandbox| {
                    let (trust, versions, current) = (trust.clone(), versions.clone(), current.clone());
                    let (file, pins) = (file.clone(), pins.clone());
                    let admit = move || admit_good(&sandbox, &trust, versions.as_deref(), &file, &pins, current);
                    let admitted = spawn_blocking(admit).await;
                    admitted.unwrap_or_else(|error| Err(format!("loading it ended early: {error}").into()))
                }
            };
            self.loads.spawn(async move {
                // None of the two is ever closed, so there is always a permit.
                let permit = at_once.acquire_owned().await;
                let mut result = admitting(sandbox.without_compiling()).await;
                drop(permit);
                // What is not known waits for the compiler apart, with nothing in its hands: it holds up nothing that is.
                if result.as_ref().is_err_and(|refusal| refusal.waits_for == Some(WaitsFor::Compiler)) {
                    let _permit = compilers.acquire_owned().await;
                    result = admitting(sandbox).await;
                }
                Load { number, file, pins, result }
            });
        }
    }

    /// What the policies of a plugin pin, where that decides whether it is compiled.
    fn pins(&self, stem: &str) -> BTreeSet<String> {
        let policies = self.policies.values().filter_map(|source| source.good.as_ref());
        let pins = policies.filter(|policy| self.trust.wants_pins() && policy.plugin == stem);
        pins.filter_map(|policy| policy.sha256.clone()).collect()
    }

    /// A load has ended, and what follows from it.
    pub(super) async fn loaded(&mut self, load: Load) {
        let Load { number, file, pins, result } = load;
        let (stem, path) = (file.stem.as_str(), file.path.display());
        // Meanwhile the file may have been removed, or replaced by another.
        let Some(source) = self.plugins.get_mut(stem).filter(|source| source.loading == Some(number)) else { return };
        self.unpinned.remove(stem);
        let result = match result {
            Ok(Admitted { loaded, verified, instead }) => {
                let (about, sha256) = (&loaded.description, &*verified.digest);
                let signed_by = verified.signer.as_ref().map(|signer| signer.key.as_str());
                tracing::info!(plugin = stem, sha256, signed_by, "loaded {} {}", about.name, about.version);
                match verified.signer {
                    Some(signer) => drop(self.signers.insert(stem.to_owned(), signer)),
                    None => drop(self.signers.remove(stem)),
                }
                Ok((loaded, instead))
            }
            Err(Refusal { digest, waits_for, problem }) => {
                let (sha256, running) = (digest.as_deref(), source.good.as_ref().map(|good| &*good.digest));
                let rest = if running.is_some() { "; the version before it keeps running" } else { "" };
                tracing::error!(plugin = stem, sha256, running, "refused {path}: {problem}{rest}");
                if waits_for == Some(WaitsFor::Pin) {
                    self.unpinned.insert(stem.to_owned(), (*pins).clone());
                }
                Err(problem)
            }
        };
        match result {
            Ok((loaded, None)) => source.update(Ok(loaded)),
            Ok((loaded, Some(reason))) => {
                tracing::warn!(
                    plugin = stem,
                    sha256 = &*loaded.digest,
                    "it runs in the place of what is in {path}: {reason}"
                );
                source.update(Ok(loaded));
                (source.problem, source.is_rolled_back) = (Some(reason), true);
            }
            Err(problem) => source.update(Err(problem)),
        }
        // A policy that pins it may have come meanwhile.
        if self.unpinned.contains_key(stem) {
            self.read_plugins();
        }
        self.reconcile().await;
        self.publish();
    }

    pub(super) fn read_policies(&mut self) {
        let Some(changes) = block_in_place(|| self.policy_files.changes()) else {
            return;
        };
        for gone in changes.gone {
            self.policies.remove(&gone);
        }
        for file in changes.changed {
            let text = file.content().and_then(|bytes| {
                String::from_utf8(bytes.to_vec())
                    .map_err(|error| format!("{}: not UTF-8: {error}", file.path.display()))
            });
            let limits = &self.parts.limits;
            let parse =
                |text: String| Policy::parse_under(limits, &file.path, &text).map_err(|error| error.to_string());
            let policy = text.and_then(parse);
            if let Err(problem) = &policy {
                tracing::error!(policy = file.stem, "{problem}");
            }
            self.policies.entry(file.stem).or_default().update(policy.map(Arc::new));
        }
    }
}
