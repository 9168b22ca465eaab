//! Sees that a timer did not fire, and runs its job.
//!
//! **Sees** `timer.missed`, `timer.state` and, where it may start jobs, their `service.state`. **Decides**: `timer.missed` at
//! the timer, until it fires or its job has run. **Does**, with `start`, `service.start` of the job; otherwise a person is
//! told. A job that still runs from the last time is waited for, since that is why its timer did not fire.
//!
//! ```toml
//! [config]
//! timers = ["*.timer"]                       # the defaults
//! grace = "1m"                               # how late, beyond the timer's own accuracy
//! start = false
//! severity = "warning"
//! settle = "2s"
//! deadline = "10m"
//! every = "1d"                               # default: none; how long it may be since one fired
//! jobs = { "a.timer" = "b.service" }         # default: what the timer's events tell, else the timer's own name
//! ```

mod config;
mod job;
mod memory;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use salve_plugin_sdk::{Attribute, matches, prelude::*};

pub use config::Config;
use job::Job;
use memory::Memory;

const FAULT: &str = "timer.missed";
/// How long until a job that still runs is looked at again.
const ITS_TURN: Duration = Duration::from_secs(5);
/// How long the name of a timer may be.
const MAX_NAME: usize = 256;
/// How many attributes of an event are shown in the fault.
const MAX_EVIDENCE: usize = 8;

/// The plugin: its configuration, what it knows of timers, and the last state of each job.
pub struct TimerMissed {
    config: Config,
    memory: Memory,
    jobs: BTreeMap<String, Job>,
    /// Timers that are not missed, by their last word.
    fine: BTreeSet<String>,
    now: Duration,
}

impl Remediator for TimerMissed {
    type Config = Config;

    fn wants() -> Vec<String> {
        vec!["service.start:*".into()]
    }

    fn configure(config: Config) -> Result<(Self, Subscription), String> {
        let mut subscription = Subscription::new();
        for timer in &config.timers {
            subscription = subscription.event_where("timer.state", [("subject", timer.as_str().into())]);
            subscription = subscription.event_where(FAULT, [("subject", timer.as_str().into())]);
            if let Some(selector) = subscription.events.last_mut() {
                let words = [("grace", config.grace), ("every", config.every)];
                let words = words.into_iter().filter_map(|(key, time)| Some(Attribute::new(key, time?.as_secs_f64())));
                selector.matching.extend(words);
            }
        }
        if config.start {
            let named = config.timers.iter().filter_map(|timer| namesake(timer));
            subscription = named.chain(config.jobs.values().cloned()).fold(subscription, |all, job| all.service(&job));
        }
        let memory = Memory::load();
        Ok((Self { config, memory, jobs: BTreeMap::new(), fine: BTreeSet::new(), now: Duration::ZERO }, subscription))
    }

    fn detect(&mut self, batch: &Batch<'_>) -> Vec<Finding> {
        self.now = self.now.max(batch.at());
        let mut findings = Vec::new();
        for event in batch.events() {
            match event.name.as_str() {
                "service.state" => self.see_job(event, &mut findings),
                FAULT | "timer.state" if self.watches(&event.subject) => self.see_timer(event, &mut findings),
                _ => {}
            }
        }
        self.memory.save();
        findings
    }

    fn diagnose(&mut self, incident: &Incident) -> Vec<Cause> {
        let timer = &incident.fault.target;
        if let Some(job) = self.job(timer)
            && self.jobs.get(&job).is_some_and(Job::is_under_way)
        {
            let cause = Cause::new(format!("{job} still runs from the last time"), 0.8);
            return vec![cause.path([FAULT, "job still runs"])];
        }
        if incident.fault.evidence.text("timer.active_state") == Some("failed") {
            let result = incident.fault.evidence.text("timer.result").unwrap_or("for reasons unknown");
            return vec![Cause::new(format!("{timer} itself failed: {result}"), 0.9).path([FAULT, "timer failed"])];
        }
        vec![Cause::new("the host was off or asleep, or its clock was set, when the time came", 0.3).path([FAULT])]
    }

    fn recover(&mut self, incident: &Incident) -> Recovery {
        let timer = &incident.fault.target;
        if !self.config.start {
            return Recovery::escalate(format!("{}; `start` is not set", incident.fault.summary));
        }
        let Some(job) = self.job(timer) else {
            return Recovery::escalate(format!("nobody knows which service {timer} starts; name it in `jobs`"));
        };
        if self.jobs.get(&job).is_some_and(Job::is_under_way) {
            return match incident.age() < *self.config.deadline {
                true => Recovery::wait(ITS_TURN),
                false => Recovery::escalate(format!("{job} still runs from the last time")),
            };
        }
        let plan = Plan::new([Action::start_service(&job)]);
        Ladder::new()
            .then(plan.settle(*self.config.settle).deadline(*self.config.deadline))
            .escalate(move |_| format!("{job} was started in the place of its timer, in vain"))
            .recover(incident)
    }

    fn verify(&mut self, incident: &Incident) -> Verdict {
        let timer = &incident.fault.target;
        let verdict = self.judge(incident);
        if verdict == Verdict::Healthy {
            self.memory.ran(timer, self.now.max(incident.at()));
            self.memory.save();
        }
        verdict
    }
}

impl TimerMissed {
    /// The host refuses names that are empty, long or hold control characters, and the whole answer with them.
    fn watches(&self, timer: &str) -> bool {
        let is_name = !timer.is_empty() && timer.len() <= MAX_NAME && !timer.contains(char::is_control);
        is_name && self.config.timers.iter().any(|pattern| matches(pattern, timer))
    }

    /// What a timer starts: as its events told, the configuration says, or by its name.
    fn job(&self, timer: &str) -> Option<String> {
        let told = self.memory.job(timer).map(str::to_owned);
        told.or_else(|| self.config.jobs.get(timer).cloned()).or_else(|| namesake(timer))
    }

    fn see_timer(&mut self, event: &Event, findings: &mut Vec<Finding>) {
        let timer = &event.subject;
        let trigger = event.get("timer.last_trigger").map(ToString::to_string);
        let missed = match event.name.as_str() {
            FAULT => Some(true),
            // Somebody has stopped it: it is not meant to fire.
            _ if event.text("timer.active_state") == Some("inactive") => Some(false),
            // It fired if it has another last time than when it was missed.
            _ => (trigger.is_some() && trigger.as_deref() != self.memory.trigger(timer)).then_some(false),
        };
        // It is told again to whoever begins to listen, also after its job was started by hand, or by this plugin.
        let late = event.number("timer.late").and_then(|late| Duration::try_from_secs_f64(late).ok());
        let since = event.at().saturating_sub(late.unwrap_or_default());
        let is_over = self.memory.ran_since(timer, since);
        match missed {
            // Somebody is at work on the timer itself.
            Some(true) if event.caused_by.is_some() => {}
            Some(true) if !is_over => {
                self.memory.missed(
                    timer,
                    event.at(),
                    event.text("timer.triggers").filter(|job| !job.is_empty()),
                    trigger.as_deref(),
                );
                self.fine.remove(timer);
                findings.push(self.fault(event).present());
            }
            Some(_) => self.is_fine(timer.clone(), findings),
            None => {}
        }
    }

    fn see_job(&mut self, event: &Event, findings: &mut Vec<Finding>) {
        let job = Job::from_event(event);
        let is_its = |timer: &&str| self.job(timer).as_deref() == Some(&event.subject);
        let timers: Vec<String> = self.memory.all_missed().filter(is_its).map(str::to_owned).collect();
        // Where it runs since, whoever started it, nothing is missing any more; how it ends is for others to say.
        for timer in timers {
            if job.is_under_way() && !self.memory.missed_after(&timer, event.at()) {
                self.memory.ran(&timer, event.at());
                self.is_fine(timer, findings);
            }
        }
        self.jobs.insert(event.subject.clone(), job);
    }

    fn is_fine(&mut self, timer: String, findings: &mut Vec<Finding>) {
        self.memory.fired(&timer);
        findings.push(Fault::new(FAULT, &timer).cleared());
        self.fine.insert(timer);
    }

    fn judge(&self, incident: &Incident) -> Verdict {
        let timer = &incident.fault.target;
        let job = self.job(timer).and_then(|name| Some((self.jobs.get(&name)?, name)));
        let began = incident.last_action_began();
        if let (Some((job, name)), Some(began)) = (job, began)
            && job.since() > began
        {
            return job.verdict(&name);
        }
        if self.fine.contains(timer) {
            return Verdict::Healthy;
        }
        match incident.attempts.last() {
            Some(last) if last.outcomes.iter().any(|outcome| !outcome.ok) => {
                Verdict::Unhealthy(format!("the job of {timer} could not be started"))
            }
            // systemd answers the start of a `oneshot` when it has ended, and by how; one that is over in a moment shows no
            // other state in between, so that there is no further word to wait for.
            Some(last) if last.outcomes.len() == last.actions.len() && !last.actions.is_empty() => Verdict::Healthy,
            Some(_) => Verdict::Undecided,
            None if self.memory.is_missed(timer) => Verdict::Unhealthy(incident.fault.summary.clone()),
            None => Verdict::Undecided,
        }
    }

    fn fault(&self, event: &Event) -> Fault {
        let summary = match event.text("timer.reason") {
            Some("too-seldom") => format!("{} has not fired for too long", event.subject),
            _ => format!("{} did not fire when it should have", event.subject),
        };
        let fault = Fault::new(FAULT, &event.subject).severity(self.config.severity).summary(summary);
        // How late it is grows each time it is told.
        let told = event.attributes.iter().filter(|it| it.key != "timer.late").take(MAX_EVIDENCE);
        told.fold(fault, |fault, it| fault.evidence(&it.key, it.value.clone()))
    }
}

/// What systemd has a timer start unless it says otherwise. A pattern of timers becomes one of services.
fn namesake(timer: &str) -> Option<String> {
    timer.strip_suffix(".timer").map(|stem| format!("{stem}.service"))
}

salve_plugin_sdk::export!(TimerMissed);
