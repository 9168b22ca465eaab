//! A stock plugin in the sandbox, under a policy that is tried on it as the agent does, and fed by a real router: it hears
//! what it has subscribed to, and nothing else.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use salve::action::{Action, Outcome};
use salve::clock::{Clock, Now, Timestamp};
use salve::config::Policy;
use salve::incident::ledger::Ledger;
use salve::incident::{Attempt, Cause, Fault, Finding, Recovery, Verdict};
use salve::plugin::{CallError, Instance, Interfaces, configured};
use salve::signal::{Attribute, Batch, Event, Mailbox, Router, Sample, Selector, SeriesName, Subscription, Value};

use crate::common::{at, incident, loaded, sandbox};

/// When every trial begins, in seconds.
const START: u64 = 1_700_000_000;

/// A reading: metric, attributes, value.
pub(crate) type Reading<'a> = (&'a str, &'a [(&'a str, &'a str)], f64);

/// The folder of the stock plugins.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("plugins")
}

/// A plugin's policy as it is shipped.
pub(crate) fn shipped(plugin: &str) -> String {
    let path = folder().join(plugin).join("policy.toml");
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The same with everything that it proposes: settings that are commented out, and the grants beside an empty list.
pub(crate) fn proposed(plugin: &str) -> String {
    let is_toml = |text: &str| text.parse::<toml::Table>().is_ok_and(|table| !table.is_empty());
    let take_up = |line: &str| {
        let trimmed = line.trim_start();
        let setting = trimmed.strip_prefix("# ").filter(|it| is_toml(it) || is_toml(&format!("entry = [{it}]")));
        let grants = trimmed.strip_prefix("actions = []").and_then(|it| it.trim_start().strip_prefix("# "));
        match (setting, grants) {
            (_, Some(grants)) => format!("actions = {grants}\n"),
            (Some(setting), _) => format!("{setting}\n"),
            _ => format!("{line}\n"),
        }
    };
    shipped(plugin).lines().map(take_up).collect()
}

/// An event about a subject.
pub(crate) fn event(name: &'static str, subject: &str, attributes: &[(&str, Value)]) -> Event {
    let attributes = attributes.iter().map(|(key, value)| Attribute::new(*key, value.clone())).collect();
    let (subject, at) = (subject.to_owned(), Timestamp::default());
    Event { name: name.into(), subject, attributes, body: String::new(), at, caused_by: None }
}

/// A service's state.
pub(crate) fn service(name: &str, active: &str) -> Event {
    event("service.state", name, &[("service.active_state", active.into())])
}

/// A clock that stands still.
#[derive(Debug)]
struct Still(Timestamp);

impl Clock for Still {
    fn now(&self) -> Now {
        Now { wall: self.0, mono: Duration::ZERO }
    }
}

/// What comes of trying a policy's text on a plugin, as `salve check` does; the error is what the operator is told.
pub(crate) fn check(plugin: &str, text: &str) -> Result<(), String> {
    tried(plugin, text, Interfaces::default()).map(drop)
}

fn tried(plugin: &str, text: &str, interfaces: Interfaces) -> Result<(Policy, Instance, Subscription), String> {
    let file = format!("{plugin}.toml");
    let policy = Policy::parse(Path::new(&file), text).map_err(|error| error.to_string())?;
    assert_eq!(policy.plugin, plugin);
    let loaded = loaded("plugins", plugin);
    let (instance, subscription) = configured(sandbox(), &policy, &loaded, interfaces, &Still(at(START)))?;
    Ok((policy, instance, subscription))
}

/// A plugin under trial.
pub(crate) struct Trial {
    pub(crate) policy: Policy,
    subscription: Subscription,
    instance: Instance,
    router: Router,
    mailbox: Arc<Mailbox>,
    /// In seconds.
    now: u64,
    /// When the last fault was found.
    opened: u64,
    _state: tempfile::TempDir,
}

impl Trial {
    /// Under a policy's text.
    pub(crate) fn new(plugin: &str, text: &str) -> Result<Self, String> {
        let directory = tempfile::tempdir().unwrap();
        let state = Some(Arc::new(Ledger::open(directory.path()).unwrap().plugin_state().unwrap()));
        let (policy, instance, subscription) = tried(plugin, text, Interfaces { state, ..Interfaces::default() })?;
        let (router, mailbox) = (Router::new(), Arc::new(Mailbox::default()));
        router.subscribe("trial".into(), subscription.clone(), mailbox.clone());
        Ok(Self { policy, subscription, instance, router, mailbox, now: START, opened: START, _state: directory })
    }

    /// Under the policy that is shipped with it.
    pub(crate) fn shipped(plugin: &str) -> Self {
        Self::new(plugin, &shipped(plugin)).unwrap()
    }

    /// Under that with everything that it proposes.
    pub(crate) fn proposed(plugin: &str) -> Self {
        Self::new(plugin, &proposed(plugin)).unwrap()
    }

    /// Checks what it wants to be told: metrics, events, and how often it looks without.
    pub(crate) fn asks(&self, metrics: &[&str], events: &[&str], every: Option<u64>) {
        let names = |selectors: &[Selector]| selectors.iter().map(Selector::name).collect::<BTreeSet<_>>();
        let expected = |all: &[&str]| all.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
        assert_eq!(names(&self.subscription.metrics), expected(metrics));
        assert_eq!(names(&self.subscription.events), expected(events));
        assert_eq!(self.subscription.every, every.map(Duration::from_secs));
    }

    /// What it has asked for.
    pub(crate) fn subscription(&self) -> &Subscription {
        &self.subscription
    }

    /// What it finds when, a second later, this is so; something of it must be what it has asked for.
    pub(crate) fn tell(&mut self, readings: &[Reading<'_>], events: Vec<Event>) -> Vec<Finding> {
        let what = format!("{readings:?} {events:?}");
        let batch = self.publish(readings, events);
        let batch = batch.unwrap_or_else(|| panic!("it has not asked for any of {what}"));
        self.feed(batch).unwrap()
    }

    /// Checks that it is not told of this.
    pub(crate) fn ignores(&mut self, event: Event) {
        let batch = self.publish(&[], vec![event]);
        assert!(batch.is_none(), "it has asked for {batch:?}");
    }

    /// The same readings so many times, each `step` seconds.
    pub(crate) fn repeat(&mut self, count: u32, step: u64, readings: &[Reading<'_>]) -> Vec<Finding> {
        let mut findings = Vec::new();
        for _ in 0..count {
            self.now += step - 1;
            findings.extend(self.tell(readings, vec![]));
        }
        findings
    }

    /// What it finds when nothing has come for so long.
    pub(crate) fn idle(&mut self, seconds: u64) -> Vec<Finding> {
        self.now += seconds;
        self.feed(Batch { at: at(self.now), ..Batch::default() }).unwrap()
    }

    /// What comes of a batch, whatever is in it.
    pub(crate) fn feed(&mut self, batch: Batch) -> Result<Vec<Finding>, CallError> {
        self.instance.detect(batch)
    }

    /// The time, for such a batch.
    pub(crate) fn tick(&mut self) -> Timestamp {
        self.now += 1;
        at(self.now)
    }

    /// The fault that was found, which must be this one and the only one.
    pub(crate) fn only(&mut self, findings: &[Finding], kind: &str, target: &str) -> Fault {
        let found = present(findings);
        let names: BTreeSet<_> = found.iter().map(|it| (it.kind.as_str(), it.target.as_str())).collect();
        assert_eq!(names, BTreeSet::from([(kind, target)]), "{findings:?}");
        self.opened = self.now;
        let fault = (*found.last().unwrap()).clone();
        assert!(!fault.summary.is_empty() && !fault.summary.contains(['\n', '{']), "{fault:?}");
        fault
    }

    /// Why it says a fault is there: always something, and something for people.
    pub(crate) fn causes(&mut self, fault: &Fault) -> Vec<Cause> {
        let causes = self.instance.diagnose(incident(fault.clone(), at(self.opened), vec![]), at(self.now)).unwrap();
        assert!(!causes.is_empty(), "{fault:?}");
        for cause in &causes {
            assert!(!cause.summary.is_empty() && cause.confidence > 0.0 && cause.confidence <= 1.0, "{cause:?}");
        }
        causes
    }

    /// What it does about a fault, one attempt after the other, none of which helps; every action is covered by a grant. It
    /// must end with a person.
    pub(crate) fn ladder(&mut self, fault: &Fault) -> Vec<String> {
        let (mut actions, mut attempts) = (Vec::new(), Vec::new());
        loop {
            match self.recover(fault, &attempts) {
                Recovery::Act(_) if attempts.len() > 10 => panic!("there is no end of {actions:?}"),
                Recovery::Act(plan) => {
                    actions.extend(plan.actions.iter().map(ToString::to_string));
                    let unhealthy = Some(Verdict::Unhealthy("it did not help".into()));
                    attempts.push(self.attempt(plan.actions, attempts.len(), true, unhealthy));
                }
                Recovery::Escalate(reason) => {
                    assert!(!reason.is_empty());
                    return actions;
                }
                Recovery::Wait(wait) => panic!("it waits for {wait:?} after {actions:?}"),
            }
        }
    }

    /// The first attempt at a fault, with its outcome and without a verdict.
    pub(crate) fn act(&mut self, fault: &Fault, ok: bool) -> Attempt {
        let Recovery::Act(plan) = self.recover(fault, &[]) else { panic!("a plan") };
        self.attempt(plan.actions, 0, ok, None)
    }

    /// Whether the attempt worked.
    pub(crate) fn verify(&mut self, fault: &Fault, attempt: Attempt) -> Verdict {
        self.instance.verify(incident(fault.clone(), at(self.opened), vec![attempt]), at(self.now)).unwrap()
    }

    fn recover(&mut self, fault: &Fault, attempts: &[Attempt]) -> Recovery {
        let incident = incident(fault.clone(), at(self.opened), attempts.to_vec());
        let recovery = self.instance.recover(incident, at(self.now)).unwrap();
        if let Recovery::Act(plan) = &recovery {
            assert!(!plan.actions.is_empty() && !plan.deadline.is_zero(), "{plan:?}");
            for action in &plan.actions {
                let grant = &self.policy.rules.grant;
                let is_granted = grant.iter().any(|pattern| pattern.matches(&action.kind, &action.target));
                assert!(is_granted, "its policy does not grant {action}: {grant:?}");
            }
        }
        recovery
    }

    /// One that begins now and is over a second later, a moment before anything else.
    fn attempt(&mut self, actions: Vec<Action>, before: usize, ok: bool, verdict: Option<Verdict>) -> Attempt {
        let outcome = |action: &Action| Outcome {
            action: action.clone(),
            ok,
            detail: String::new(),
            took: Duration::from_millis(900),
        };
        let started = at(self.now);
        self.now += 1;
        let number = u32::try_from(before).unwrap() + 1;
        let (outcomes, finished) = (actions.iter().map(outcome).collect(), verdict.as_ref().map(|_| at(self.now)));
        let (digest, targets) = (String::new(), vec![]);
        Attempt { number, round: 0, started, finished, digest, targets, actions, outcomes, verdict }
    }

    fn publish(&mut self, readings: &[Reading<'_>], events: Vec<Event>) -> Option<Batch> {
        let now = self.tick();
        let sample = |(metric, attributes, value): &Reading<'_>| {
            let attributes = attributes.iter().map(|(key, text)| ((*key).to_owned().into(), (*text).into())).collect();
            Sample { series: SeriesName { metric: (*metric).to_owned().into(), attributes }, value: *value }
        };
        if !readings.is_empty() {
            let samples: Vec<_> = readings.iter().map(sample).collect();
            self.router.publish_samples("trial", now, &samples);
        }
        events.into_iter().for_each(|event| self.router.publish(Event { at: now, ..event }));
        self.mailbox.take(now)
    }
}

/// The faults that were found.
pub(crate) fn present(findings: &[Finding]) -> Vec<&Fault> {
    let faults = findings.iter().filter_map(|finding| match finding {
        Finding::Present(fault) => Some(fault),
        Finding::Cleared { .. } => None,
    });
    faults.collect()
}
