use std::time::Duration;

use salve_plugin_sdk::prelude::*;

use crate::process::Identity;

/// A process in a state that it should soon leave.
pub struct Spell {
    /// Who it is.
    pub identity: Identity,
    /// The number of its parent.
    pub parent: Option<u32>,
    /// Since when.
    pub since: Duration,
    /// Which state.
    pub state: State,
}

/// Such a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It has ended and its parent does not ask how.
    Zombie,
    /// It waits in the kernel and hears no signal.
    DiskSleep,
}

impl Spell {
    /// What a `process.state` event tells; `None` if the process is in no such state, or no longer.
    pub fn from_event(event: &Event) -> Option<Self> {
        let state = match event.text("process.state")? {
            "zombie" => State::Zombie,
            "disk-sleep" => State::DiskSleep,
            _ => return None,
        };
        let lasted = event.number("process.state.duration").and_then(|lasted| Duration::try_from_secs_f64(lasted).ok());
        let parent = event.integer("process.parent_pid").and_then(|pid| u32::try_from(pid).ok());
        let since = event.at().saturating_sub(lasted.unwrap_or_default());
        Some(Self { identity: Identity::of(event)?, parent, since, state })
    }
}
