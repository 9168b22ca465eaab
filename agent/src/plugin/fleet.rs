//! The fleet: which plugins run under which policies. One task looks at the two directories and brings what runs in line
//! with what they hold; whatever is broken stays out, and what ran before it keeps running.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, watch};
use tokio::task::{block_in_place, spawn_blocking};

use super::actor::{Build, Handle, Setup};
use super::admission::admit;
use super::directory::{Directory, File};
use super::engine::Sandbox;
use super::imports::Interfaces;
use super::instance::Instance;
use super::loader::Loaded;
use super::schema;
use super::trust::{Signer, Trust};
use super::view::{FleetView, PluginView, PolicyView};
use super::watch::DirectoryWatch;
use crate::clock::Clock;
use crate::config::Policy;
use crate::incident::{Input, Question};
use crate::signal::{Router, Subscription};

/// What the fleet works with.
#[derive(Clone)]
pub struct Parts {
    /// Compiles and runs.
    pub sandbox: Sandbox,
    /// What plugins can look at.
    pub interfaces: Interfaces,
    /// Delivers signals.
    pub router: Arc<Router>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Where findings and answers go.
    pub engine: mpsc::Sender<Input>,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Parts")
    }
}

/// The fleet.
pub struct Fleet {
    parts: Parts,
    trust: Trust,
    plugin_files: Directory,
    policy_files: Directory,
    plugins: BTreeMap<String, Source<Loaded>>,
    /// Who signed the good versions, where signatures are wanted.
    signers: BTreeMap<String, Signer>,
    /// Plugins that wait for a policy that pins them, with what was pinned when that was last looked at.
    unpinned: BTreeMap<String, BTreeSet<String>>,
    policies: BTreeMap<String, Source<Policy>>,
    instances: BTreeMap<String, Handle>,
    /// Why a policy has no instance, or not the one it should have; by the basis that was tried.
    refused: BTreeMap<String, (Arc<str>, String)>,
    questions: Arc<Questions>,
    view: watch::Sender<Arc<dyn Fn() -> FleetView + Send + Sync>>,
}

impl std::fmt::Debug for Fleet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fleet").field("instances", &self.instances.keys()).finish()
    }
}

/// Where each policy's questions go.
type Questions = Mutex<BTreeMap<String, mpsc::UnboundedSender<Question>>>;

/// A file of either directory: the last good version of it, and what is wrong with it as it is now.
struct Source<T> {
    good: Option<Arc<T>>,
    problem: Option<String>,
}

impl<T> Default for Source<T> {
    fn default() -> Self {
        Self { good: None, problem: None }
    }
}

impl<T> Source<T> {
    fn update(&mut self, result: Result<Arc<T>, String>) {
        match result {
            Ok(good) => (self.good, self.problem) = (Some(good), None),
            Err(problem) => self.problem = Some(problem),
        }
    }
}

impl Fleet {
    /// A fleet that runs what these directories hold.
    pub fn new(parts: Parts, plugins: PathBuf, policies: PathBuf) -> Self {
        Self {
            parts,
            trust: Trust::default(),
            plugin_files: Directory::new(plugins, "wasm"),
            policy_files: Directory::new(policies, "toml"),
            plugins: BTreeMap::new(),
            signers: BTreeMap::new(),
            unpinned: BTreeMap::new(),
            policies: BTreeMap::new(),
            instances: BTreeMap::new(),
            refused: BTreeMap::new(),
            questions: Arc::default(),
            view: watch::Sender::new(Arc::new(FleetView::default)),
        }
    }

    /// The same, but only of plugins that pass this judgement.
    pub fn trusting(mut self, trust: Trust) -> Self {
        self.plugin_files = self.plugin_files.with_signatures(trust.wants_signatures());
        self.trust = trust;
        self
    }

    /// What the fleet looks like, at any time.
    pub fn view(&self) -> impl Fn() -> FleetView + Send + Sync + Clone + 'static {
        let current = self.view.subscribe();
        move || {
            let read = current.borrow().clone();
            read()
        }
    }

    /// Hands a question to the instance of a policy; one that has none does not answer.
    pub fn ask(&self) -> impl Fn(&str, Question) + Send + 'static {
        let questions = self.questions.clone();
        move |policy, question| {
            let questions = questions.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(door) = questions.get(policy) {
                // An instance that is just being stopped: its successor is asked when it arrives.
                let _ = door.send(question);
            }
        }
    }

    /// Runs what the directories hold, and keeps to it as they change; ends with its task.
    pub async fn run(mut self) {
        let mut watch = DirectoryWatch::new(&[self.plugin_files.path(), self.policy_files.path()]);
        loop {
            self.look().await;
            watch.changed().await;
            watch.attach(self.plugin_files.path());
            watch.attach(self.policy_files.path());
        }
    }

    /// One look at the directories, and everything that follows from it.
    pub async fn look(&mut self) {
        // Policies first: what they pin may decide whether a plugin is compiled at all.
        self.read_policies();
        self.read_plugins().await;
        self.reconcile().await;
        self.publish();
    }

    async fn read_plugins(&mut self) {
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
        }
        for file in changes.changed {
            self.read_plugin(file).await;
        }
    }

    async fn read_plugin(&mut self, file: File) {
        let (stem, path, pins) = (file.stem.clone(), file.path.display().to_string(), self.pins(&file.stem));
        let (sandbox, trust, tried) = (self.parts.sandbox.clone(), self.trust.clone(), pins.clone());
        let current = self.plugins.get(&stem).and_then(|source| source.good.clone());
        let running = current.as_ref().map(|current| current.digest.clone());
        // Compiling takes both a while and a core; other tasks go on meanwhile.
        let admitted = spawn_blocking(move || admit(&sandbox, &trust, &file, &pins, current)).await;
        let admitted = match admitted {
            Ok(admitted) => admitted,
            Err(error) => Err(format!("the compiler failed: {error}").into()),
        };
        self.unpinned.remove(&stem);
        let result = match admitted {
            Ok(admitted) => {
                let (about, signer) = (&admitted.loaded.description, admitted.verified.signer);
                tracing::info!(
                    plugin = stem,
                    sha256 = &*admitted.verified.digest,
                    signed_by = signer.as_ref().map(|signer| signer.key.as_str()),
                    "loaded {} {}",
                    about.name,
                    about.version
                );
                match signer {
                    Some(signer) => drop(self.signers.insert(stem.clone(), signer)),
                    None => drop(self.signers.remove(&stem)),
                }
                Ok(admitted.loaded)
            }
            Err(refusal) => {
                let (sha256, running) = (refusal.digest.as_deref(), running.as_deref());
                let rest = if running.is_some() { "; the version before it keeps running" } else { "" };
                tracing::error!(plugin = stem, sha256, running, "refused {path}: {}{rest}", refusal.problem);
                if refusal.unpinned {
                    self.unpinned.insert(stem.clone(), tried);
                }
                Err(refusal.problem)
            }
        };
        self.plugins.entry(stem).or_default().update(result);
    }

    /// What the policies of a plugin pin, where that decides whether it is compiled.
    fn pins(&self, stem: &str) -> BTreeSet<String> {
        let policies = self.policies.values().filter_map(|source| source.good.as_ref());
        let pins = policies.filter(|policy| self.trust.wants_pins() && policy.plugin == stem);
        pins.filter_map(|policy| policy.sha256.clone()).collect()
    }

    fn read_policies(&mut self) {
        let Some(changes) = block_in_place(|| self.policy_files.changes()) else {
            return;
        };
        for gone in changes.gone {
            self.policies.remove(&gone);
        }
        for File { stem, path, content, .. } in changes.changed {
            let text = content.and_then(|bytes| {
                String::from_utf8(bytes).map_err(|error| format!("{}: not UTF-8: {error}", path.display()))
            });
            let policy = text.and_then(|text| Policy::parse(&path, &text).map_err(|error| error.to_string()));
            if let Err(problem) = &policy {
                tracing::error!(policy = stem, "{problem}");
            }
            self.policies.entry(stem).or_default().update(policy.map(Arc::new));
        }
    }

    /// The policies that should have an instance: the written ones, and one for each plugin that none is about.
    fn desired(&self) -> BTreeMap<String, Arc<Policy>> {
        let written = self.policies.iter().filter_map(|(name, source)| Some((name.clone(), source.good.clone()?)));
        let mut desired: BTreeMap<String, Arc<Policy>> = written.collect();
        let used: BTreeSet<String> = desired.values().map(|policy| policy.plugin.clone()).collect();
        for (stem, _) in self.plugins.iter().filter(|(stem, source)| source.good.is_some() && !used.contains(*stem)) {
            // A policy file of that name that is about another plugin, or broken, is the operator's: it is not overruled.
            if !self.policies.contains_key(stem) {
                desired.insert(stem.clone(), Arc::new(Policy::implicit(stem)));
            }
        }
        desired
    }

    async fn reconcile(&mut self) {
        let desired = self.desired();
        let surplus: Vec<String> = self.instances.keys().filter(|name| !desired.contains_key(*name)).cloned().collect();
        for name in surplus {
            self.unload(&name).await;
        }
        self.refused.retain(|name, _| desired.contains_key(name));
        for (name, policy) in desired {
            let Some(loaded) = self.plugins.get(&policy.plugin).and_then(|source| source.good.clone()) else {
                self.missing(&name, &policy).await;
                continue;
            };
            let basis: Arc<str> = format!("{}/{}", policy.digest, loaded.digest).into();
            if self.instances.get(&name).is_some_and(|running| running.basis == basis) {
                // Back to what runs: an earlier refusal is about something that is not there any more.
                self.refused.remove(&name);
                continue;
            }
            if self.refused.get(&name).is_some_and(|(tried, _)| *tried == basis) {
                continue;
            }
            self.replace(&name, policy, loaded, basis).await;
        }
    }

    /// Starts an instance, or puts a new one in the place of another; where that fails, the other keeps running.
    async fn replace(&mut self, name: &str, policy: Arc<Policy>, loaded: Arc<Loaded>, basis: Arc<str>) {
        let build = self.builder(policy.clone(), loaded.clone());
        let sha256 = &*loaded.digest;
        let running = self.instances.get(name).map(|running| plugin_digest(&running.basis).to_owned());
        match self.trust.check_pin(&policy, sha256).and_then(|()| block_in_place(&build)) {
            Ok((instance, subscription)) => {
                if let Some(before) = self.instances.remove(name) {
                    before.stop().await;
                }
                // Held until the door is there: the first thing an arrival brings is a question to it.
                let mut questions = self.questions();
                let handle = Handle::start(
                    Setup {
                        policy: policy.name.clone(),
                        plugin: policy.plugin.as_str().into(),
                        rules: policy.rules.clone(),
                        basis,
                        digest: loaded.digest.clone(),
                        build,
                        router: self.parts.router.clone(),
                        clock: self.parts.clock.clone(),
                        engine: self.parts.engine.clone(),
                    },
                    instance,
                    subscription,
                );
                questions.insert(name.to_owned(), handle.questions());
                drop(questions);
                self.instances.insert(name.to_owned(), handle);
                self.refused.remove(name);
                let mode = policy.rules.mode.as_str();
                tracing::info!(policy = name, plugin = policy.plugin, sha256, mode, replaced = running, "running");
            }
            Err(problem) => {
                let rest = if running.is_some() { "; what ran before keeps running" } else { "" };
                tracing::error!(policy = name, plugin = policy.plugin, sha256, running, "refused: {problem}{rest}");
                self.refused.insert(name.to_owned(), (basis, problem));
            }
        }
    }

    fn builder(&self, policy: Arc<Policy>, loaded: Arc<Loaded>) -> Build {
        let (sandbox, interfaces, clock) =
            (self.parts.sandbox.clone(), self.parts.interfaces.clone(), self.parts.clock.clone());
        Box::new(move || configured(&sandbox, &policy, &loaded, interfaces.clone(), clock.as_ref()))
    }

    /// A policy whose plugin is not there.
    async fn missing(&mut self, name: &str, policy: &Policy) {
        let removed = !self.plugins.contains_key(&policy.plugin);
        if removed {
            self.unload(name).await;
        }
        let directory = self.plugin_files.path().display();
        let problem = if removed {
            let like = |stem: &&String| strsim::jaro_winkler(stem, &policy.plugin) > 0.8;
            let hint = self.plugins.keys().find(like).map(|like| format!("; did you mean `{like}`?"));
            format!("there is no {directory}/{}.wasm{}", policy.plugin, hint.unwrap_or_default())
        } else {
            format!("{directory}/{}.wasm does not load", policy.plugin)
        };
        self.refused.insert(name.to_owned(), ("".into(), problem));
    }

    async fn unload(&mut self, name: &str) {
        self.questions().remove(name);
        if let Some(handle) = self.instances.remove(name) {
            let sha256 = plugin_digest(&handle.basis).to_owned();
            handle.stop().await;
            // The engine is gone only when the agent ends.
            let _ = self.parts.engine.send(Input::Gone { policy: name.into() }).await;
            tracing::info!(policy = name, sha256, "unloaded");
        }
    }

    fn questions(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, mpsc::UnboundedSender<Question>>> {
        self.questions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the present picture readable; counts are read when it is asked for.
    fn publish(&self) {
        let plugins: Vec<PluginView> = self
            .plugins
            .iter()
            .map(|(name, source)| PluginView {
                name: name.clone(),
                digest: source.good.as_ref().map(|loaded| loaded.digest.to_string()),
                signed_by: self.signers.get(name).map(|signer| signer.key.clone()),
                description: source.good.as_ref().map(|loaded| loaded.description.clone()),
                problem: source.problem.clone().or_else(|| self.name_taken(name)),
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
                problem: file_problem.or(refused),
                name: name.clone(),
            });
            boards.push(self.instances.get(&name).map(|handle| handle.board.clone()));
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

/// The plugin's digest in what an instance rests on: `POLICY/PLUGIN`.
fn plugin_digest(basis: &str) -> &str {
    basis.rsplit('/').next().unwrap_or_default()
}

/// A fresh instance of a plugin under a policy, after every check that can be made before it runs.
pub(super) fn configured(
    sandbox: &Sandbox,
    policy: &Policy,
    loaded: &Loaded,
    interfaces: Interfaces,
    clock: &dyn Clock,
) -> Result<(Instance, Subscription), String> {
    schema::check(policy, &loaded.description).map_err(|error| error.to_string())?;
    let mut instance = Instance::new(sandbox, loaded, policy.name.clone(), &policy.access, interfaces)
        .map_err(|error| error.to_string())?;
    let subscription = instance.configure(&policy.config, clock.now().wall).map_err(|error| error.to_string())?;
    Ok((instance, subscription))
}
