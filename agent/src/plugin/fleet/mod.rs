//! The fleet: which plugins run under which policies. One task looks at the two directories and brings what runs in line
//! with what they hold; whatever is broken stays out, and what ran before it keeps running.

mod loading;
mod picture;
mod trial;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{JoinSet, block_in_place, spawn_blocking};
use tokio::time::{Instant, sleep};

use self::loading::{Load, Source};
use self::trial::{Canary, canary_of};

use super::actor::{Build, Handle, Message, Setup, Start};
use super::canary;
use super::directory::Directory;
use super::engine::Sandbox;
use super::imports::Interfaces;
use super::instance::Instance;
use super::limits::{self, Limits};
use super::loader::Loaded;
use super::migration;
use super::quarantine::Quarantines;
use super::schema;
use super::trust::{Signer, Trust};
use super::versions::{Original, Versions};
use super::view::FleetView;
use super::watch::DirectoryWatch;
use crate::clock::Clock;
use crate::config::{Policy, Supervision, Upgrade};
use crate::incident::{Input, Question};
use crate::memory;
use crate::signal::{Router, Subscription};

/// So long after the last load, what loading needed goes back to the system, and a copy is made of what runs.
const CALM: Duration = Duration::from_secs(1);

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
    loads: JoinSet<Load>,
    at_once: Arc<Semaphore>,
    compilers: Arc<Semaphore>,
    last_load: u64,
    /// Held by the one whose calls take long.
    heavy: Arc<Semaphore>,
    /// Who signed the good versions, where signatures are wanted.
    signers: BTreeMap<String, Signer>,
    /// Plugins that wait for a policy that pins them, with what was pinned when that was last looked at.
    unpinned: BTreeMap<String, BTreeSet<String>>,
    policies: BTreeMap<String, Source<Policy>>,
    instances: BTreeMap<String, Running>,
    /// New versions that are tried beside what runs, by policy.
    canaries: BTreeMap<String, Canary>,
    trials: JoinSet<Result<canary::Passed, String>>,
    last_trial: u64,
    /// The last good versions; none where there is no state directory.
    versions: Option<Arc<Versions>>,
    /// How many copies are made at one time.
    copies: Arc<Semaphore>,
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

/// An instance, and what it runs.
struct Running {
    handle: Handle,
    policy: Arc<Policy>,
    loaded: Arc<Loaded>,
}

/// What ran, until a moment ago.
struct Stopped {
    policy: Arc<Policy>,
    loaded: Arc<Loaded>,
    basis: Arc<str>,
}

/// Where each policy's questions go.
type Questions = Mutex<BTreeMap<String, mpsc::UnboundedSender<Message>>>;

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
            compilers: Arc::new(Semaphore::new(limits::COMPILERS)),
            last_load: 0,
            heavy: Arc::new(Semaphore::new(1)),
            signers: BTreeMap::new(),
            unpinned: BTreeMap::new(),
            policies: BTreeMap::new(),
            instances: BTreeMap::new(),
            canaries: BTreeMap::new(),
            trials: JoinSet::new(),
            last_trial: 0,
            versions: None,
            copies: Arc::new(Semaphore::new(limits::COPIES)),
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

    /// The same, with a memory in this state directory: what failed its trial does not run when the agent is started again.
    pub fn remembering(mut self, state: &Path) -> Self {
        match Versions::open(state) {
            Ok(versions) => self.versions = Some(Arc::new(versions)),
            // On a full disk, say: no reason not to heal.
            Err(error) => tracing::warn!("no copies of good versions can be kept in {}: {error}", state.display()),
        }
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
            let mut tidy = Box::pin(sleep(CALM));
            {
                // One plugin that takes long to load holds up no other, nor a change of its own file.
                let mut changed = pin!(watch.changed());
                loop {
                    tokio::select! {
                        () = &mut changed => break,
                        // It is not cancelled, and what may panic in it has a task of its own.
                        Some(Ok(load)) = self.loads.join_next() => {
                            self.loaded(load).await;
                            tidy.as_mut().reset(Instant::now() + CALM);
                        }
                        () = &mut tidy, if !tidy.is_elapsed() => block_in_place(memory::give_back),
                        Some(ended) = self.trials.join_next_with_id() => self.tried(ended).await,
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
            if self.instances.get(&name).is_some_and(|running| running.handle.basis == basis) {
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
            if self.is_worth_a_trial(&name, &policy, &loaded) {
                self.try_out(&name, policy, loaded, basis);
            } else {
                self.replace(&name, policy, loaded, basis).await;
            }
        }
    }

    /// It does not take the place of what runs, if anything does.
    fn refuse(&mut self, name: &str, policy: &Policy, basis: Arc<str>, problem: String) {
        let running = self.instances.get(name).map(|running| &*running.loaded.digest);
        let rest = if running.is_some() { "; what ran before keeps running" } else { "" };
        let sha256 = plugin_digest(&basis);
        tracing::error!(policy = name, plugin = policy.plugin, sha256, running, "refused: {problem}{rest}");
        self.refused.insert(name.to_owned(), (basis, problem));
    }

    /// Starts an instance, or puts a new one in the place of another; where that fails, the other keeps running.
    async fn replace(&mut self, name: &str, policy: Arc<Policy>, loaded: Arc<Loaded>, basis: Arc<str>) {
        if let Err(problem) = self.exchange(name, &policy, &loaded, &basis).await {
            self.refuse(name, &policy, basis, problem);
        }
    }

    async fn exchange(
        &mut self,
        name: &str,
        policy: &Arc<Policy>,
        loaded: &Arc<Loaded>,
        basis: &Arc<str>,
    ) -> Result<(), String> {
        if let Some(quarantine) = self.parts.quarantines.of(name, basis) {
            self.stop(name).await;
            self.start(policy, loaded, basis, Start::Quarantined(quarantine));
            let sha256 = &*loaded.digest;
            tracing::warn!(policy = name, plugin = policy.plugin, sha256, "quarantined");
            return Ok(());
        }
        self.trust.check_pin(policy, &loaded.digest)?;
        let due = block_in_place(|| migration::due(policy, loaded, &self.parts.interfaces))?;
        // The state is not converted under the hands of the one that uses it.
        let mut before = if due.is_some_and(|due| due.converts()) { self.stop(name).await } else { None };
        let build = self.builder(policy.clone(), loaded.clone());
        let start = match block_in_place(&*build) {
            Ok((instance, told)) => Start::Running(Box::new(instance), told),
            Err(problem) => {
                if let Some(before) = before {
                    self.bring_back(before)?;
                }
                return Err(problem);
            }
        };
        self.parts.quarantines.end(name);
        before = before.or(self.stop(name).await);
        self.start(policy, loaded, basis, start);
        let (mode, sha256) = (policy.rules.mode.as_str(), &*loaded.digest);
        let replaced = before.as_ref().map(|before| &*before.loaded.digest);
        self.keep(policy, loaded);
        tracing::info!(policy = name, plugin = policy.plugin, sha256, mode, replaced, "running");
        Ok(())
    }

    /// Keeps a copy of what runs, once that has settled.
    fn keep(&self, policy: &Policy, loaded: &Loaded) {
        let (stem, digest) = (policy.plugin.clone(), loaded.digest.clone());
        let Some(versions) = self.versions.clone().filter(|versions| !versions.has(&stem, &digest)) else { return };
        let file = self.plugin_files.path().join(format!("{stem}.wasm"));
        let copies = self.copies.clone();
        tokio::spawn(async move {
            // Never closed, so there is always a permit. Opened at once: soon there may be another version in its place.
            let _permit = copies.acquire_owned().await;
            let Some(original) = Original::of(&file) else { return };
            sleep(CALM).await;
            let _ = spawn_blocking(move || versions.keep(&stem, original, &digest)).await;
        });
    }

    /// Ends an instance after the call under way; what it was.
    async fn stop(&mut self, name: &str) -> Option<Stopped> {
        let Running { handle, policy, loaded } = self.instances.remove(name)?;
        let basis = handle.basis.clone();
        handle.stop().await;
        Some(Stopped { policy, loaded, basis })
    }

    /// Starts again what was stopped for another that does not start.
    fn bring_back(&mut self, Stopped { policy, loaded, basis }: Stopped) -> Result<(), String> {
        let build = self.builder(policy.clone(), loaded.clone());
        let (instance, told) = block_in_place(&*build)
            .map_err(|problem| format!("what ran before it does not start again either: {problem}"))?;
        self.start(&policy, &loaded, &basis, Start::Running(Box::new(instance), told));
        Ok(())
    }

    fn start(&mut self, policy: &Arc<Policy>, loaded: &Arc<Loaded>, basis: &Arc<str>, start: Start) {
        let build = self.builder(policy.clone(), loaded.clone());
        // Held until the door is there: the first thing an arrival brings is a question to it.
        let mut questions = self.questions();
        let handle = Handle::start(
            Setup {
                policy: policy.name.clone(),
                plugin: policy.plugin.as_str().into(),
                rules: policy.rules.clone(),
                basis: basis.clone(),
                digest: loaded.digest.clone(),
                build,
                router: self.parts.router.clone(),
                clock: self.parts.clock.clone(),
                engine: self.parts.engine.clone(),
                limits: policy.limits,
                supervision: self.parts.supervision,
                quarantines: self.parts.quarantines.clone(),
                heavy: self.heavy.clone(),
            },
            start,
        );
        let name = policy.name.to_string();
        questions.insert(name.clone(), handle.door());
        drop(questions);
        self.refused.remove(&name);
        self.instances.insert(name, Running { handle, policy: policy.clone(), loaded: loaded.clone() });
    }

    fn builder(&self, policy: Arc<Policy>, loaded: Arc<Loaded>) -> Build {
        let (sandbox, interfaces, clock) =
            (self.parts.sandbox.clone(), self.parts.interfaces.clone(), self.parts.clock.clone());
        Arc::new(move || configured(&sandbox, &policy, &loaded, interfaces.clone(), clock.as_ref()))
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
        if let Some(Running { handle, loaded, .. }) = self.instances.remove(name) {
            handle.stop().await;
            // The engine is gone only when the agent ends.
            let _ = self.parts.engine.send(Input::Gone { policy: name.into() }).await;
            tracing::info!(policy = name, sha256 = &*loaded.digest, "unloaded");
        }
    }

    fn questions(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, mpsc::UnboundedSender<Message>>> {
        self.questions.lock().unwrap_or_else(PoisonError::into_inner)
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
    let at = clock.now().wall;
    let made = |interfaces: Interfaces| {
        let (limits, name) = (&policy.limits, policy.name.clone());
        let mut instance = Instance::within(limits, sandbox, loaded, name, &policy.access, interfaces)
            .map_err(|error| error.to_string())?;
        let subscription = instance.configure(&policy.config, at).map_err(|error| error.to_string())?;
        Ok((instance, subscription))
    };
    let Some(due) = migration::due(policy, loaded, &interfaces)? else { return made(interfaces) };
    // Where nothing is converted, the state is that of the version before until this one is known to run.
    let ready = if due.converts() { None } else { Some(made(interfaces.clone())?) };
    due.run(sandbox, policy, loaded, &interfaces, at, |interfaces| made(interfaces).map(drop))?;
    ready.map_or_else(|| made(interfaces), Ok)
}
