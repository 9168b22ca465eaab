//! What a fleet would run, without running it: for `salve check`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::admission::admit;
use super::directory::{Directory, File};
use super::engine::Sandbox;
use super::fleet::configured;
use super::imports::Interfaces;
use super::limits::Limits;
use super::loader::Loaded;
use super::native::Compiler;
use super::trust::Trust;
use crate::clock::SystemClock;
use crate::config::Policy;

/// What was looked at, each with what is wrong with it.
#[derive(Debug, Default)]
pub struct Survey {
    /// Files by name.
    pub checked: Vec<(String, Option<String>)>,
}

/// Judges and loads every plugin, and tries every policy on its plugin, as far as `configure`.
/// Policies are held to these limits.
pub fn survey(
    plugins: &Path,
    policies: &Path,
    compiler: Compiler,
    limits: &Limits,
    trust: &Trust,
) -> Result<Survey, String> {
    let sandbox = Sandbox::within(compiler, limits)?;
    let mut survey = Survey::default();
    let policies: Vec<(String, Result<Policy, String>)> = files(policies, "toml", trust, &mut survey)
        .into_iter()
        .map(|file| (shown(&file), policy(&file, limits)))
        .collect();
    let mut loaded = BTreeMap::new();
    for file in files(plugins, "wasm", trust, &mut survey) {
        let pins: BTreeSet<String> = policies
            .iter()
            .filter_map(|(_, policy)| policy.as_ref().ok().filter(|policy| policy.plugin == file.stem)?.sha256.clone())
            .collect();
        let result = admit(&sandbox, trust, &file, &pins, None);
        let result = result.map(|admitted| admitted.loaded).map_err(|refusal| refusal.problem);
        survey.checked.push((shown(&file), result.as_ref().err().cloned()));
        loaded.insert(file.stem, result);
    }
    for (path, policy) in policies {
        let result = policy.and_then(|policy| match loaded.get(&policy.plugin) {
            Some(Ok(plugin)) => try_on(&sandbox, &policy, plugin, trust),
            Some(Err(_)) => Err(format!("its plugin {} does not load", policy.plugin)),
            None => Err(format!("there is no {}/{}.wasm", plugins.display(), policy.plugin)),
        });
        survey.checked.push((path, result.err()));
    }
    Ok(survey)
}

fn policy(file: &File, limits: &Limits) -> Result<Policy, String> {
    let text = String::from_utf8(file.content()?.to_vec()).map_err(|error| format!("not UTF-8: {error}"))?;
    Policy::parse_under(limits, &file.path, &text).map_err(|error| error.to_string())
}

fn try_on(sandbox: &Sandbox, policy: &Policy, plugin: &Loaded, trust: &Trust) -> Result<(), String> {
    trust.check_pin(policy, &plugin.digest)?;
    configured(sandbox, policy, plugin, Interfaces::default(), &SystemClock::new()).map(drop)
}

fn shown(file: &File) -> String {
    file.path.display().to_string()
}

fn files(path: &Path, ending: &'static str, trust: &Trust, survey: &mut Survey) -> Vec<File> {
    let mut directory = Directory::new(path.to_owned(), ending).with_signatures(trust.wants_signatures());
    match directory.changes() {
        Some(changes) => changes.changed,
        None => {
            survey.checked.push((path.display().to_string(), directory.problem()));
            Vec::new()
        }
    }
}
