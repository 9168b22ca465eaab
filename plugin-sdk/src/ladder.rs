use std::cmp::Reverse;
use std::collections::VecDeque;
use std::time::Duration;

use crate::{Action, Incident, Plan, Recovery, Verdict};

/// How long to wait for the verdict on an attempt that has none.
const NOT_JUDGED: Duration = Duration::from_secs(1);

/// Makes something for an incident.
type Maker<'a, T> = Box<dyn Fn(&Incident) -> T + 'a>;

/// What to do about a fault, and what after that: plans from the mildest to the strongest, and at last a person.
///
/// ```
/// # use salve_plugin_sdk::prelude::*;
/// # struct Web { config_is_broken: bool }
/// # impl Web {
/// fn recover(&mut self, incident: &Incident) -> Recovery {
///     let name = &incident.fault.target;
///     Ladder::new()
///         .then_if(!self.config_is_broken, Plan::new([Action::reload_service(name)]))
///         .then(Rung::new(Plan::new([Action::restart_service(name)])).attempts(2))
///         .then(Plan::new([Action::reset_failed_service(name), Action::start_service(name)]))
///         .escalate(|incident| format!("{} attempts did not help", incident.attempts_in_round().len()))
///         .recover(incident)
/// }
/// # }
/// ```
///
/// A ladder keeps nothing: which rung comes next follows from the incident alone, whatever became of the agent or the
/// plugin meanwhile. These are its rules.
///
/// - A rung is climbed when the last attempt was judged and is unhealthy. An attempt that failed for want of a grant or of
///   an actuator that knows its kind counts like any other. While the round's last attempt has no such verdict the
///   answer is to wait.
/// - Each attempt of the incident's present round belongs to one rung: of the rungs from that of the attempt before
///   upwards which have attempts left, the one whose plan has the same actions. If there is none, the one whose actions
///   are of the same kinds and have the most targets and parameters in common (the process has another id by now, the
///   configuration another threshold); if there is none either, the lowest of them. The lowest of several alike, too.
/// - The next plan is that of the lowest rung, from that of the last attempt upwards, which has attempts left and applies
///   now. So nothing is repeated and nothing is left out because a rung applied at one time and did not at another, and
///   there is no way down.
/// - After the last rung, a person. There are never more attempts in a round than the rungs have together.
/// - A new round begins at the bottom.
///
/// A ladder can be made anew for each incident, as above, or once, with rungs that are [made](Rung::made) for an incident.
#[derive(Default)]
pub struct Ladder<'a> {
    rungs: Vec<Rung<'a>>,
    reason: Option<Maker<'a, String>>,
}

/// One rung of a [`Ladder`]: a plan, and how often it is tried.
pub struct Rung<'a> {
    plan: Maker<'a, Plan>,
    attempts: u32,
    applies: bool,
}

impl<'a> Rung<'a> {
    /// A plan that is tried once.
    pub fn new(plan: Plan) -> Self {
        Self::made(move |_| plan.clone())
    }

    /// A plan that is made for an incident, and tried once. One without actions means that the rung does not apply now.
    /// What it makes should depend on the incident and on what the plugin knows of its target, since earlier attempts are
    /// found again by it.
    pub fn made(plan: impl Fn(&Incident) -> Plan + 'a) -> Self {
        Self { plan: Box::new(plan), attempts: 1, applies: true }
    }

    /// Tried so often in one round; 0 is never.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }
}

impl From<Plan> for Rung<'_> {
    fn from(plan: Plan) -> Self {
        Self::new(plan)
    }
}

impl<'a> Ladder<'a> {
    /// No rung yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// With one more rung, above the others: a plan, or a [`Rung`] for more attempts.
    pub fn then(self, rung: impl Into<Rung<'a>>) -> Self {
        self.then_if(true, rung)
    }

    /// With one more rung, which is passed over unless `applies`. It is a rung all the same, so that an attempt it has had
    /// while it applied is known for what it is.
    pub fn then_if(mut self, applies: bool, rung: impl Into<Rung<'a>>) -> Self {
        self.rungs.push(Rung { applies, ..rung.into() });
        self
    }

    /// With the reason to give to the person who is needed after the last rung. Without it: the fault's summary, and how
    /// many attempts there were.
    pub fn escalate(mut self, reason: impl Fn(&Incident) -> String + 'a) -> Self {
        self.reason = Some(Box::new(reason));
        self
    }

    /// What to do about this incident now.
    pub fn recover(&self, incident: &Incident) -> Recovery {
        let attempts = incident.attempts_in_round();
        if attempts.last().is_some_and(|last| !matches!(last.verdict, Some(Verdict::Unhealthy(_)))) {
            return Recovery::wait(NOT_JUDGED);
        }
        let mut above: VecDeque<Step> = self.rungs.iter().filter_map(|rung| Step::of(rung, incident)).collect();
        for attempt in attempts {
            above.drain(..place_of(&attempt.actions, &above));
            if let Some(step) = above.front_mut() {
                step.left -= 1;
                if step.left == 0 {
                    above.pop_front();
                }
            }
        }
        match above.into_iter().find(|step| step.applies) {
            Some(step) => step.plan.into(),
            None => Recovery::escalate(match &self.reason {
                Some(reason) => reason(incident),
                None => in_vain(incident),
            }),
        }
    }
}

/// A rung as it is for one incident, with attempts left.
struct Step {
    plan: Plan,
    left: u32,
    applies: bool,
}

impl Step {
    fn of(rung: &Rung<'_>, incident: &Incident) -> Option<Self> {
        if rung.attempts == 0 {
            return None;
        }
        let plan = (rung.plan)(incident);
        let applies = rung.applies && !plan.actions.is_empty();
        Some(Self { plan, left: rung.attempts, applies })
    }
}

/// How many steps up from the lowest an attempt belongs that was to do these actions.
fn place_of(done: &[Action], steps: &VecDeque<Step>) -> usize {
    let alike = |(place, step): (usize, &Step)| Some((place, likeness(done, &step.plan.actions)?));
    let places = steps.iter().enumerate().filter_map(alike);
    places.min_by_key(|(_, likeness)| Reverse(*likeness)).map_or(0, |(place, _)| place)
}

/// How many targets and parameters two lists of actions of the same kinds have in common: more than anything if they are
/// the same, `None` if the kinds differ.
fn likeness(done: &[Action], planned: &[Action]) -> Option<usize> {
    if done == planned {
        return Some(usize::MAX);
    }
    let of_one = |(done, planned): (&Action, &Action)| {
        let parameters = done.parameters.iter().filter(|parameter| planned.parameters.contains(parameter));
        usize::from(done.target == planned.target) + parameters.count()
    };
    let same_kinds = done.iter().map(|action| &action.kind).eq(planned.iter().map(|action| &action.kind));
    same_kinds.then(|| done.iter().zip(planned).map(of_one).sum())
}

fn in_vain(incident: &Incident) -> String {
    match incident.attempts_in_round().len() {
        0 => format!("{}; there is nothing to try", incident.fault.summary),
        1 => format!("{}; one attempt did not help", incident.fault.summary),
        tried => format!("{}; {tried} attempts did not help", incident.fault.summary),
    }
}

#[cfg(test)]
#[path = "ladder_tests.rs"]
mod tests;
