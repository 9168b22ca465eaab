//! Sees memory grow that is not given back, and restarts in a quiet moment before the OOM killer does.
//!
//! **Sees** `process.memory.usage` of units and of processes by name, `container.memory.usage`, what they use of the CPU,
//! and `system.memory.limit`.
//! **Decides** `memory.leak` at the unit or container when its memory grows, and that is a leak and no load: the least of
//! each minute rises significantly over the whole `window` and still does in the last third of it, it is well above its own
//! start, and it reaches the `limit` within the `horizon`. It must last for half of the window, unless less than twice
//! `urgent` is left. The first ten minutes after a start do not count; a new start, or much of it given back, begins anew.
//! What was learnt outlasts a restart of the plugin.
//!
//! A `window` of less than an hour (20 s is the least) is for what leaks so fast that it does not live longer. Then a sixtieth
//! of it stands for the minute, and below half an hour a third of it for the ten minutes; the agent's `[collect] interval`
//! must be no more than a thirtieth. The shorter it is, the more of what is restarted was well: a cache that fills or a load
//! that rises for so long looks the same as a leak. Leave such a policy in mode `approve`.
//!
//! **Does** one restart, in a quiet moment: while it uses little of the CPU, or within `quiet-hours`; at the latest when
//! less than `urgent` is left. Then a person.
//!
//! ```toml
//! [config]
//! services = ["app.service"]      # these three are empty by default
//! processes = ["java"]            # by executable; the unit they belong to is restarted
//! containers = ["web-*"]
//! limit = "80%"                   # the defaults: of the host's memory, or a size such as "2GiB"
//! window = "6h"                   # a day's load should fit into it; short ones take load for a leak
//! growth = 0.3                    # above its own start by this share…
//! at-least = "64MiB"              # …and by so much
//! horizon = "24h"
//! for = "10m"
//! urgent = "30m"
//! quiet-cpu = 0.1                 # of one CPU
//! # quiet-hours = "02:00-05:00"   # UTC; default: none, the CPU decides
//! settle = "30s"
//! deadline = "2m"
//! ```

mod config;
mod growth;
mod subject;

use std::collections::BTreeMap;
use std::time::Duration;

use salve_plugin_sdk::detect::Ewma;
use salve_plugin_sdk::{log, prelude::*, state};

pub use config::{Ceiling, Config, Hours};
use growth::Growth;
use subject::{Subject, Use};

const LEAK: &str = "memory.leak";
const MEMORY: &str = "memory.usage";
const START: &str = "memory.start";

/// The most that are watched.
const MOST: usize = 64;
/// How often what is known is kept, and a leak that lasts is told again.
const EVERY: Duration = Duration::from_secs(600);

/// The plugin: its configuration, and what it knows of each that is watched.
pub struct MemoryLeak {
    config: Config,
    host: Option<f64>,
    watched: BTreeMap<Subject, Watched>,
}

struct Watched {
    growth: Growth,
    cpu: Ewma,
    kept: Duration,
    told: Option<(bool, Duration)>,
}

impl Remediator for MemoryLeak {
    type Config = Config;

    fn wants() -> Vec<String> {
        ["service.restart:*", "container.restart:*"].map(String::from).to_vec()
    }

    fn configure(config: Config) -> Result<(Self, Subscription), String> {
        config.check()?;
        let mut subscription = Subscription::new().metric("system.memory.limit");
        let of = [("service.name", &config.services), ("process.executable.name", &config.processes)];
        for (key, name) in of.into_iter().flat_map(|(key, names)| names.iter().map(move |name| (key, name.as_str()))) {
            for metric in ["process.memory.usage", "process.cpu.utilization"] {
                subscription = subscription.metric_where(metric, [(key, name.into())]);
            }
        }
        for name in &config.containers {
            for metric in ["container.memory.usage", "container.memory.limit", "container.cpu.usage"] {
                subscription = subscription.metric_where(metric, [("container.name", name.as_str().into())]);
            }
        }
        let kept = |key: String| {
            let growth = Growth::resume(&config, state::get(&key)?);
            Some((Subject::from_key(&key)?, Watched::new(growth, &config)))
        };
        let watched = state::keys().into_iter().filter_map(kept).collect();
        Ok((Self { config, host: None, watched }, subscription))
    }

    fn detect(&mut self, batch: &Batch<'_>) -> Vec<Finding> {
        let at = batch.at();
        self.host = batch.value("system.memory.limit", &[]).filter(|host| *host > 0.0).or(self.host);
        let all = Use::of_all(batch, &self.config);
        all.into_iter().flat_map(|(subject, usage)| self.take(at, subject, usage)).collect()
    }

    fn diagnose(&mut self, incident: &Incident) -> Vec<Cause> {
        let target = &incident.fault.target;
        let Some((_, watched)) = self.find(target) else { return vec![] };
        let Some(leak) = watched.growth.leak() else { return vec![] };
        let ago = watched.growth.at.saturating_sub(watched.growth.since());
        let cause = format!(
            "it grows by {} an hour since {} ago and reaches its limit in {}",
            HumanSize::from(leak.slope * 3600.0),
            about(ago),
            about(Duration::try_from_secs_f64(leak.left).unwrap_or(Duration::MAX)),
        );
        vec![
            Cause::new(cause, leak.confidence.min(0.9))
                .path([LEAK, "growth"])
                .evidence("memory.per_hour", leak.slope * 3600.0)
                .evidence("memory.since", i64::try_from(watched.growth.since().as_secs()).unwrap_or(i64::MAX))
                .evidence("memory.left", leak.left.round()),
        ]
    }

    fn recover(&mut self, incident: &Incident) -> Recovery {
        let target = &incident.fault.target;
        let Some((subject, watched)) = self.find(target) else { return Recovery::wait(self.config.look()) };
        let Some(restart) = subject.restart() else {
            return Recovery::escalate(format!(
                "{}; it belongs to no unit that could be restarted",
                incident.fault.summary
            ));
        };
        let is_first = incident.attempts_in_round().is_empty();
        if is_first && (watched.growth.is_raised() != Some(true) || !self.is_moment(watched)) {
            return Recovery::wait(self.config.look());
        }
        let plan = Plan::new([restart]).settle(*self.config.settle).deadline(*self.config.deadline);
        Ladder::new()
            .then(plan)
            .escalate(|_| format!("{target} was restarted and holds as much as before"))
            .recover(incident)
    }

    fn verify(&mut self, incident: &Incident) -> Verdict {
        let target = &incident.fault.target;
        let Some((_, Watched { growth, .. })) = self.find(target) else { return Verdict::Undecided };
        if incident.last_action_ended().is_some_and(|ended| growth.at <= ended) || growth.at.is_zero() {
            return Verdict::Undecided;
        }
        let told = |key: &str| incident.fault.evidence.iter().find(|it| it.key == key).map(|it| &it.value);
        match (told(MEMORY), told(START), growth.is_raised()) {
            (Some(Value::Number(before)), Some(Value::Number(start)), _) if growth.level <= (before + start) / 2.0 => {
                Verdict::Healthy
            }
            (_, _, Some(false)) if incident.attempts.is_empty() => Verdict::Healthy,
            _ => Verdict::Unhealthy(format!("{target} still holds {}", HumanSize::from(growth.level))),
        }
    }
}

impl MemoryLeak {
    fn take(&mut self, at: Duration, subject: Subject, usage: Use) -> Option<Finding> {
        if !self.watched.contains_key(&subject) {
            // One that was not heard of for longest makes room: units of a pattern come and go.
            if self.watched.len() >= MOST {
                let oldest =
                    self.watched.iter().min_by_key(|(_, it)| it.growth.at).map(|(subject, _)| subject.clone())?;
                self.watched.remove(&oldest);
                // Fails for a key that is too long, of which nothing was kept.
                let _ = state::delete(&oldest.key());
            }
            self.watched.insert(subject.clone(), Watched::new(Growth::new(&self.config), &self.config));
        }
        let watched = self.watched.get_mut(&subject)?;
        if let Some(cpu) = usage.cpu() {
            watched.cpu.push(at, cpu);
        }
        let memory = usage.memory()?;
        let of_host = self.config.limit.bytes(self.host);
        let limit = [of_host, usage.limit].into_iter().flatten().reduce(f64::min);
        let is_new = watched.growth.push(at, memory, usage.members(), limit, &self.config);
        let finding = watched.tell(&subject, is_new);
        if finding.is_some() || at.abs_diff(watched.kept) >= EVERY {
            watched.kept = at;
            if let Err(error) = state::set(&subject.key(), &watched.growth) {
                log::warn!("what is known of {} is forgotten at the next restart: {error}", subject.target());
            }
        }
        finding
    }

    fn find(&self, target: &str) -> Option<(&Subject, &Watched)> {
        self.watched.iter().find(|(subject, _)| subject.target() == target)
    }

    /// Whether this is the moment to restart it.
    fn is_moment(&self, watched: &Watched) -> bool {
        let is_urgent = watched.growth.leak().is_some_and(|leak| leak.left <= self.config.urgent.as_secs_f64());
        let is_quiet = match self.config.quiet_hours {
            Some(hours) => hours.contains(watched.growth.at),
            // What it uses of the CPU may not be known: then there is no hurry either.
            None => watched.cpu.mean().is_some_and(|cpu| cpu <= self.config.quiet_cpu),
        };
        is_urgent || is_quiet
    }
}

impl Watched {
    fn new(growth: Growth, config: &Config) -> Self {
        Self { growth, cpu: Ewma::new(config.part()), kept: Duration::ZERO, told: None }
    }

    /// What there is to say: that it leaks or no longer does, and now and then that it still does.
    fn tell(&mut self, subject: &Subject, is_new: bool) -> Option<Finding> {
        let at = self.growth.at;
        let raised = if is_new { false } else { self.growth.is_raised()? };
        let news = self.told.is_none_or(|(before, when)| before != raised || raised && at.abs_diff(when) >= EVERY);
        if !news {
            return None;
        }
        self.told = Some((raised, at));
        Some(fault(subject, &self.growth).present_if(raised))
    }
}

fn fault(subject: &Subject, growth: &Growth) -> Fault {
    let mut fault = Fault::new(LEAK, subject.target()).severity(Severity::Warning).evidence(MEMORY, growth.level);
    if let Some(start) = growth.start() {
        fault = fault.evidence(START, start);
    }
    let level = HumanSize::from(growth.level);
    match growth.leak() {
        Some(leak) => {
            let left = about(Duration::try_from_secs_f64(leak.left).unwrap_or(Duration::MAX));
            let per_hour = HumanSize::from(leak.slope * 3600.0);
            let summary = format!("{} holds {level}, {per_hour} more each hour: {left} left", subject.target());
            fault.summary(summary).evidence("memory.left", leak.left.round())
        }
        None => fault.summary(format!("{} holds {level} and has grown", subject.target())),
    }
}

/// A time as people say it: to the minute, or the hour where it is many, or the second where it is few.
fn about(time: Duration) -> String {
    let unit = match time.as_secs() {
        ..300 => 1,
        300..36_000 => 60,
        _ => 3600,
    };
    HumanDuration::from_secs((time.as_secs() + unit / 2) / unit * unit).to_string()
}

salve_plugin_sdk::export!(MemoryLeak);
