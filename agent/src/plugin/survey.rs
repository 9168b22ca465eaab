//! What a fleet would run, without running it: for `salve check`.

use std::collections::BTreeMap;
use std::path::Path;

use super::directory::Directory;
use super::engine::Sandbox;
use super::fleet::configured;
use super::imports::Interfaces;
use super::limits::Limits;
use super::loader::Loaded;
use super::native::Compiler;
use crate::clock::SystemClock;
use crate::config::Policy;

/// What was looked at, each with what is wrong with it.
#[derive(Debug, Default)]
pub struct Survey {
    /// Files by name.
    pub checked: Vec<(String, Option<String>)>,
}

/// Loads every plugin and tries every policy on its plugin, as far as `configure`, within what the agent allows them.
pub fn survey(plugins: &Path, policies: &Path, compiler: Compiler, limits: &Limits) -> Result<Survey, String> {
    let sandbox = Sandbox::within(compiler, limits)?;
    let mut survey = Survey::default();
    let mut loaded = BTreeMap::new();
    for (stem, path, content) in files(plugins, "wasm", &mut survey) {
        let result = content.and_then(|bytes| Loaded::new(&sandbox, &bytes).map_err(|error| error.to_string()));
        survey.checked.push((path, result.as_ref().err().cloned()));
        loaded.insert(stem, result);
    }
    for (_, path, content) in files(policies, "toml", &mut survey) {
        let result = content.and_then(|bytes| {
            let text = String::from_utf8(bytes).map_err(|error| format!("not UTF-8: {error}"))?;
            let policy = Policy::parse_under(limits, Path::new(&path), &text).map_err(|error| error.to_string())?;
            match loaded.get(&policy.plugin) {
                Some(Ok(plugin)) => try_on(&sandbox, &policy, plugin),
                Some(Err(_)) => Err(format!("its plugin {} does not load", policy.plugin)),
                None => Err(format!("there is no {}/{}.wasm", plugins.display(), policy.plugin)),
            }
        });
        survey.checked.push((path, result.err()));
    }
    Ok(survey)
}

fn try_on(sandbox: &Sandbox, policy: &Policy, plugin: &Loaded) -> Result<(), String> {
    configured(sandbox, policy, plugin, Interfaces::default(), &SystemClock::new()).map(drop)
}

type Content = Result<Vec<u8>, String>;

fn files(path: &Path, ending: &'static str, survey: &mut Survey) -> Vec<(String, String, Content)> {
    let mut directory = Directory::new(path.to_owned(), ending);
    let Some(changes) = directory.changes() else {
        survey.checked.push((path.display().to_string(), directory.problem()));
        return Vec::new();
    };
    let read = |file: super::directory::File| {
        let content = file.read().map_err(|error| format!("cannot be read: {error}"));
        (file.stem, file.path.display().to_string(), content)
    };
    changes.changed.into_iter().map(read).collect()
}
