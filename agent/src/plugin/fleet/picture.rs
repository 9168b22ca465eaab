//! What the fleet looks like from outside.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::directory::Directory;
use super::super::view::{FleetView, PluginView, PolicyView};
use super::Fleet;
use crate::config::Policy;

impl Fleet {
    /// Makes the present picture readable; counts are read when it is asked for.
    pub(super) fn publish(&self) {
        let plugins: Vec<PluginView> = self
            .plugins
            .iter()
            .map(|(name, source)| (name, source, self.before_trial(name).or(source.good.as_ref())))
            .map(|(name, source, runs)| PluginView {
                name: name.clone(),
                digest: runs.map(|loaded| loaded.digest.to_string()),
                signed_by: self.signers.get(name).map(|signer| signer.key.clone()),
                description: runs.map(|loaded| loaded.description.clone()),
                problem: match (&source.good, source.loading) {
                    (None, Some(_)) => Some("it is being loaded".to_owned()),
                    _ => source.problem.clone().or_else(|| self.name_taken(name)),
                },
            })
            .collect();
        let mut policies = Vec::new();
        let mut boards = Vec::new();
        for (name, policy) in self.all_policies() {
            let refused = self.refused.get(&name).map(|(_, problem)| problem.clone());
            let file_problem = self.policies.get(&name).and_then(|source| source.problem.clone());
            policies.push(PolicyView {
                plugin: policy.as_ref().map_or_else(String::new, |policy| policy.plugin.clone()),
                mode: policy.as_ref().map_or("", |policy| policy.rules.mode.as_str()).to_owned(),
                written: self.policies.contains_key(&name),
                instance: None,
                canary: self.canaries.get(&name).map(|canary| canary.loaded.digest.to_string()),
                problem: file_problem.or(refused),
                name: name.clone(),
            });
            boards.push(self.instances.get(&name).map(|running| running.handle.board.clone()));
        }
        let problems = [&self.plugin_files, &self.policy_files].into_iter().filter_map(Directory::problem).collect();
        let picture = FleetView { plugins, policies, problems };
        self.view.send_replace(Arc::new(move || {
            let mut picture = picture.clone();
            for (policy, board) in picture.policies.iter_mut().zip(&boards) {
                policy.instance = board.as_ref().map(|board| board.read());
            }
            picture
        }));
    }

    /// Why a plugin without a policy does not run under the one of its own name: there would be two.
    fn name_taken(&self, stem: &str) -> Option<String> {
        let written = |name: &String| self.policies.get(name).and_then(|source| source.good.as_ref());
        let used = self.policies.keys().filter_map(written).any(|policy| policy.plugin == stem);
        let other = written(&stem.to_owned()).filter(|_| !used)?;
        let directory = self.policy_files.path().display();
        Some(format!(
            "it has no policy, and cannot run under one of its own name: {directory}/{stem}.toml is about `{}`; write a \
             policy for it under another name",
            other.plugin
        ))
    }

    /// Every policy, also those whose file was never good.
    fn all_policies(&self) -> BTreeMap<String, Option<Arc<Policy>>> {
        let mut all: BTreeMap<String, Option<Arc<Policy>>> =
            self.policies.iter().map(|(name, source)| (name.clone(), source.good.clone())).collect();
        all.extend(self.desired().into_iter().map(|(name, policy)| (name, Some(policy))));
        all
    }
}
