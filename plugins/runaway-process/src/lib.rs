//! Tames processes that take too much CPU, too many files or threads, or leave zombies behind; tells of those that are stuck.
//!
//! **Sees** CPU, open files, threads and state (`process.state`) of the processes it is told to watch.
//! **Decides**, at the process (`name[pid]`): `process.runaway` (CPU), `process.descriptors` (of those it may have open),
//! `process.threads`, each beyond a limit for a while; `process.zombies` at the parent that does not ask after its ended
//! children; `process.stuck` (a warning) where one waits in the kernel (D state). A process that is gone has no faults; those
//! that are open outlast a restart of the plugin.
//! **Does**: too much CPU is first made to give way to others (renice); then, as for the others, its unit is restarted or it
//! is ended (`then`); then a person. One that is stuck is never killed: no signal reaches it, and a person is told.
//!
//! ```toml
//! [config]
//! services = ["app@*.service"]    # these four are empty by default
//! processes = ["php-fpm*"]
//! owners = ["www-data"]
//! avoid = ["sshd"]
//! cpu = { above = 0.95, clear = 0.6, for = "10m", clear-for = "30s" }   # the defaults; 1 is one CPU
//! descriptors = { above = 0.9, clear = 0.8, for = "30s" }
//! threads = { above = 2000, clear = 1500, for = "1m" }
//! zombies = 20                    # 0: never
//! stuck = "2m"
//! renice = true
//! nice = 10
//! then = "service.restart"        # or "process.signal" or "escalate"
//! # kill-after = "10s"            # of process.signal: TERM, then KILL; default: TERM alone
//! settle = "5s"
//! deadline = "2m"
//! ```
//!
//! Where it is not known when a process started (`process.start_time`), it is neither reniced nor signalled: it may be another
//! one by then.

mod config;
mod process;
mod spell;
mod trouble;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use salve_plugin_sdk::{log, prelude::*, state};

pub use config::{Config, Then};
use process::{Identity, Process};
use spell::{Spell, State};
pub use trouble::Trouble;

/// Under which the open faults are kept: kinds and targets.
const OPEN: &str = "open";
/// The most processes that are watched.
const MOST: usize = 4096;
/// One that was not heard of for so long, while others were, is gone…
const GONE: Duration = Duration::from_secs(15);
/// …and so it is while nobody else is watched.
const ALONE: Duration = Duration::from_secs(60);
/// How often it is looked how long something lasts.
const LOOK: Duration = Duration::from_secs(5);
/// How often what lasts is told again, with what it is like by then.
const AGAIN: Duration = Duration::from_secs(60);
/// The most that are told at once.
const FINDINGS: usize = 128;
/// The most zombies whose names are told.
const NAMED: usize = 3;

/// The plugin: its configuration, and who is watched.
pub struct RunawayProcess {
    config: Config,
    processes: BTreeMap<u32, Process>,
    /// By the subject of their events.
    spells: BTreeMap<String, Spell>,
    /// The faults that are open, as far as the host was told.
    open: BTreeSet<(String, String)>,
    /// When they were last told.
    told: BTreeMap<Key, Duration>,
    began: Option<Duration>,
    at: Duration,
}

/// A trouble and the process that is in it.
type Key = (Trouble, String);

/// How it is with such a trouble, of a process that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Raised,
    Calm,
    Unknown,
}

impl Remediator for RunawayProcess {
    type Config = Config;

    fn wants() -> Vec<String> {
        ["process.renice:*", "service.restart:*", "process.signal:*"].map(String::from).to_vec()
    }

    fn configure(config: Config) -> Result<(Self, Subscription), String> {
        config.check()?;
        let metrics = [
            "process.cpu.utilization",
            "process.unix.file_descriptor.count",
            "process.unix.file_descriptor.limit",
            "process.thread.count",
        ];
        let mut subscription = Subscription::new().every(LOOK);
        for (key, pattern) in config.selectors() {
            subscription = subscription.event_where("process.state", [(key, pattern.into())]);
            for metric in metrics {
                subscription = subscription.metric_where(metric, [(key, pattern.into())]);
            }
        }
        let open = state::get(OPEN).unwrap_or_default();
        let (processes, spells, told) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Ok((Self { config, processes, spells, open, told, began: None, at: Duration::ZERO }, subscription))
    }

    fn detect(&mut self, batch: &Batch<'_>) -> Vec<Finding> {
        self.at = batch.at();
        let began = *self.began.get_or_insert(self.at);
        self.take(batch);
        let raised: BTreeSet<Key> = self.raised().collect();
        let before = self.open.clone();
        let mut findings = Vec::new();
        for key in &raised {
            let is_news = self.told.get(key).is_none_or(|told| self.at.abs_diff(*told) >= AGAIN);
            if is_news && findings.len() < FINDINGS {
                findings.push(self.fault(key.0, &key.1).present());
                self.told.insert(key.clone(), self.at);
                self.open.insert((key.0.kind().to_owned(), key.1.clone()));
            }
        }
        for (kind, target) in &before {
            let trouble = Trouble::of(kind);
            let is_over = match trouble.and_then(|trouble| self.standing(trouble, target)) {
                Some(Standing::Raised) => false,
                Some(Standing::Unknown) => false,
                Some(Standing::Calm) => true,
                // Its process is gone, or its state is over. After a restart of the plugin it takes a moment until everything
                // was told again.
                None => self.at.saturating_sub(began) >= GONE,
            };
            if is_over {
                self.open.remove(&(kind.clone(), target.clone()));
                findings.push(Fault::new(kind, target).cleared());
            }
        }
        let open = &self.open;
        self.told.retain(|(trouble, target), _| open.contains(&(trouble.kind().to_owned(), target.clone())));
        if self.open != before
            && let Err(error) = state::set(OPEN, &self.open)
        {
            log::warn!("which faults are open is forgotten at the next restart: {error}");
        }
        findings
    }

    fn diagnose(&mut self, incident: &Incident) -> Vec<Cause> {
        let Fault { kind, target, .. } = &incident.fault;
        let Some(trouble) = Trouble::of(kind) else { return vec![] };
        let why = match trouble {
            Trouble::Cpu => "it loops, or has more work than it can do",
            Trouble::Descriptors => "it does not close what it opens, or has more clients than it was set up for",
            Trouble::Threads => "its threads wait for something and more are started, or it has no limit of them",
            Trouble::Zombies => "its parent does not ask how its children ended: it hangs, or has a bug",
            Trouble::Stuck => "it waits for a device or a network file system that does not answer",
        };
        let cause = Cause::new(why, if trouble == Trouble::Zombies { 0.8 } else { 0.5 }).path([kind.as_str()]);
        let children = self.zombies_of(target).into_iter().take(NAMED);
        vec![children.fold(cause, |cause, spell| cause.evidence("process.child", spell.identity.label()))]
    }

    fn recover(&mut self, incident: &Incident) -> Recovery {
        let Fault { kind, target, summary, .. } = &incident.fault;
        let Some(trouble) = Trouble::of(kind) else { return Recovery::escalate(summary.as_str()) };
        if trouble == Trouble::Stuck {
            return Recovery::escalate(format!("{summary}; no signal reaches it, so nothing was done"));
        }
        let Some(identity) = self.identity(trouble, target) else {
            let reason = format!("{summary}; its parent is not watched and belongs to no unit that is known");
            return if trouble == Trouble::Zombies && self.standing(trouble, target).is_some() {
                Recovery::escalate(reason)
            } else {
                Recovery::wait(LOOK)
            };
        };
        if identity.is_one_of(&self.config.avoid) {
            return Recovery::escalate(format!("{summary}; it is one of those to `avoid`"));
        }
        let plan = |action: Action| Plan::new([action]).settle(*self.config.settle).deadline(*self.config.deadline);
        let started = identity.started.filter(|_| identity.pid > 1);
        let mut ladder = Ladder::new();
        if let (Trouble::Cpu, true, Some(started)) = (trouble, self.config.renice, started) {
            ladder = ladder.then(plan(Action::renice_process(identity.pid, started, self.config.nice)));
        }
        let end = match self.config.then {
            Then::Restart => identity.unit.as_ref().map(Action::restart_service),
            Then::Signal => started.map(|started| {
                let signal = Action::signal_process(identity.pid, started, "TERM");
                self.config.kill_after.iter().fold(signal, |signal, grace| signal.grace(**grace))
            }),
            Then::Escalate => None,
        };
        if let Some(end) = end {
            ladder = ladder.then(plan(end));
        }
        ladder
            .escalate(|incident| match incident.attempts_in_round().len() {
                0 => format!("{summary}; there is nothing that may be done about it"),
                1 => format!("{summary}, also after an attempt"),
                tried => format!("{summary}, also after {tried} attempts"),
            })
            .recover(incident)
    }

    fn verify(&mut self, incident: &Incident) -> Verdict {
        let Fault { kind, target, summary, .. } = &incident.fault;
        let Some(trouble) = Trouble::of(kind) else { return Verdict::Undecided };
        let ended = incident.last_action_ended().unwrap_or_default();
        let last = incident.attempts.last();
        let was_done =
            last.is_some_and(|last| last.verdict.is_none() && last.outcomes.iter().all(|outcome| outcome.ok));
        match self.standing(trouble, target) {
            // It is gone, once it has been looked for long enough.
            None => {
                let since = ended.max(self.began.unwrap_or(self.at));
                if self.at.saturating_sub(since) >= GONE { Verdict::Healthy } else { Verdict::Undecided }
            }
            Some(Standing::Calm) => {
                let last = self.process(target).and_then(|process| process.last(trouble));
                if last.is_some_and(|(at, _)| at > ended) { Verdict::Healthy } else { Verdict::Undecided }
            }
            // Until the deadline it may still calm down.
            Some(Standing::Raised) if !was_done => Verdict::Unhealthy(summary.clone()),
            Some(Standing::Raised | Standing::Unknown) => Verdict::Undecided,
        }
    }
}

impl RunawayProcess {
    fn take(&mut self, batch: &Batch<'_>) {
        let at = self.at;
        let mut heard = false;
        for sample in batch.samples() {
            let Some(pid) = process::pid(&sample) else { continue };
            heard = true;
            if !self.processes.get(&pid).is_some_and(|known| known.identity.is(&sample)) {
                let Some(identity) = Identity::of(&sample).filter(|_| self.processes.len() < MOST) else { continue };
                self.processes.insert(pid, Process::new(identity, &self.config));
            }
            if let Some(process) = self.processes.get_mut(&pid) {
                process.take(at, sample.metric, sample.value);
            }
        }
        self.processes.values_mut().for_each(|process| process.reckon(at));
        let gone = if heard { GONE } else { ALONE };
        self.processes.retain(|_, process| at.saturating_sub(process.seen) < gone);
        for event in batch.events_named("process.state") {
            match Spell::from_event(event) {
                Some(spell) if self.spells.len() < MOST => drop(self.spells.insert(event.subject.clone(), spell)),
                Some(_) => {}
                None => drop(self.spells.remove(&event.subject)),
            }
        }
    }

    /// Who is in which trouble.
    fn raised(&self) -> impl Iterator<Item = Key> + '_ {
        let measured = self.processes.values().flat_map(|process| {
            let raised = Trouble::MEASURED.into_iter().filter(|trouble| process.is(*trouble) == Some(true));
            raised.map(|trouble| (trouble, process.identity.label()))
        });
        let mut parents: BTreeMap<String, usize> = BTreeMap::new();
        for spell in self.spells.values().filter(|spell| spell.state == State::Zombie) {
            *parents.entry(self.parent_of(spell)).or_default() += 1;
        }
        let enough = self.config.zombies;
        let neglected = parents.into_iter().filter(move |(_, count)| enough > 0 && *count >= enough);
        let sleepers = self.spells.values().filter(|spell| spell.state == State::DiskSleep);
        let stuck = sleepers.filter(|spell| self.at.saturating_sub(spell.since) >= *self.config.stuck);
        let stuck = stuck.map(|spell| (Trouble::Stuck, spell.identity.label()));
        measured.chain(neglected.map(|(parent, _)| (Trouble::Zombies, parent))).chain(stuck)
    }

    /// How it is with one; `None` where there is nobody of that name, or nobody in that state.
    fn standing(&self, trouble: Trouble, target: &str) -> Option<Standing> {
        if Trouble::MEASURED.contains(&trouble) {
            return Some(match self.process(target)?.is(trouble) {
                Some(true) => Standing::Raised,
                Some(false) => Standing::Calm,
                None => Standing::Unknown,
            });
        }
        self.raised().any(|(it, at)| it == trouble && at == target).then_some(Standing::Raised)
    }

    fn process(&self, target: &str) -> Option<&Process> {
        let (_, pid) = target.strip_suffix(']')?.rsplit_once('[')?;
        self.processes.get(&pid.parse().ok()?).filter(|process| process.identity.label() == target)
    }

    /// Who it is that is acted on: for zombies their parent, or at least the unit that they belonged to.
    fn identity(&self, trouble: Trouble, target: &str) -> Option<Identity> {
        let process = self.process(target).map(|process| process.identity.clone());
        if process.is_some() || trouble != Trouble::Zombies {
            return process;
        }
        let child = self.zombies_of(target).into_iter().find(|spell| spell.identity.unit.is_some())?;
        Some(Identity { pid: child.parent?, name: String::new(), started: None, unit: child.identity.unit.clone() })
    }

    /// What the parent of a zombie is called; its number alone where it is not watched.
    fn parent_of(&self, spell: &Spell) -> String {
        let Some(pid) = spell.parent else { return "[?]".into() };
        self.processes.get(&pid).map_or_else(|| format!("[{pid}]"), |process| process.identity.label())
    }

    fn zombies_of(&self, parent: &str) -> Vec<&Spell> {
        let zombies = self.spells.values().filter(|spell| spell.state == State::Zombie);
        zombies.filter(|spell| self.parent_of(spell) == parent).collect()
    }

    fn fault(&self, trouble: Trouble, target: &str) -> Fault {
        let fault = Fault::new(trouble.kind(), target);
        match trouble {
            Trouble::Zombies => {
                let children = self.zombies_of(target);
                let summary = format!("{target} does not ask after {} children that have ended", children.len());
                let fault = fault.severity(Severity::Warning).summary(summary);
                children
                    .iter()
                    .take(NAMED)
                    .fold(fault, |fault, it| fault.evidence("process.child", it.identity.label()))
            }
            Trouble::Stuck => {
                let spell = self.spells.values().find(|spell| spell.identity.label() == target);
                let lasts = spell.map(|spell| self.at.saturating_sub(spell.since).as_secs()).unwrap_or_default();
                let summary = format!("{target} waits in the kernel for {} now", HumanDuration::from_secs(lasts));
                fault.severity(Severity::Warning).summary(summary)
            }
            _ => {
                let Some(process) = self.process(target) else { return fault };
                let fault =
                    fault.summary(process.words(trouble)).evidence("process.pid", i64::from(process.identity.pid));
                let unit = process.identity.unit.as_deref();
                let fault = unit.into_iter().fold(fault, |fault, unit| fault.evidence("service.name", unit));
                let value = process.last(trouble).map(|(_, value)| value);
                value.into_iter().fold(fault, |fault, value| fault.evidence("process.value", value))
            }
        }
    }
}

salve_plugin_sdk::export!(RunawayProcess);
