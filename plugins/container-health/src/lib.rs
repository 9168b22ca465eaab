//! Restarts containers that died, are unhealthy or loop; leaves those alone that were stopped on purpose.
//!
//! **Sees** `container.state`, `container.exit` and `container.oom`. **Decides**, at the container:
//!
//! | fault | when |
//! |---|---|
//! | `container.down` | it ended with an error, nobody stopped it, and its own restart policy does not bring it back |
//! | `container.unhealthy` | its health check has failed for `unhealthy-for` |
//! | `container.restart-loop` | it died or was restarted `restarts` times `within` a time |
//! | `container.oom` | the kernel killed a process of it for want of memory, and it runs on (a warning) |
//!
//! Of several the most telling is raised: a loop, then down, then unhealthy. **Does** `container.restart`, `attempts` times,
//! then a person is asked; for `container.oom` at once, since no restart gives it more memory.
//!
//! ```toml
//! [config]
//! containers = ["*"]          # the defaults
//! unhealthy-for = "30s"
//! restarts = 5
//! within = "10m"
//! steady = "1m"               # so long must one that looped run to be well again
//! attempts = 2
//! settle = "2s"
//! deadline = "3m"
//! ```

mod config;
mod deaths;
mod observed;

use std::collections::BTreeMap;
use std::time::Duration;

use salve_plugin_sdk::{matches, prelude::*};

pub use config::Config;
use deaths::Deaths;
use observed::{Observed, Standing};

const DOWN: &str = "container.down";
const UNHEALTHY: &str = "container.unhealthy";
const LOOP: &str = "container.restart-loop";
const OOM: &str = "container.oom";
const KINDS: [&str; 4] = [DOWN, UNHEALTHY, LOOP, OOM];

/// How long a container engine that is already doing something about a container is left to it.
const ENGINES_TURN: Duration = Duration::from_secs(2);
/// How long one that died may take to be started again by its own restart policy, on a host that is busy.
const COMES_BACK: Duration = Duration::from_secs(10);
/// How many containers are kept track of; beyond that new ones are not.
const MAX_CONTAINERS: usize = 1024;

/// The plugin: its configuration, the last word on each container, and how often they died.
pub struct ContainerHealth {
    config: Config,
    containers: BTreeMap<String, Container>,
    deaths: Deaths,
    now: Duration,
}

/// A container, as far as it is known.
#[derive(Default)]
struct Container {
    seen: Observed,
    unhealthy_since: Option<Duration>,
    /// Since when it has run without dying.
    up_since: Option<Duration>,
    /// When the kernel last killed a process of it, if it ran on.
    oom: Option<Duration>,
    /// How its last run ended, which its state no longer says while it runs again.
    last_exit: Option<i64>,
    /// What was raised last. Nothing is known of that at first.
    raised: Option<Option<&'static str>>,
}

impl Remediator for ContainerHealth {
    type Config = Config;

    fn wants() -> Vec<String> {
        vec!["container.restart:*".into()]
    }

    fn configure(config: Config) -> Result<(Self, Subscription), String> {
        let mut subscription = Subscription::new();
        for name in &config.containers {
            for event in ["container.state", "container.exit", "container.oom"] {
                subscription = subscription.event_where(event, [("subject", name.as_str().into())]);
            }
        }
        let shortest = (*config.unhealthy_for).min(*config.steady);
        let subscription = subscription.every(shortest.clamp(Duration::from_secs(1), Duration::from_secs(10)));
        let deaths = Deaths::load(*config.within);
        Ok((Self { config, containers: BTreeMap::new(), deaths, now: Duration::ZERO }, subscription))
    }

    fn detect(&mut self, batch: &Batch<'_>) -> Vec<Finding> {
        self.now = self.now.max(batch.at());
        for event in batch.events() {
            self.see(event);
        }
        let mut findings = Vec::new();
        let names: Vec<String> = self.containers.keys().cloned().collect();
        for name in names {
            self.judge(&name, &mut findings);
        }
        self.deaths.save();
        findings
    }

    fn diagnose(&mut self, incident: &Incident) -> Vec<Cause> {
        let Some(container) = self.containers.get(&incident.fault.target) else { return vec![] };
        let kind = incident.fault.kind.as_str();
        match kind {
            UNHEALTHY => {
                vec![Cause::new("its health check fails while it runs", 0.6).path([UNHEALTHY, "health check"])]
            }
            OOM => vec![
                Cause::new("it needs more memory than its limit, or the host, has", 0.9).path([OOM, "out of memory"]),
            ],
            _ => {
                let (summary, root, confidence) = container.end();
                let cause = Cause::new(summary, confidence).path([kind, root]);
                vec![match container.exit_code() {
                    Some(code) => cause.evidence("container.exit_code", code),
                    None => cause,
                }]
            }
        }
    }

    fn recover(&mut self, incident: &Incident) -> Recovery {
        let name = &incident.fault.target;
        if incident.fault.kind == OOM {
            return Recovery::escalate(format!("{}; a restart gives it no more memory", incident.fault.summary));
        }
        // A loop is on its way up or down whenever one looks.
        let standing = self.containers.get(name).map(|container| container.seen.standing());
        if standing == Some(Standing::Moving) && incident.fault.kind != LOOP && incident.age() < *self.config.deadline {
            return Recovery::wait(ENGINES_TURN);
        }
        let plan = Plan::new([Action::new("container.restart", name)]);
        let plan = plan.settle(*self.config.settle).deadline(*self.config.deadline);
        Ladder::new().then(Rung::new(plan).attempts(self.config.attempts)).recover(incident)
    }

    fn verify(&mut self, incident: &Incident) -> Verdict {
        let name = &incident.fault.target;
        let now = self.now.max(incident.at());
        let Some(container) = self.containers.get(name) else { return Verdict::Undecided };
        let is_old = incident.acted_since(container.seen.since);
        let acted = incident.last_action_ended().unwrap_or_default();
        let unhealthy_since = container.unhealthy_since.unwrap_or(now).max(acted);
        let verdict = match container.seen.standing() {
            // Somebody stopped or removed it while it was being healed: what they want is what is.
            Standing::Left => Verdict::Healthy,
            Standing::Moving | Standing::Starting | Standing::Unknown => Verdict::Undecided,
            Standing::Up if incident.fault.kind == LOOP => {
                let since = container.up_since.unwrap_or(now).max(acted);
                if now.saturating_sub(since) >= *self.config.steady { Verdict::Healthy } else { Verdict::Undecided }
            }
            Standing::Up if incident.fault.kind == OOM && container.oom.is_some() => {
                Verdict::Unhealthy(incident.fault.summary.clone())
            }
            // Its health check has been started anew, and has not said anything yet.
            Standing::Up if incident.fault.kind == UNHEALTHY && !container.seen.is_healthy() => Verdict::Undecided,
            Standing::Up => Verdict::Healthy,
            // What the last action did may have changed that, and word of it be on its way.
            Standing::Down | Standing::Unhealthy if is_old => Verdict::Undecided,
            // It has the same patience as before: a health check of the old run may have ended within the new one.
            Standing::Unhealthy if now.saturating_sub(unhealthy_since) < *self.config.unhealthy_for => {
                Verdict::Undecided
            }
            Standing::Down => Verdict::Unhealthy(format!("{name} is down: {}", container.seen.end().0)),
            Standing::Unhealthy => Verdict::Unhealthy(format!("{name} is unhealthy")),
        };
        if verdict == Verdict::Healthy {
            self.deaths.forgive(name);
            self.deaths.save();
        }
        verdict
    }
}

impl ContainerHealth {
    fn watches(&self, name: &str) -> bool {
        let fits = self.config.containers.iter().any(|pattern| matches(pattern, name));
        fits && (self.containers.len() < MAX_CONTAINERS || self.containers.contains_key(name))
    }

    fn see(&mut self, event: &Event) {
        let name = event.subject.as_str();
        if name.is_empty() || !self.watches(name) {
            return;
        }
        // Garbage of the future must not stop the clock.
        let at = event.at().min(self.now);
        match event.name.as_str() {
            "container.state" => {
                let seen = Observed::from_event(event);
                let container = self.containers.entry(name.to_owned()).or_default();
                if let Some(restarts) = seen.restarts {
                    self.deaths.restarted(name, at, container.seen.restarts, restarts);
                }
                container.take(seen, at);
            }
            // The exit that an action brought about is no death.
            "container.exit"
                if event.caused_by.is_none() && event.boolean("container.stop_requested") != Some(true) =>
            {
                self.deaths.exited(name, at);
                let code = event.integer("container.exit_code");
                if let Some(container) = self.containers.get_mut(name) {
                    container.last_exit = code.or(container.last_exit);
                }
            }
            "container.oom" if event.caused_by.is_none() => {
                self.containers.entry(name.to_owned()).or_default().oom = Some(at);
            }
            _ => {}
        }
    }

    /// What is wrong with a container now, and what is not any more.
    fn judge(&mut self, name: &str, findings: &mut Vec<Finding>) {
        let (now, config) = (self.now, &self.config);
        let Some(container) = self.containers.get_mut(name) else { return };
        let deaths = self.deaths.count(name, now, container.seen.standing() == Standing::Down);
        if container.oom.is_some_and(|oom| now.saturating_sub(oom) > *config.within) {
            container.oom = None;
        }
        let standing = container.seen.standing();
        let unhealthy_for = container.unhealthy_since.map(|since| now.saturating_sub(since));
        let loops = deaths >= u64::from(config.restarts.max(1));
        let steady = container.up_since.is_some_and(|since| now.saturating_sub(since) >= *config.steady);
        let kind = match standing {
            // A part of what is being done about it, or about something else; if it stays so, it counts.
            Standing::Down | Standing::Unhealthy
                if container.seen.is_echo && now.saturating_sub(container.seen.since) < *config.deadline =>
            {
                return;
            }
            // Its engine is about to start it again; what comes of that is told soon, or else it counts.
            Standing::Down
                if !loops && container.seen.comes_back() && now.saturating_sub(container.seen.since) < COMES_BACK =>
            {
                return;
            }
            Standing::Unknown => return,
            Standing::Left => None,
            Standing::Down if !loops => Some(DOWN),
            Standing::Down | Standing::Moving if loops => Some(LOOP),
            Standing::Moving => return,
            _ if loops && !steady => Some(LOOP),
            Standing::Unhealthy if unhealthy_for >= Some(*config.unhealthy_for) => Some(UNHEALTHY),
            // Not for long enough to say so, nor well.
            Standing::Unhealthy | Standing::Starting => return,
            _ if container.oom.is_some() => Some(OOM),
            _ => None,
        };
        if kind.is_none() && steady && loops {
            self.deaths.forgive(name);
        }
        let before = container.raised.replace(kind);
        if before == Some(kind) {
            return;
        }
        for other in KINDS {
            let was = before.is_none_or(|before| before == Some(other));
            if was && kind != Some(other) {
                findings.push(Fault::new(other, name).cleared());
            }
        }
        findings.extend(kind.map(|kind| container.fault(kind, name, deaths).present()));
        if container.seen.is_removed() {
            self.containers.remove(name);
            self.deaths.forget(name);
        }
    }
}

impl Container {
    fn take(&mut self, seen: Observed, at: Duration) {
        let standing = seen.standing();
        let is_up = matches!(standing, Standing::Up | Standing::Starting | Standing::Unhealthy);
        // Where it was restarted between two looks, it has run since the later of them.
        let restarted = self.seen.restarts != seen.restarts;
        let since = |since: Option<Duration>| Some(since.filter(|_| !restarted).unwrap_or(at));
        self.up_since = if is_up { since(self.up_since) } else { None };
        self.unhealthy_since = if standing == Standing::Unhealthy { since(self.unhealthy_since) } else { None };
        if !is_up {
            self.oom = None;
        }
        self.last_exit = seen.exit_code.or(self.last_exit);
        self.seen = seen;
    }

    /// That of its last run, as far as it is known.
    fn exit_code(&self) -> Option<i64> {
        self.seen.exit_code.or(self.last_exit)
    }

    /// How its last run ended, what that says, and how sure that is.
    fn end(&self) -> (String, &'static str, f64) {
        let mut seen = self.seen.clone();
        seen.exit_code = self.exit_code();
        seen.end()
    }

    fn fault(&self, kind: &str, name: &str, deaths: u64) -> Fault {
        let fault = Fault::new(kind, name);
        let fault = match kind {
            UNHEALTHY => fault.summary(format!("{name} runs, and its health check fails")),
            LOOP => fault.severity(Severity::Critical).summary(format!("{name} died {deaths} times lately")),
            OOM => {
                fault.severity(Severity::Warning).summary(format!("a process of {name} was killed for want of memory"))
            }
            _ => fault.summary(format!("{name} is down: {}", self.seen.end().0)),
        };
        let fault = fault.evidence("container.oom_killed", self.seen.oom_killed);
        // Of one that runs, the end of an earlier run tells something only where it loops.
        match if kind == LOOP { self.exit_code() } else { self.seen.exit_code } {
            Some(code) => fault.evidence("container.exit_code", code),
            None => fault,
        }
    }
}

salve_plugin_sdk::export!(ContainerHealth);
