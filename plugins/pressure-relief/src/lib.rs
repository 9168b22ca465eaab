//! Ends a shortage of memory or I/O by acting on the worst offender that the operator offers.
//!
//! **Sees** `system.pressure.stalled_ratio` (average of 10 s) and `pressure.stalled`, what is in use of memory and swap, and
//! what the candidates hold of memory.
//! **Decides** `pressure.sustained` at `memory` (or `io`, if configured) when tasks stand still for more than a share of the
//! time, for a while, and, of memory, when little of it or of swap is left: pressure alone may be work that goes well. That
//! is the reasoning of systemd-oomd, a little earlier and with your own word on who goes first.
//! **Does** one action for each attempt, on the worst of the candidates that run: the preferred ones first, and of those the
//! one that will hold most memory in a minute at the rate it grows. Nobody tells who causes I/O: there it is the order in
//! which they are listed. After `most` of them, or when none is left, a person.
//!
//! ```toml
//! [config]
//! memory = { above = 0.4, for = "20s", clear = 0.1 }  # the defaults; io likewise, default: not looked at
//! kind = "full"                   # all tasks stand still; or "some"
//! memory-above = 0.9              # only while more than this share is in use…
//! swap-above = 0.8                # …or of swap
//! most = 2
//! settle = "15s"
//! deadline = "1m"
//! avoid = ["sshd*"]               # these two are empty by default
//! candidates = [
//!     { service = "batch@*.service", action = "service.restart", prefer = true },
//!     { service = "cache.service", action = "service.stop" },
//!     { process = "stress-ng", action = "process.signal", kill-after = "10s" },
//!     { container = "job-*", action = "container.restart" },
//! ]
//! ```

mod candidate;
mod config;
mod consumer;
mod stall;

use std::collections::BTreeMap;
use std::time::Duration;

use salve_plugin_sdk::prelude::*;

pub use candidate::{Candidate, Deed};
pub use config::{Config, Kind, Shortage};
use consumer::Consumer;
use stall::{Stall, WINDOW};

const FAULT: &str = "pressure.sustained";
const MEMORY: &str = "memory";
const RATIO: &str = "system.pressure.stalled_ratio";
const STALLED: &str = "pressure.stalled";

/// The most processes and containers that are known.
const MOST: usize = 2048;
/// One that was not heard of for so long is gone.
const GONE: Duration = Duration::from_secs(15);
/// How often a shortage that lasts is told again, with what it is like by then.
const AGAIN: Duration = Duration::from_secs(30);
/// How long to wait where there is nothing to do for now.
const LOOK: Duration = Duration::from_secs(5);

/// The plugin: its configuration, what is short, and who holds what.
pub struct PressureRelief {
    config: Config,
    stalls: Vec<Stall>,
    consumers: BTreeMap<String, Consumer>,
    memory: Option<f64>,
    swap: Option<f64>,
    told: BTreeMap<&'static str, (bool, Duration)>,
    /// How long it has been told anything.
    began: Option<Duration>,
    at: Duration,
}

/// What can be acted on: all that one action would end.
struct Offender<'a> {
    action: Action,
    label: String,
    rank: usize,
    prefer: bool,
    members: Vec<&'a Consumer>,
}

impl Remediator for PressureRelief {
    type Config = Config;

    fn wants() -> Vec<String> {
        ["service.restart:*", "service.stop:*", "process.signal:*", "container.restart:*", "container.stop:*"]
            .map(String::from)
            .to_vec()
    }

    fn configure(config: Config) -> Result<(Self, Subscription), String> {
        config.check()?;
        let shortages = [(MEMORY, Some(config.memory)), ("io", config.io)];
        let stalls: Vec<Stall> =
            shortages.into_iter().filter_map(|(resource, shortage)| Some(Stall::new(resource, shortage?))).collect();
        let used = [("system.memory.state", "used".into())];
        let swapped = [("system.paging.state", "used".into())];
        let mut subscription = Subscription::new()
            .metric_where("system.memory.utilization", used)
            .metric_where("system.paging.utilization", swapped)
            .every(LOOK);
        let kind = config.kind.word();
        for stall in &stalls {
            let of = [
                ("system.pressure.resource", stall.resource.into()),
                ("system.pressure.kind", kind.into()),
                ("system.pressure.window", "10s".into()),
            ];
            let told = [
                ("subject", stall.resource.into()),
                ("system.pressure.kind", kind.into()),
                ("stall", stall.stall().into()),
                ("window", WINDOW.into()),
            ];
            subscription = subscription.metric_where(RATIO, of).event_where(STALLED, told);
        }
        for (key, pattern) in config.candidates.iter().filter_map(Candidate::selector) {
            let metric = if key == "container.name" { "container.memory.usage" } else { "process.memory.usage" };
            subscription = subscription.metric_where(metric, [(key, pattern.into())]);
        }
        let (consumers, told) = (BTreeMap::new(), BTreeMap::new());
        Ok((
            Self { config, stalls, consumers, memory: None, swap: None, told, began: None, at: Duration::ZERO },
            subscription,
        ))
    }

    fn detect(&mut self, batch: &Batch<'_>) -> Vec<Finding> {
        let at = batch.at();
        self.at = at;
        self.began.get_or_insert(at);
        self.take(batch);
        let is_short = self.is_short();
        let mut turns = Vec::new();
        for stall in &mut self.stalls {
            let Some(raised) = stall.judge(at, stall.resource != MEMORY || is_short) else { continue };
            let told = self.told.get(stall.resource);
            if told.is_none_or(|(before, when)| *before != raised || raised && at.abs_diff(*when) >= AGAIN) {
                self.told.insert(stall.resource, (raised, at));
                turns.push((stall.resource, raised));
            }
        }
        turns.into_iter().map(|(resource, raised)| self.fault(resource).present_if(raised)).collect()
    }

    fn diagnose(&mut self, incident: &Incident) -> Vec<Cause> {
        let resource = incident.fault.target.as_str();
        let offenders = self.offenders(resource);
        let total: f64 = offenders.iter().map(Offender::ahead).sum();
        let cause = |offender: &Offender<'_>| {
            let share = if resource == MEMORY && total > 0.0 { offender.ahead() / total } else { 0.3 };
            Cause::new(offender.words(), (0.8 * share).clamp(0.05, 0.8))
                .path([FAULT, offender.label.as_str()])
                .evidence("memory.usage", offender.size())
                .evidence("memory.in_a_minute", offender.ahead())
        };
        offenders.iter().take(3).map(cause).collect()
    }

    fn recover(&mut self, incident: &Incident) -> Recovery {
        let resource = incident.fault.target.as_str();
        let attempts = incident.attempts_in_round();
        if attempts.last().is_some_and(|last| !matches!(last.verdict, Some(Verdict::Unhealthy(_)))) {
            return Recovery::wait(LOOK);
        }
        // After a restart of the plugin it takes a moment until it is known again who runs.
        if self.began.is_none_or(|began| self.at.saturating_sub(began) < LOOK) {
            return Recovery::wait(LOOK);
        }
        let is_tried = |offender: &Offender<'_>| {
            let same =
                |action: &Action| (&action.kind, &action.target) == (&offender.action.kind, &offender.action.target);
            attempts.iter().flat_map(|attempt| &attempt.actions).any(same)
        };
        let offenders = self.offenders(resource);
        let worst = offenders.into_iter().find(|offender| !is_tried(offender));
        match worst {
            Some(worst) if attempts.len() < self.config.most => {
                Plan::new([worst.action]).settle(*self.config.settle).deadline(*self.config.deadline).into()
            }
            _ => Recovery::escalate(match attempts.len() {
                0 => format!("{}; none of the candidates runs that may be acted on", incident.fault.summary),
                1 => format!("{resource} is still short after one offender was acted on"),
                tried => format!("{resource} is still short after {tried} offenders were acted on"),
            }),
        }
    }

    fn verify(&mut self, incident: &Incident) -> Verdict {
        let Some(stall) = self.stalls.iter().find(|stall| stall.resource == incident.fault.target) else {
            return Verdict::Undecided;
        };
        let Some((at, ratio)) = stall.ratio else { return Verdict::Undecided };
        if incident.last_action_ended().is_some_and(|ended| at <= ended) {
            return Verdict::Undecided;
        }
        let last = incident.attempts.last();
        let was_done =
            last.is_some_and(|last| last.verdict.is_none() && last.outcomes.iter().all(|outcome| outcome.ok));
        if ratio <= stall.shortage.clear {
            Verdict::Healthy
        } else if was_done {
            // An average falls slowly; until the deadline it may.
            Verdict::Undecided
        } else {
            Verdict::Unhealthy(words(stall))
        }
    }
}

impl PressureRelief {
    fn take(&mut self, batch: &Batch<'_>) {
        let at = batch.at();
        for sample in batch.samples().filter(|sample| sample.value.is_finite() && sample.value >= 0.0) {
            match sample.metric {
                "system.memory.utilization" => self.memory = Some(sample.value),
                "system.paging.utilization" => self.swap = Some(sample.value),
                // That of a unit is another plugin's.
                RATIO if sample.text("service.name").is_none() => {
                    let resource = sample.text("system.pressure.resource");
                    let stall = self.stalls.iter_mut().find(|stall| Some(stall.resource) == resource);
                    if let Some(stall) = stall.filter(|_| {
                        sample.text("system.pressure.kind") == Some(self.config.kind.word())
                            && sample.text("system.pressure.window") == Some("10s")
                    }) {
                        stall.average(at, sample.value);
                    }
                }
                "process.memory.usage" | "container.memory.usage" => {
                    let Some((key, new)) = Consumer::of(&sample) else { continue };
                    if self.consumers.contains_key(&key) || self.consumers.len() < MOST {
                        self.consumers.entry(key).or_insert(new).push(at, sample.value);
                    }
                }
                _ => {}
            }
        }
        for event in batch.events_named(STALLED).filter(|event| event.text("service.name").is_none()) {
            if let Some(stall) = self.stalls.iter_mut().find(|stall| stall.resource == event.subject) {
                stall.told(event.at());
            }
        }
        self.consumers.retain(|_, consumer| at.saturating_sub(consumer.seen) < GONE);
    }

    /// Whether little is left of memory or of swap. What is not known is not short.
    fn is_short(&self) -> bool {
        self.memory.is_some_and(|used| used > self.config.memory_above)
            || self.swap.is_some_and(|used| used > self.config.swap_above)
    }

    /// Those that can be acted on, the worst first.
    fn offenders(&self, resource: &str) -> Vec<Offender<'_>> {
        let mut all: Vec<Offender<'_>> = Vec::new();
        for consumer in self.consumers.values().filter(|consumer| !consumer.is_one_of(&self.config.avoid)) {
            let first = self.config.candidates.iter().enumerate().find(|(_, candidate)| candidate.is(consumer));
            let Some((rank, candidate)) = first else { continue };
            let Some(action) = candidate.action(consumer) else { continue };
            match all.iter_mut().find(|it| it.action.kind == action.kind && it.action.target == action.target) {
                Some(offender) => offender.members.push(consumer),
                None => {
                    let label = if candidate.action == Deed::Signal { consumer.label() } else { action.target.clone() };
                    all.push(Offender { action, label, rank, prefer: candidate.prefer, members: vec![consumer] });
                }
            }
        }
        let rank = |offender: &Offender<'_>| if resource == MEMORY { 0 } else { offender.rank };
        all.sort_by(|a, b| {
            let order = b.prefer.cmp(&a.prefer).then(rank(a).cmp(&rank(b)));
            order.then(b.ahead().total_cmp(&a.ahead())).then(a.label.cmp(&b.label))
        });
        all
    }

    fn fault(&self, resource: &'static str) -> Fault {
        let mut fault = Fault::new(FAULT, resource);
        let Some(stall) = self.stalls.iter().find(|stall| stall.resource == resource) else { return fault };
        fault = fault.summary(words(stall));
        let known = [("system.memory.utilization", self.memory), ("system.paging.utilization", self.swap)];
        let known = known.into_iter().chain([(RATIO, stall.ratio.map(|(_, ratio)| ratio))]);
        fault =
            known.fold(fault, |fault, (key, value)| value.into_iter().fold(fault, |fault, it| fault.evidence(key, it)));
        match self.offenders(resource).first() {
            Some(worst) => fault.evidence("pressure.offender", worst.words()),
            None => fault,
        }
    }
}

impl Offender<'_> {
    fn size(&self) -> f64 {
        self.members.iter().map(|it| it.size).sum()
    }

    fn ahead(&self) -> f64 {
        self.members.iter().map(|it| it.ahead()).sum()
    }

    fn words(&self) -> String {
        let (size, more) = (self.size(), self.ahead() - self.size());
        let grows =
            if more >= 1048576.0 { format!(" and grows by {} a minute", HumanSize::from(more)) } else { String::new() };
        format!("{} holds {}{grows}", self.label, HumanSize::from(size))
    }
}

fn words(stall: &Stall) -> String {
    match stall.ratio {
        // The average takes ten seconds to rise: the kernel's triggers may be ahead of it.
        Some((_, ratio)) if ratio > stall.shortage.clear => {
            format!("tasks stand still for {:.0} % of the time for want of {}", ratio * 100.0, stall.resource)
        }
        _ => format!("tasks stand still for want of {}", stall.resource),
    }
}

salve_plugin_sdk::export!(PressureRelief);
