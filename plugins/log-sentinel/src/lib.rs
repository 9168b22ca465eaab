//! Takes log lines and events of named classes for faults, when there are too many of them.
//!
//! **Sees** `log.record` and any other event, also those that were sent from outside, that a class asks for by name, source,
//! attributes and a regular expression; the host applies that, so that of a busy log only such lines come here. **Decides**:
//! `log.NAME` at the source of the lines when there were `at-least` of them `within` a time, until there are fewer than
//! `clear-below`. **Does** what the class's `remedy` says, nothing by default: a person is told. It worked when no further
//! one came for `calm`.
//!
//! What an action brings about is no new fault: lines of a service that is just being restarted do not count, except
//! against that restart.
//!
//! ```toml
//! [config.class.upstream]
//! source = "nginx.service"                     # default: any
//! pattern = "connect\\(\\) failed .* upstream"   # needed for log.record
//! at-least = 5                                 # default: 1
//! within = "1m"                                # this and what follows: the defaults
//! clear-below = 1
//! hold-off = "0s"
//! event = "log.record"
//! attributes = {}                              # { "log.severity" = "err" }
//! kind = "log.upstream"
//! severity = "error"
//! settle = "1s"
//! calm = "1m"                                  # default: `within`, but at most a minute
//! target = "app.service"                       # default: the source
//! summary = "nginx does not reach the app"     # default: the last line
//! remedy = "service.restart:{target}"          # default: none
//! ```
//!
//! Where classes share a source, the lines are told apart here, by an engine that knows of ASCII alone.

mod class;
mod config;
mod open;

use std::collections::BTreeMap;
use std::time::Duration;

use salve_plugin_sdk::detect::{LogChange, LogCount};
use salve_plugin_sdk::{log, prelude::*, state};

use class::Class;
pub use config::{ClassConfig, Config};
use open::{Open, shown};

const RECORD: &str = "log.record";
/// Where the faults that are raised are kept: kind and target.
const KEY: &str = "raised";
/// How many of them are kept over a restart, so that they fit into the state.
const MAX_KEPT: usize = 128;
/// How many faults there may be at once; beyond that nothing new is raised.
const MAX_OPEN: usize = 1024;
/// How many bytes are looked at in one call, where classes share a source: the host ends a call that takes long.
const MAX_LOOKED_AT: usize = 256 * 1024;
/// How much longer than the time of calm a verdict may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The plugin: its classes, the counts, and what is raised, by class and target.
pub struct LogSentinel {
    classes: Vec<Class>,
    count: LogCount,
    open: BTreeMap<(String, String), Open>,
    /// What was raised before a restart: kind and target. Taken over with the first batch, whose time they get.
    kept: Vec<(String, String)>,
    now: Duration,
    is_full: bool,
    /// How much text was looked at in this call, and whether that was too much once.
    looked_at: usize,
    is_flooded: bool,
}

impl Remediator for LogSentinel {
    type Config = Config;

    fn wants() -> Vec<String> {
        ["service.restart:*", "service.reload:*", "command.run:*"].map(String::from).to_vec()
    }

    fn configure(config: Config) -> Result<(Self, Subscription), String> {
        let classes: Result<Vec<Class>, String> =
            config.class.into_iter().map(|(name, class)| Class::new(name, class)).collect();
        let mut classes = classes?;
        for at in 0..classes.len() {
            let (before, rest) = classes.split_at_mut(at);
            let Some((class, after)) = rest.split_first_mut() else { break };
            if let Some(same) = before.iter().find(|other| other.kind == class.kind) {
                let (one, other, kind) = (&same.name, &class.name, &class.kind);
                return Err(format!(
                    "classes `{one}` and `{other}` both raise `{kind}`; give each a `kind` of its own"
                ));
            }
            if let Some(other) = before.iter().chain(&*after).find(|other| other.overlaps(class)) {
                class.tell_from(&other.name)?;
            }
        }
        let subscription = classes.iter().fold(Subscription::new(), |all, class| class.subscribe(all));
        let subscription = match classes.iter().map(|class| class.calm().min(*class.config.within)).min() {
            Some(shortest) => subscription.every((shortest / 4).clamp(Duration::from_secs(1), Duration::from_secs(15))),
            None => subscription,
        };
        let count = LogCount::new(classes.iter().map(|class| (class.name.clone(), class.rule())));
        let kept = state::get(KEY).unwrap_or_default();
        let (open, now) = (BTreeMap::new(), Duration::ZERO);
        Ok((Self { classes, count, open, kept, now, is_full: false, looked_at: 0, is_flooded: false }, subscription))
    }

    fn detect(&mut self, batch: &Batch<'_>) -> Vec<Finding> {
        self.now = self.now.max(batch.at());
        self.looked_at = 0;
        let mut findings = self.take_over();
        let mut changes = Vec::new();
        for event in batch.events() {
            for number in self.classes_of(event) {
                self.take(number, event, &mut changes);
            }
        }
        changes.extend(self.count.pass(self.now).into_iter().filter(|change| !change.raised));
        let raised = changes.iter().any(|change| change.raised);
        for change in changes.into_iter().filter(|change| !change.raised) {
            self.close(&(change.class, change.group), &mut findings);
        }
        self.close_the_calm(&mut findings);
        if raised || !findings.is_empty() {
            self.save();
        }
        for open in self.open.values_mut().filter(|open| open.is_news) {
            open.is_news = false;
            findings.push(open.fault.clone().present());
        }
        findings
    }

    fn diagnose(&mut self, incident: &Incident) -> Vec<Cause> {
        let Some(class) = self.class(&incident.fault.kind) else { return vec![] };
        let open = self.open.get(&(class.name.clone(), incident.fault.target.clone()));
        let cause = Cause::new(&incident.fault.summary, 0.5).path([class.kind.as_str(), class.config.source.as_str()]);
        let lines = open.into_iter().flat_map(|open| &open.lines);
        vec![lines.fold(cause, |cause, line| cause.evidence("log.line", line.as_str()))]
    }

    fn recover(&mut self, incident: &Incident) -> Recovery {
        let fault = &incident.fault;
        let Some(class) = self.class(&fault.kind) else {
            return Recovery::escalate(format!("no class raises `{}` any more", fault.kind));
        };
        let words = [("target", fault.target.as_str())];
        let deadline = class.calm().saturating_add(PATIENCE);
        class.config.remedy.ladder(&words, *class.config.settle, deadline).recover(incident)
    }

    fn verify(&mut self, incident: &Incident) -> Verdict {
        let Some(class) = self.class(&incident.fault.kind) else { return Verdict::Undecided };
        let key = (class.name.clone(), incident.fault.target.clone());
        let (calm, enough) = (class.calm(), class.clear_below());
        let Some(open) = self.open.get(&key) else {
            // Before the first batch nothing is known.
            return if self.now == Duration::ZERO { Verdict::Undecided } else { Verdict::Healthy };
        };
        let Some(ended) = incident.last_action_ended() else {
            return Verdict::Unhealthy(open.fault.summary.clone());
        };
        if open.goes_on_since(ended, enough) {
            let line = open.lines.back().map_or("", String::as_str);
            return Verdict::Unhealthy(format!("{} goes on: {line}", class.name));
        }
        // Not the time of the last batch: where it is calm, there may be none.
        let now = self.now.max(incident.at());
        if now.saturating_sub(ended) < calm {
            return Verdict::Undecided;
        }
        self.count.clear(now, &key.0, &key.1);
        self.open.remove(&key);
        self.save();
        Verdict::Healthy
    }
}

impl LogSentinel {
    fn class(&self, kind: &str) -> Option<&Class> {
        self.classes.iter().find(|class| class.kind == kind)
    }

    /// Whose an event is. The host sends what one of them wants: it is that of the only one that may, and of the last if it
    /// is none of the others'. In a flood there is no time to look at all of it; what is not looked at is nobody's, since the
    /// wrong class has the wrong remedy.
    fn classes_of(&mut self, event: &Event) -> Vec<usize> {
        let may_be = |(_, class): &(usize, &Class)| class.may_be(event);
        let candidates: Vec<(usize, &Class)> = self.classes.iter().enumerate().filter(may_be).collect();
        let Some(((last, last_class), others)) = candidates.split_last() else { return vec![] };
        if others.is_empty() {
            return vec![*last];
        }
        self.looked_at += candidates.iter().map(|(_, class)| class.cost(event)).sum::<usize>();
        if self.looked_at > MAX_LOOKED_AT {
            if !std::mem::replace(&mut self.is_flooded, true) {
                log::warn!("more lines come than there is time to tell apart; give each class a source of its own");
            }
            return vec![];
        }
        let says = |(_, class): &&(usize, &Class)| class.says(event);
        let mut classes: Vec<usize> = others.iter().filter(says).map(|(number, _)| *number).collect();
        if (classes.is_empty() && last_class.has_pattern()) || last_class.says(event) {
            classes.push(*last);
        }
        classes
    }

    fn take(&mut self, number: usize, event: &Event, changes: &mut Vec<LogChange>) {
        let Some(class) = self.classes.get(number) else { return };
        // Garbage of the future must not stop the clock.
        let at = event.at().min(self.now);
        let (key, line) = ((class.name.clone(), class.target(event)), shown(&event.body));
        let is_echo = event.caused_by.is_some();
        let change = if is_echo { None } else { self.count.line(at, &key.0, &key.1) };
        if let Some(change) = &change
            && change.raised
            && !self.open.contains_key(&key)
        {
            if self.open.len() < MAX_OPEN {
                self.open.insert(key.clone(), Open::new(class.fault(&key.1, change.count, &line), at));
            } else if !std::mem::replace(&mut self.is_full, true) {
                log::warn!("{MAX_OPEN} faults are raised; what comes on top of them is not");
            }
        }
        if let Some(open) = self.open.get_mut(&key) {
            open.take(at, line, class.clear_below());
            open.is_news |= !is_echo;
        }
        changes.extend(change);
    }

    /// Goes on with what was raised before a restart; what no class raises any more is over.
    fn take_over(&mut self) -> Vec<Finding> {
        let mut over = Vec::new();
        for (kind, target) in std::mem::take(&mut self.kept) {
            match self.class(&kind) {
                Some(class) => {
                    let mut open = Open::new(class.fault(&target, 0, ""), self.now);
                    open.is_news = false;
                    let key = (class.name.clone(), target);
                    self.open.insert(key, open);
                }
                None => over.push(Fault::new(kind, target).cleared()),
            }
        }
        over
    }

    fn close(&mut self, key: &(String, String), findings: &mut Vec<Finding>) {
        if let Some(open) = self.open.remove(key) {
            self.is_full = false;
            findings.push(open.fault.cleared());
        }
    }

    /// Clears what the counts know nothing of: what was raised before a restart, or forgotten in a flood.
    fn close_the_calm(&mut self, findings: &mut Vec<Finding>) {
        let Self { classes, count, open, now, .. } = self;
        let within = |name: &str| classes.iter().find(|class| class.name == name).map(|class| *class.config.within);
        let is_calm = |(class, target): &(String, String), open: &Open| {
            !count.is_raised(class, target) && within(class).is_none_or(|within| now.saturating_sub(open.last) > within)
        };
        let calm: Vec<_> = open.iter().filter(|(key, open)| is_calm(key, open)).map(|(key, _)| key.clone()).collect();
        calm.iter().for_each(|key| self.close(key, findings));
    }

    fn save(&self) {
        let raised = self.open.values().map(|open| (&open.fault.kind, &open.fault.target)).take(MAX_KEPT);
        if let Err(error) = state::set(KEY, &raised.collect::<Vec<_>>()) {
            log::warn!("what is raised is forgotten at the next restart: {error}");
        }
    }
}

salve_plugin_sdk::export!(LogSentinel);
