//! What is known of one unit, folded from systemd's signals. Pure: no bus, no clock.
//!
//! For each change systemd sends the properties of the specific interface (`Service`) first and those of the generic
//! one (`Unit`) second, each complete and as of one moment. So a `Service` signal is kept until its `Unit` signal
//! comes, and nothing needs to be read to say what happened.

use zbus::message::Sequence;

use crate::service::{ActiveState, ManagerKind, ServiceStatus};

/// The part of a status that the `Service` interface tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Main {
    /// `MainPID`; 0 for none.
    pub(super) pid: u32,
    /// `Result`.
    pub(super) result: String,
    /// `NRestarts`.
    pub(super) restarts: u32,
    /// `ExecMainCode`: how the last main process ended, as `si_code` of `waitid(2)`.
    pub(super) code: i32,
    /// `ExecMainStatus`: its exit status or the number of the signal.
    pub(super) status: i32,
}

impl Main {
    /// For units that are no services: only whether they failed is known.
    pub(super) fn none(state: ActiveState) -> Self {
        let result = if state == ActiveState::Failed { "failed" } else { "success" };
        Self { pid: 0, result: result.to_owned(), restarts: 0, code: 0, status: 0 }
    }
}

/// The part of a status that the `Unit` interface tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    /// `ActiveState`.
    pub(super) active: ActiveState,
    /// `SubState`.
    pub(super) sub: String,
    /// Number of the unit's job; 0 for none.
    pub(super) job: u32,
}

/// What a job does to its unit, as far as it matters to whether a stop was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JobKind {
    /// Starts it. A restart job becomes one as soon as the unit is down.
    Start,
    /// Stops it.
    Stop,
    /// Stops it, then starts it.
    Restart,
    /// Leaves it running.
    Other,
}

impl JobKind {
    /// From `JobType`.
    pub(super) fn new(word: &str) -> Self {
        match word {
            "start" => Self::Start,
            "stop" => Self::Stop,
            "restart" | "try-restart" => Self::Restart,
            _ => Self::Other,
        }
    }
}

/// One look at a unit by method calls, for its first sight and after a gap in the signals.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    /// Its own name (an alias leads to a unit of another name).
    pub(super) unit: String,
    /// `LoadState`.
    pub(super) load: String,
    /// From the `Unit` interface.
    pub(super) state: State,
    /// What the job does, if there is one.
    pub(super) job: Option<JobKind>,
    /// From the `Service` interface.
    pub(super) main: Main,
    /// When it was read, in the order of messages on the bus.
    pub(super) at: Sequence,
}

impl Reading {
    /// Whether there is nothing behind the name: no unit file, and nothing that still runs without one.
    pub(super) fn is_absent(&self) -> bool {
        self.load == "not-found" && self.state.active == ActiveState::Inactive
    }

    /// The status as of this reading, by itself.
    pub(super) fn status(&self, stop_requested: Option<bool>) -> ServiceStatus {
        status(&self.unit, &self.state, &self.main, stop_requested)
    }
}

/// What is known of the type of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It has been asked for.
    Asked,
    Known(JobKind),
    /// The job was over before it could be asked.
    Missed,
}

#[derive(Debug, Clone, Copy)]
struct Job {
    id: u32,
    kind: Kind,
    /// Whether the unit was up when the job came. What starts a running unit is the second half of a restart.
    came_up: bool,
    /// Whether the unit has been down during the job: from there on a restart only starts it.
    was_down: bool,
    /// Whether the unit went into stopping, without anything having failed, while the job was there. Then the job is
    /// what stops it, even if its type was none that does: systemd merges a later restart into a job that is there.
    stops_cleanly: bool,
}

impl Job {
    fn new(id: u32, kind: Kind, came_up: bool) -> Self {
        Self { id, kind, came_up, was_down: false, stops_cleanly: false }
    }

    /// Whether it is this job that takes a unit down; `None` while the type is not known.
    fn stops(self) -> Option<bool> {
        let by_its_type = match self.kind {
            Kind::Asked | Kind::Missed => return None,
            Kind::Known(JobKind::Stop) => true,
            Kind::Known(JobKind::Restart) => !self.was_down,
            Kind::Known(JobKind::Start) => self.came_up && !self.was_down,
            Kind::Known(JobKind::Other) => false,
        };
        Some(by_its_type || self.stops_cleanly)
    }
}

/// One watched unit.
#[derive(Debug)]
pub(super) struct Unit {
    name: String,
    /// The latest from the `Service` interface.
    main: Option<Main>,
    /// The latest consistent status, without the answer to whether the stop was asked for.
    seen: Option<(State, Main)>,
    stop_requested: Option<bool>,
    job: Option<Job>,
    /// The job that took the unit down, as long as its type is not known. Reports wait for it.
    undecided: Option<Job>,
    /// The last job that ended, and whether it was done.
    ended: Option<(u32, bool)>,
    /// When the latest consistent status was sent.
    at: Sequence,
    removed: bool,
}

impl Unit {
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            main: None,
            seen: None,
            stop_requested: None,
            job: None,
            undecided: None,
            ended: None,
            at: Sequence::default(),
            removed: false,
        }
    }

    /// Takes in a signal of the `Service` interface; the one of the `Unit` interface follows it.
    pub(super) fn main_changed(&mut self, main: Main) {
        self.main = Some(main);
        self.removed = false;
    }

    /// Takes in a signal of the `Unit` interface. True if the unit's job is new, so its type is to be asked for;
    /// `None` if the `Service` half was missed, so the unit is to be read.
    pub(super) fn state_changed(&mut self, state: State, at: Sequence) -> Option<bool> {
        let main = match &self.main {
            Some(main) => main.clone(),
            None if self.name.ends_with(".service") => return None,
            None => Main::none(state.active),
        };
        (self.at, self.removed) = (at, false);
        let before = self.job;
        let is_new = state.job != 0 && before.is_none_or(|job| job.id != state.job);
        if is_new {
            let came_up = is_up(self.seen.as_ref().map_or(state.active, |(before, _)| before.active));
            self.job = Some(Job::new(state.job, Kind::Asked, came_up));
        } else if state.job == 0 {
            self.job = None;
        }
        let down = is_down(state.active);
        if !is_starting(state.active, &main) {
            // A job that ended between two signals still explains what happened between them.
            self.judge(&state, &main, self.job.or(before));
            self.seen = Some((state, main));
        }
        if let Some(job) = &mut self.job {
            job.was_down |= down;
        }
        Some(is_new)
    }

    /// Whether the unit goes down in this step, and if so, because it was asked to.
    fn judge(&mut self, state: &State, main: &Main, job: Option<Job>) {
        use ActiveState::{Activating, Active, Deactivating, Failed, Inactive, Reloading};
        let Some((before, _)) = &self.seen else { return };
        let falls = match (before.active, state.active) {
            (Active | Reloading | Activating, Deactivating | Inactive | Failed) => true,
            // The moment it was down went by unseen: systemd is already about to restart it.
            (Active | Reloading, Activating) => true,
            // A start that was refused, as by the limit of starts.
            (Inactive, Failed) => true,
            // Somebody stops what was going down by itself.
            (Deactivating, Deactivating | Inactive | Failed) => {
                self.stop_requested != Some(true) && job.is_some_and(|job| job.kind == Kind::Known(JobKind::Stop))
            }
            _ => false,
        };
        if !falls {
            return;
        }
        let stops_cleanly = state.active == Deactivating && state.job != 0 && main.result == "success";
        self.undecided = job.map(|job| Job { stops_cleanly, ..job });
        if job.is_none() {
            self.stop_requested = Some(false);
        }
        self.settle();
    }

    /// Takes in the type of a job; `None` if it was over before it could be read.
    pub(super) fn job_is(&mut self, id: u32, kind: Option<JobKind>) {
        let kind = kind.map_or(Kind::Missed, Kind::Known);
        for job in [&mut self.job, &mut self.undecided].into_iter().flatten().filter(|job| job.id == id) {
            job.kind = kind;
        }
        let stopping = self.seen.as_ref().is_some_and(|(state, _)| state.active == ActiveState::Deactivating);
        if stopping && kind == Kind::Known(JobKind::Stop) && self.job.is_some_and(|job| job.id == id) {
            self.stop_requested = Some(true);
        }
        self.settle();
    }

    /// Takes in the end of a job.
    pub(super) fn job_ended(&mut self, id: u32, done: bool) {
        self.ended = Some((id, done));
        self.settle();
    }

    /// Decides what waits for a job, if it can be told now.
    fn settle(&mut self) {
        let Some(job) = self.undecided else { return };
        let decision = match (job.stops(), job.kind, self.ended) {
            (Some(stops), ..) => stops,
            // Too short-lived to be read: a stop job that is done has stopped the unit; a start job that ends with the
            // unit down has failed.
            (None, Kind::Missed, Some((id, done))) if id == job.id => done,
            _ => return,
        };
        self.stop_requested = Some(decision);
        self.undecided = None;
    }

    /// Takes in a reading, unless a signal has told something newer.
    pub(super) fn read(&mut self, reading: &Reading) {
        let down = is_down(reading.state.active);
        if self.at > reading.at || is_starting(reading.state.active, &reading.main) {
            return;
        }
        let was_up = self.seen.as_ref().is_none_or(|(before, _)| !is_down(before.active));
        let stopping = reading.state.active == ActiveState::Deactivating;
        match reading.job {
            Some(JobKind::Stop | JobKind::Restart) if stopping => self.stop_requested = Some(true),
            _ if stopping && self.seen.is_none() => self.stop_requested = Some(false),
            // It went down and no signal told how.
            _ if down && was_up => self.stop_requested = None,
            _ => (),
        }
        if self.job.is_none_or(|job| job.id != reading.state.job) {
            let id = reading.state.job;
            let came_up = is_up(reading.state.active);
            self.job = reading.job.map(|kind| Job { was_down: down, ..Job::new(id, Kind::Known(kind), came_up) });
        }
        (self.at, self.removed) = (reading.at, false);
        self.main = Some(reading.main.clone());
        self.seen = Some((reading.state.clone(), reading.main.clone()));
    }

    /// Forgets what only holds within one connection to the bus.
    pub(super) fn disconnected(&mut self) {
        self.at = Sequence::default();
        (self.main, self.job, self.undecided, self.ended) = (None, None, None, None);
    }

    /// Takes in that systemd has forgotten the unit. That somebody wanted it down is not forgotten.
    pub(super) fn removed(&mut self) {
        self.removed = true;
    }

    /// Whether systemd has forgotten the unit, and not thought of it again since.
    pub(super) fn is_removed(&self) -> bool {
        self.removed
    }

    /// Whether systemd has forgotten the unit and nothing about it is worth remembering.
    pub(super) fn is_forgotten(&self) -> bool {
        self.removed && self.stop_requested != Some(true)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The latest status, unless it is not complete yet.
    pub(super) fn status(&self) -> Option<ServiceStatus> {
        let (state, main) = self.seen.as_ref().filter(|_| self.undecided.is_none())?;
        Some(status(&self.name, state, main, self.stop_requested))
    }
}

fn is_down(state: ActiveState) -> bool {
    matches!(state, ActiveState::Inactive | ActiveState::Failed)
}

/// Whether systemd has just begun to start the unit: it is said to be down, but has a process, or has failed, but for
/// no reason any more. The real state follows at once.
fn is_starting(state: ActiveState, main: &Main) -> bool {
    is_down(state) && (main.pid != 0 || (state == ActiveState::Failed && main.result == "success"))
}

fn is_up(state: ActiveState) -> bool {
    matches!(state, ActiveState::Active | ActiveState::Reloading)
}

fn status(name: &str, state: &State, main: &Main, stop_requested: Option<bool>) -> ServiceStatus {
    // `si_code`: 1 is CLD_EXITED, 2 CLD_KILLED, 3 CLD_DUMPED; 0 while it runs or before it ever did.
    let ended_by = |codes: &[i32]| codes.contains(&main.code).then_some(main.status);
    ServiceStatus {
        name: name.to_owned(),
        manager: ManagerKind::Systemd,
        active_state: state.active,
        sub_state: state.sub.clone(),
        result: main.result.clone(),
        main_pid: (main.pid != 0).then_some(main.pid),
        exit_code: ended_by(&[1]),
        exit_signal: ended_by(&[2, 3]),
        restarts: main.restarts,
        stop_requested,
    }
}

#[cfg(test)]
mod tests;
