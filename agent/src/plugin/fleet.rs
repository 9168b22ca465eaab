//! The fleet: which plugins run under which policies. One task looks at the two directories and brings what runs in line
//! with what they hold; whatever is broken stays out, and what ran before it keeps running.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{AbortHandle, JoinError, JoinSet, block_in_place, spawn_blocking};

use super::actor::{Build, Handle, Message, Setup, Start};
use super::admission::{Admitted, Refusal, admit};
use super::canary;
use super::directory::{Directory, File};
use super::engine::Sandbox;
use super::imports::Interfaces;
use super::instance::Instance;
use super::limits::{self, Limits};
use super::loader::Loaded;
use super::quarantine::Quarantines;
use super::schema;
use super::trust::{Signer, Trust};
use super::view::{FleetView, PluginView, PolicyView};
use super::watch::DirectoryWatch;
use crate::clock::Clock;
use crate::config::{Policy, Supervision, Upgrade};
use crate::incident::ledger::Quota;
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
    /// What no plugin gets more of.
    pub limits: Limits,
    /// What becomes of one that fails.
    pub supervision: Supervision,
    /// Those that failed too often.
    pub quarantines: Arc<Quarantines>,
    /// How a new version takes over.
    pub upgrade: Upgrade,
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
    /// Loads under way, and how many may be at one time.
    loads: JoinSet<Result<Load, JoinError>>,
    at_once: Arc<Semaphore>,
    last_load: u64,
    /// Who signed the good versions, where signatures are wanted.
    signers: BTreeMap<String, Signer>,
    /// Plugins that wait for a policy that pins them, with what was pinned when that was last looked at.
    unpinned: BTreeMap<String, BTreeSet<String>>,
    policies: BTreeMap<String, Source<Policy>>,
    instances: BTreeMap<String, Handle>,
    /// What each of them runs.
    running: BTreeMap<String, Arc<Loaded>>,
    /// New versions that are tried beside what runs, by policy.
    canaries: BTreeMap<String, Canary>,
    trials: JoinSet<Trial>,
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
type Questions = Mutex<BTreeMap<String, mpsc::UnboundedSender<Message>>>;

/// A file of either directory: the last good version of it, and what is wrong with it as it is now.
struct Source<T> {
    good: Option<Arc<T>>,
    problem: Option<String>,
    /// The load that is under way, by its number.
    loading: Option<u64>,
}

impl<T> Default for Source<T> {
    fn default() -> Self {
        Self { good: None, problem: None, loading: None }
    }
}

impl<T> Source<T> {
    fn update(&mut self, result: Result<Arc<T>, String>) {
        match result {
            Ok(good) => (self.good, self.problem) = (Some(good), None),
            Err(problem) => self.problem = Some(problem),
        }
        self.loading = None;
    }
}

/// A new version on trial.
struct Canary {
    policy: Arc<Policy>,
    loaded: Arc<Loaded>,
    basis: Arc<str>,
    task: AbortHandle,
}

/// A trial that has ended.
struct Trial {
    policy: String,
    basis: Arc<str>,
    result: Result<canary::Passed, String>,
}

/// Where the questions go that a policy's canary is asked as well; no policy has such a name.
fn canary_of(policy: &str) -> String {
    format!("{policy}/canary")
}

/// A load that has ended.
struct Load {
    number: u64,
    file: File,
    /// What was pinned when it began.
    pins: BTreeSet<String>,
    result: Result<Admitted, Refusal>,
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
            loads: JoinSet::new(),
            at_once: Arc::new(Semaphore::new(limits::LOADS)),
            last_load: 0,
            signers: BTreeMap::new(),
            unpinned: BTreeMap::new(),
            policies: BTreeMap::new(),
            instances: BTreeMap::new(),
            running: BTreeMap::new(),
            canaries: BTreeMap::new(),
            trials: JoinSet::new(),
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
            if let Some(door) = questions.get(&canary_of(policy)) {
                let _ = door.send(Message::Question(Box::new(question.clone())));
            }
            if let Some(door) = questions.get(policy) {
                // An instance that is just being stopped: its successor is asked when it arrives.
                let _ = door.send(Message::Question(Box::new(question)));
            }
        }
    }

    /// Lets the plugin of a policy go that is quarantined.
    pub fn release(&self) -> impl Fn(&str) + Send + 'static {
        let (questions, quarantines) = (self.questions.clone(), self.parts.quarantines.clone());
        move |policy| {
            quarantines.end(policy);
            if let Some(door) = questions.lock().unwrap_or_else(PoisonError::into_inner).get(policy) {
                let _ = door.send(Message::Release);
            }
        }
    }

    /// Runs what the directories hold, and keeps to it as they change; ends with its task.
    pub async fn run(mut self) {
        let mut watch = DirectoryWatch::new(&[self.plugin_files.path(), self.policy_files.path()]);
        loop {
            self.look().await;
            {
                // One plugin that takes long to load holds up no other, nor a change of its own file.
                let mut changed = pin!(watch.changed());
                loop {
                    tokio::select! {
                        () = &mut changed => break,
                        Some(load) = self.loads.join_next() => self.loaded(load).await,
                        Some(trial) = self.trials.join_next() => self.tried(trial).await,
                    }
                }
            }
            watch.attach(self.plugin_files.path());
            watch.attach(self.policy_files.path());
        }
    }

    /// One look at the directories, and everything that follows from it at once.
    async fn look(&mut self) {
        // Policies first: what they pin may decide whether a plugin is compiled at all.
        self.read_policies();
        self.read_plugins();
        self.reconcile().await;
        self.publish();
    }

    /// Begins to load what is new.
    fn read_plugins(&mut self) {
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
            self.last_load += 1;
            let number = self.last_load;
            let pins = self.pins(&file.stem);
            let source = self.plugins.entry(file.stem.clone()).or_default();
            source.loading = Some(number);
            let current = source.good.clone();
            let (sandbox, trust, at_once) = (self.parts.sandbox.clone(), self.trust.clone(), self.at_once.clone());
            self.loads.spawn(async move {
                // Never closed, so there is always a permit; it ends with the load.
                let _permit = at_once.acquire_owned().await;
                let loading = spawn_blocking(move || {
                    let result = admit(&sandbox, &trust, &file, &pins, current);
                    Load { number, file, pins, result }
                });
                loading.await
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
    async fn loaded(&mut self, load: Result<Result<Load, JoinError>, JoinError>) {
        let Load { number, file, pins, result } = match load.and_then(|load| load) {
            Ok(load) => load,
            // The agent ends.
            Err(error) if error.is_cancelled() => return,
            Err(error) => return tracing::error!("loading a plugin ended early: {error}"),
        };
        let (stem, path) = (file.stem.as_str(), file.path.display());
        // Meanwhile the file may have been removed, or replaced by another.
        let Some(source) = self.plugins.get_mut(stem).filter(|source| source.loading == Some(number)) else { return };
        self.unpinned.remove(stem);
        let result = match result {
            Ok(Admitted { loaded, verified }) => {
                let (about, sha256) = (&loaded.description, &*verified.digest);
                let signed_by = verified.signer.as_ref().map(|signer| signer.key.as_str());
                tracing::info!(plugin = stem, sha256, signed_by, "loaded {} {}", about.name, about.version);
                match verified.signer {
                    Some(signer) => drop(self.signers.insert(stem.to_owned(), signer)),
                    None => drop(self.signers.remove(stem)),
                }
                Ok(loaded)
            }
            Err(Refusal { digest, unpinned, problem }) => {
                let (sha256, running) = (digest.as_deref(), source.good.as_ref().map(|good| &*good.digest));
                let rest = if running.is_some() { "; the version before it keeps running" } else { "" };
                tracing::error!(plugin = stem, sha256, running, "refused {path}: {problem}{rest}");
                if unpinned {
                    self.unpinned.insert(stem.to_owned(), pins);
                }
                Err(problem)
            }
        };
        source.update(result);
        // A policy that pins it may have come meanwhile.
        if self.unpinned.contains_key(stem) {
            self.read_plugins();
        }
        self.reconcile().await;
        self.publish();
    }

    fn read_policies(&mut self) {
        let Some(changes) = block_in_place(|| self.policy_files.changes()) else {
            return;
        };
        for gone in changes.gone {
            self.policies.remove(&gone);
        }
        for file in changes.changed {
            let text = file.content().and_then(|bytes| {
                String::from_utf8(bytes).map_err(|error| format!("{}: not UTF-8: {error}", file.path.display()))
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

    /// The policies that should have an instance: the written ones, and one for each plugin that none is about.
    fn desired(&self) -> BTreeMap<String, Arc<Policy>> {
        let written = self.policies.iter().filter_map(|(name, source)| Some((name.clone(), source.good.clone()?)));
        let mut desired: BTreeMap<String, Arc<Policy>> = written.collect();
        let used: BTreeSet<String> = desired.values().map(|policy| policy.plugin.clone()).collect();
        for (stem, _) in self.plugins.iter().filter(|(stem, source)| source.good.is_some() && !used.contains(*stem)) {
            // A policy file of that name that is about another plugin, or broken, is the operator's: it is not overruled.
            if !self.policies.contains_key(stem) {
                desired.insert(stem.clone(), Arc::new(Policy::implicit(stem, &self.parts.limits)));
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
                self.end_trial(&name);
                continue;
            }
            if self.canaries.get(&name).is_some_and(|canary| canary.basis == basis) {
                continue;
            }
            self.end_trial(&name);
            if self.refused.get(&name).is_some_and(|(tried, _)| *tried == basis) {
                continue;
            }
            if self.is_worth_a_trial(&name, &loaded) {
                self.try_out(&name, policy, loaded, basis);
            } else {
                self.replace(&name, policy, loaded, basis).await;
            }
        }
    }

    /// Whether other code is about to take the place of code that runs well.
    fn is_worth_a_trial(&self, name: &str, loaded: &Loaded) -> bool {
        let runs = self.instances.get(name).is_some_and(|handle| handle.board.read().is_running());
        let is_other = self.running.get(name).is_some_and(|running| running.digest != loaded.digest);
        // A file that is marked is not what is about to run: it is the version before it.
        let is_marked = self.plugins.values().any(|source| {
            source.problem.is_some() && source.good.as_ref().is_some_and(|good| good.digest == loaded.digest)
        });
        runs && is_other && !is_marked && !self.parts.upgrade.shadow.is_zero()
    }

    /// Begins to try a new version beside the one that runs.
    fn try_out(&mut self, name: &str, policy: Arc<Policy>, loaded: Arc<Loaded>, basis: Arc<str>) {
        let Some(handle) = self.instances.get(name) else { return };
        let mut interfaces = self.parts.interfaces.clone();
        let quota = Quota { keys: usize::MAX, value: usize::MAX, bytes: usize::MAX, ..Quota::default() };
        let draft = interfaces.state.clone().map(|state| block_in_place(|| state.draft(name, &quota))).transpose();
        let pinned = self.trust.check_pin(&policy, &loaded.digest);
        let built = pinned.and(draft).and_then(|draft| {
            interfaces.state = draft.map(Arc::new);
            let clock = self.parts.clock.as_ref();
            block_in_place(|| configured(&self.parts.sandbox, &policy, &loaded, interfaces, clock))
        });
        let (instance, subscription) = match built {
            Ok(built) => built,
            Err(problem) => return self.refuse(name, &policy, basis, problem),
        };
        let (door, questions) = mpsc::unbounded_channel();
        let setup = canary::Setup {
            policy: policy.name.clone(),
            router: self.parts.router.clone(),
            clock: self.parts.clock.clone(),
            limits: policy.limits,
            upgrade: self.parts.upgrade,
            board: handle.board.clone(),
            questions,
        };
        let (id, of) = (name.to_owned(), basis.clone());
        let task = self.trials.spawn(async move {
            let result = canary::run(setup, instance, subscription).await;
            Trial { policy: id, basis: of, result }
        });
        self.questions().insert(canary_of(name), door);
        tracing::info!(
            policy = name,
            plugin = policy.plugin,
            sha256 = &*loaded.digest,
            "a new version is tried in shadow"
        );
        self.canaries.insert(name.to_owned(), Canary { policy, loaded, basis, task });
    }

    /// A trial has ended: the new version takes over, or is rolled back and its file marked.
    async fn tried(&mut self, trial: Result<Trial, JoinError>) {
        let Trial { policy: name, basis, result } = match trial {
            Ok(trial) => trial,
            // It was ended, because something else is to run.
            Err(error) if error.is_cancelled() => return,
            Err(error) => return tracing::error!("a trial ended early: {error}"),
        };
        if self.canaries.get(&name).is_none_or(|canary| canary.basis != basis) {
            return;
        }
        let Some(Canary { policy, loaded, .. }) = self.end_trial(&name) else { return };
        match result {
            Ok(canary::Passed { batches, answers, faults }) => {
                tracing::info!(policy = &*name, batches, answers, faults, "the new version stood its trial");
                self.replace(&name, policy, loaded, basis).await;
            }
            Err(reason) => {
                let digest: String = loaded.digest.chars().take(12).collect();
                let problem = format!("version {digest} was rolled back after a trial under {name}: {reason}");
                tracing::error!(policy = &*name, plugin = policy.plugin, sha256 = &*loaded.digest, "{problem}");
                let before = self.running.get(&name).cloned();
                if let (Some(source), Some(_)) = (self.plugins.get_mut(&policy.plugin), &before) {
                    (source.good, source.problem) = (before, Some(problem));
                }
                self.reconcile().await;
            }
        }
        self.publish();
    }

    /// What still runs of a plugin whose new version is on trial.
    fn before_trial(&self, plugin: &str) -> Option<&Arc<Loaded>> {
        let (policy, _) = self.canaries.iter().find(|(_, canary)| canary.policy.plugin == plugin)?;
        self.running.get(policy)
    }

    fn end_trial(&mut self, name: &str) -> Option<Canary> {
        let canary = self.canaries.remove(name)?;
        canary.task.abort();
        self.questions().remove(&canary_of(name));
        Some(canary)
    }

    /// It does not take the place of what runs, if anything does.
    fn refuse(&mut self, name: &str, policy: &Policy, basis: Arc<str>, problem: String) {
        let running = self.instances.get(name).map(|running| plugin_digest(&running.basis));
        let rest = if running.is_some() { "; what ran before keeps running" } else { "" };
        let sha256 = plugin_digest(&basis);
        tracing::error!(policy = name, plugin = policy.plugin, sha256, running, "refused: {problem}{rest}");
        self.refused.insert(name.to_owned(), (basis, problem));
    }

    /// Starts an instance, or puts a new one in the place of another; where that fails, the other keeps running.
    async fn replace(&mut self, name: &str, policy: Arc<Policy>, loaded: Arc<Loaded>, basis: Arc<str>) {
        let build = self.builder(policy.clone(), loaded.clone());
        let start = match self.parts.quarantines.of(name, &basis) {
            Some(quarantine) => Ok(Start::Quarantined(quarantine)),
            None => self
                .trust
                .check_pin(&policy, &loaded.digest)
                .and_then(|()| block_in_place(&build))
                .map(|(instance, told)| Start::Running(Box::new(instance), told)),
        };
        match start {
            Ok(start) => {
                let is_quarantined = matches!(start, Start::Quarantined(_));
                if !is_quarantined {
                    self.parts.quarantines.end(name);
                }
                let before = self.instances.remove(name);
                let replaced = before.as_ref().map(|before| plugin_digest(&before.basis).to_owned());
                if let Some(before) = before {
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
                        limits: policy.limits,
                        supervision: self.parts.supervision,
                        quarantines: self.parts.quarantines.clone(),
                    },
                    start,
                );
                questions.insert(name.to_owned(), handle.door());
                drop(questions);
                self.instances.insert(name.to_owned(), handle);
                self.running.insert(name.to_owned(), loaded.clone());
                self.refused.remove(name);
                let mode = policy.rules.mode.as_str();
                let sha256 = &*loaded.digest;
                if is_quarantined {
                    tracing::warn!(policy = name, plugin = policy.plugin, sha256, "quarantined");
                } else {
                    tracing::info!(policy = name, plugin = policy.plugin, sha256, mode, replaced, "running");
                }
            }
            Err(problem) => self.refuse(name, &policy, basis, problem),
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
        } else if self.is_loading(&policy.plugin) {
            format!("{directory}/{}.wasm is being loaded", policy.plugin)
        } else {
            format!("{directory}/{}.wasm does not load", policy.plugin)
        };
        self.refused.insert(name.to_owned(), ("".into(), problem));
    }

    fn is_loading(&self, plugin: &str) -> bool {
        self.plugins.get(plugin).is_some_and(|source| source.loading.is_some())
    }

    async fn unload(&mut self, name: &str) {
        self.end_trial(name);
        self.questions().remove(name);
        self.running.remove(name);
        if let Some(handle) = self.instances.remove(name) {
            let sha256 = plugin_digest(&handle.basis).to_owned();
            handle.stop().await;
            // The engine is gone only when the agent ends.
            let _ = self.parts.engine.send(Input::Gone { policy: name.into() }).await;
            tracing::info!(policy = name, sha256, "unloaded");
        }
    }

    fn questions(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, mpsc::UnboundedSender<Message>>> {
        self.questions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the present picture readable; counts are read when it is asked for.
    fn publish(&self) {
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

/// A fresh instance of a plugin under a policy, after every check that can be made before it runs, and what it wants to be
/// told. The error is a sentence for people; where it is about the configuration it names the policy's file, line and key.
pub fn configured(
    sandbox: &Sandbox,
    policy: &Policy,
    loaded: &Loaded,
    interfaces: Interfaces,
    clock: &dyn Clock,
) -> Result<(Instance, Subscription), String> {
    schema::check(policy, &loaded.description).map_err(|error| error.to_string())?;
    let (limits, name) = (&policy.limits, policy.name.clone());
    let mut instance = Instance::within(limits, sandbox, loaded, name, &policy.access, interfaces)
        .map_err(|error| error.to_string())?;
    let subscription = instance.configure(&policy.config, clock.now().wall).map_err(|error| error.to_string())?;
    Ok((instance, subscription))
}
