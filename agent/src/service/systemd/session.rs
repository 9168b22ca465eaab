//! Watching units over one connection. One task takes in the signals and never waits for an answer: what has to be
//! asked is asked by tasks of its own, because the connection does not go on while its signals are not taken.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use tokio::task::JoinSet;
use zbus::{Message, MessageStream, OwnedObjectPath, fdo, message};

use super::bus::{Bus, Changed, is_answer};
use super::name::{self, Wanted};
use super::next;
use super::rules::rules;
use super::unit::{JobKind, Reading, Unit};
use super::watch::{Known, Names};
use crate::service::needs::Needs;
use crate::service::{ActiveState, Report};

/// Units of patterns are remembered after systemd has forgotten them if somebody had stopped them: a later sight of
/// them must not look like a fault. Beyond so many units they are not, for hosts that make units by the minute.
const REMEMBERED_MAX: usize = 1000;

/// One unit that was looked at.
struct Look {
    /// The name that was asked for, unless a pattern was.
    asked: Option<String>,
    /// None if no unit can have the name.
    reading: Option<Reading>,
    /// What it needs, if that could be read.
    needs: Option<BTreeSet<String>>,
}

/// What a task has found out.
enum Answer {
    /// A look at names and patterns: units, each with the name that was asked for unless a pattern was.
    Looked(zbus::Result<Vec<Look>>),
    /// What a unit needs.
    Needs { unit: String, needs: BTreeSet<String> },
    /// The type of a unit's job.
    Job { unit: String, id: u32, kind: Option<JobKind> },
}

/// One connection's worth of watching.
pub(super) struct Session<'a> {
    bus: Bus,
    report: &'a Report,
    known: &'a mut Known,
    needs: &'a Needs,
    /// systemd's unique name on the bus: anybody may send the agent a signal, so the sender is checked.
    owner: Option<String>,
    wanted: Wanted,
    /// From a wanted name to the unit that it is another name of.
    aliases: BTreeMap<String, String>,
    /// The match rules in force.
    rules: BTreeSet<String>,
    /// Names and patterns to look at next.
    look: BTreeSet<String>,
    /// Whether a look is under way; one at a time, so that rules are added and dropped in order.
    looking: bool,
    /// Whether systemd is reading its configuration: units vanish and come back meanwhile.
    reloading: bool,
    tasks: JoinSet<Answer>,
}

impl<'a> Session<'a> {
    pub(super) fn new(bus: Bus, report: &'a Report, known: &'a mut Known, needs: &'a Needs) -> Self {
        known.units.values_mut().for_each(Unit::disconnected);
        Self {
            bus,
            report,
            known,
            needs,
            owner: None,
            wanted: Wanted::default(),
            aliases: BTreeMap::new(),
            rules: BTreeSet::new(),
            look: BTreeSet::new(),
            looking: false,
            reloading: false,
            tasks: JoinSet::new(),
        }
    }

    /// Whether this session got as far as being sent signals.
    pub(super) fn is_subscribed(&self) -> bool {
        self.owner.is_some()
    }

    /// Watches until the sender of `names` is gone.
    ///
    /// # Errors
    /// When the connection is lost or systemd does not answer.
    pub(super) async fn run(&mut self, names: &mut Names) -> zbus::Result<()> {
        self.owner = self.bus.subscribe().await?;
        let mut messages = MessageStream::from(self.bus.connection());
        let wanted = Wanted::new(&names.borrow_and_update());
        self.want(wanted);
        loop {
            self.go_on();
            tokio::select! {
                message = next(&mut messages) => match message {
                    Some(message) => self.message(&message?),
                    None => return Err(fdo::Error::Disconnected("the system bus went away".to_owned()).into()),
                },
                Some(answer) = self.tasks.join_next() => match answer {
                    Ok(answer) => self.answer(answer)?,
                    Err(error) => return Err(zbus::Error::Failure(error.to_string())),
                },
                changed = names.changed() => match changed {
                    Ok(()) => {
                        let wanted = Wanted::new(&names.borrow_and_update());
                        self.want(wanted);
                    }
                    Err(_) => return Ok(()),
                },
            }
        }
    }

    fn is_watched(&self, unit: &str) -> bool {
        self.wanted.covers(unit) || self.aliases.values().any(|target| target == unit)
    }

    /// Takes over what somebody wants to see from now on.
    fn want(&mut self, wanted: Wanted) {
        self.look.extend(wanted.exact.difference(&self.wanted.exact).cloned());
        self.look.extend(wanted.globs.difference(&self.wanted.globs).cloned());
        self.wanted = wanted;
        self.aliases.retain(|alias, _| self.wanted.exact.contains(alias));
        let mut units = mem::take(&mut self.known.units);
        units.retain(|_, unit| self.is_watched(unit.name()));
        self.known.units = units;
        self.needs.retain(|name| self.is_watched(name) || self.aliases.contains_key(name));
        self.known.reported.retain(|name, _| self.wanted.covers(name));
        self.known.missing.retain(|name| self.wanted.exact.contains(name));
    }

    /// Looks at everything again, after a time when signals may have been missed.
    fn look_at_all(&mut self) {
        self.look.extend(self.wanted.exact.iter().chain(&self.wanted.globs).cloned());
    }

    /// Brings the match rules up to date and looks at what is to be looked at, unless that is under way.
    fn go_on(&mut self) {
        let rules = rules(&self.wanted, &self.aliases);
        if self.looking || (self.look.is_empty() && rules == self.rules) {
            return;
        }
        self.looking = true;
        let add = rules.difference(&self.rules).cloned().collect();
        let drop = self.rules.difference(&rules).cloned().collect();
        self.rules = rules;
        let (bus, look, wanted) = (self.bus.clone(), mem::take(&mut self.look), self.wanted.clone());
        self.tasks.spawn(async move { Answer::Looked(look_at(&bus, add, drop, look, &wanted).await) });
    }

    fn answer(&mut self, answer: Answer) -> zbus::Result<()> {
        match answer {
            Answer::Looked(readings) => {
                self.looking = false;
                for look in readings? {
                    self.looked(look);
                }
            }
            // Between the question and the answer nobody may want to see it any more.
            Answer::Needs { unit, needs } if self.is_watched(&unit) => self.needs.put(&unit, needs),
            Answer::Needs { .. } => (),
            Answer::Job { unit, id, kind } => {
                if let Some(known) = self.known.units.get_mut(&unit) {
                    known.job_is(id, kind);
                    self.tell(&unit);
                }
            }
        }
        Ok(())
    }

    fn looked(&mut self, Look { asked, reading, needs }: Look) {
        let reading = match (reading, &asked) {
            (Some(reading), None) => reading,
            (Some(reading), Some(_)) if !reading.is_absent() => reading,
            (_, Some(name)) => {
                if self.wanted.exact.contains(name) && self.known.missing.insert(name.clone()) {
                    tracing::warn!("there is no unit {name}; it is watched for");
                }
                return;
            }
            (None, None) => return,
        };
        if let Some(name) = asked {
            self.known.missing.remove(&name);
            if let Some(needs) = needs.clone().filter(|_| name != reading.unit && self.wanted.exact.contains(&name)) {
                self.needs.put(&name, needs);
            }
            if name != reading.unit && self.wanted.exact.contains(&name) {
                let before = self.aliases.insert(name.clone(), reading.unit.clone());
                if before.as_ref() != Some(&reading.unit) {
                    // Its signals come by its own name, and rules for that one are only now known to be needed.
                    self.look.insert(name);
                }
            }
        }
        if self.is_watched(&reading.unit) {
            let path = name::path(&reading.unit);
            let unit = self.known.units.entry(path.clone()).or_insert_with(|| Unit::new(reading.unit.clone()));
            unit.read(&reading);
            if let Some(needs) = needs {
                self.needs.put(&reading.unit, needs);
            }
            self.tell(&path);
        }
    }

    fn message(&mut self, message: &Message) {
        if message.message_type() != message::Type::Signal {
            return;
        }
        if let Err(error) = self.signal(message) {
            tracing::debug!("a signal that makes no sense: {error}");
        }
    }

    fn signal(&mut self, message: &Message) -> zbus::Result<()> {
        let (header, body) = (message.header(), message.body());
        let (Some(sender), Some(path), Some(member)) = (header.sender(), header.path(), header.member()) else {
            return Ok(());
        };
        if sender.as_str() == "org.freedesktop.DBus" && member.as_str() == "NameOwnerChanged" {
            let (name, _, owner): (&str, &str, &str) = body.deserialize()?;
            if name == "org.freedesktop.systemd1" && !owner.is_empty() {
                self.owner = Some(owner.to_owned());
                self.look_at_all();
            }
        }
        if self.owner.as_deref() != Some(sender.as_str()) {
            return Ok(());
        }
        match member.as_str() {
            "PropertiesChanged" => self.properties(path.as_str(), message)?,
            "JobRemoved" => {
                let (id, _, unit, result): (u32, OwnedObjectPath, &str, &str) = body.deserialize()?;
                let path = name::path(unit);
                if let Some(unit) = self.known.units.get_mut(&path) {
                    unit.job_ended(id, result == "done");
                    self.tell(&path);
                }
            }
            "Reloading" => {
                self.reloading = body.deserialize()?;
                if !self.reloading {
                    self.look_at_all();
                }
            }
            "UnitRemoved" if !self.reloading => {
                let (unit, path): (&str, OwnedObjectPath) = body.deserialize()?;
                // systemd forgets units that are down; what is watched by its own name stays.
                if !self.wanted.exact.contains(unit) && !self.aliases.values().any(|target| target == unit) {
                    if let Some(unit) = self.known.units.get_mut(path.as_str()) {
                        unit.removed();
                        // When it comes back it may have been changed.
                        self.needs.remove(unit.name());
                    }
                    self.tell(path.as_str());
                }
            }
            _ => (),
        }
        Ok(())
    }

    fn properties(&mut self, path: &str, message: &Message) -> zbus::Result<()> {
        let Some(name) = name::of_path(path).filter(|name| self.is_watched(name)) else {
            return Ok(());
        };
        let Some(changed) = Changed::decode(message)? else {
            return Ok(());
        };
        let unit = self.known.units.entry(path.to_owned()).or_insert_with(|| Unit::new(name.clone()));
        match changed {
            Changed::Main(main) => unit.main_changed(main),
            // Asking for a unit that does not exist makes systemd announce one that is down.
            Changed::State(state, _) if state.active == ActiveState::Inactive && self.known.missing.contains(&name) => {
                self.look.insert(name);
            }
            Changed::State(state, job) => {
                self.known.missing.remove(&name);
                let id = state.job;
                // A unit that no look has shown, such as a new one of a pattern.
                if state.active != ActiveState::Inactive && self.needs.claim(&name) {
                    let (bus, unit) = (self.bus.clone(), name.clone());
                    self.tasks.spawn(async move {
                        let needs = bus.needs(&unit).await.unwrap_or_else(|error| {
                            tracing::debug!("what {unit} needs cannot be read: {error}");
                            BTreeSet::new()
                        });
                        Answer::Needs { unit, needs }
                    });
                }
                match unit.state_changed(state, message.recv_position()) {
                    Some(true) => {
                        let (bus, unit) = (self.bus.clone(), path.to_owned());
                        self.tasks.spawn(async move {
                            // An error means that the job is over already.
                            Answer::Job { unit, id, kind: bus.job_kind(job.as_str()).await.ok() }
                        });
                    }
                    Some(false) => (),
                    None => {
                        self.look.insert(name);
                    }
                }
                self.tell(path);
            }
        }
        Ok(())
    }

    /// Reports the unit at `path` under each name it is wanted by, where there is something new.
    fn tell(&mut self, path: &str) {
        let Some(unit) = self.known.units.get(path) else { return };
        let Some(status) = unit.status() else { return };
        let aliases = self.aliases.iter().filter(|(_, target)| *target == unit.name()).map(|(alias, _)| alias.as_str());
        let own = self.wanted.covers(unit.name()).then_some(unit.name());
        for name in own.into_iter().chain(aliases) {
            let mut status = status.clone();
            name.clone_into(&mut status.name);
            if self.known.reported.get(name) != Some(&status) {
                self.known.reported.insert(name.to_owned(), status.clone());
                (self.report)(status);
            }
        }
        if unit.is_forgotten() || (unit.is_removed() && self.known.units.len() > REMEMBERED_MAX) {
            self.known.reported.remove(unit.name());
            self.known.units.remove(path);
        }
    }
}

/// Asks the bus for the signals first, so that nothing that happens after the look is missed.
async fn look_at(
    bus: &Bus,
    add: Vec<String>,
    drop: Vec<String>,
    look: BTreeSet<String>,
    wanted: &Wanted,
) -> zbus::Result<Vec<Look>> {
    bus.subscribe().await?;
    for rule in add {
        bus.matching("AddMatch", &rule).await?;
    }
    for rule in drop {
        bus.matching("RemoveMatch", &rule).await?;
    }
    let (exact, globs): (Vec<_>, Vec<_>) = look.into_iter().partition(|name| name::is_unit(name));
    let mut readings = Vec::new();
    for unit in exact {
        match bus.read(&unit).await {
            Ok(reading) => readings.push((Some(unit), reading)),
            Err(error) if is_answer(&error) => tracing::warn!("{unit} cannot be read: {error}"),
            Err(error) => return Err(error),
        }
    }
    if !globs.is_empty() {
        readings.extend(bus.list(&globs, wanted).await?.into_iter().map(|reading| (None, Some(reading))));
    }
    let mut looks = Vec::new();
    for (asked, reading) in readings {
        let unit = reading.as_ref().filter(|reading| !reading.is_absent()).map(|reading| &reading.unit);
        let needs = match unit {
            None => None,
            Some(unit) => match bus.needs(unit).await {
                Ok(needs) => Some(needs),
                Err(error) if is_answer(&error) => {
                    tracing::debug!("what {unit} needs cannot be read: {error}");
                    None
                }
                Err(error) => return Err(error),
            },
        };
        looks.push(Look { asked, reading, needs });
    }
    Ok(looks)
}
