//! Processes that just began to execute a program: whoever hears of them tells the collector of processes, so that it need
//! not search for them.

use std::sync::{Mutex, PoisonError};

/// Most that wait; beyond that a search is cheaper.
const MAX_WAITING: usize = 1024;

/// Where numbers of new processes wait for the next reading.
#[derive(Debug, Default)]
pub struct Births {
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    pids: Vec<u32>,
    overflow: bool,
}

impl Births {
    /// There is a new process.
    pub(in crate::signal::collector) fn tell(&self, pid: u32) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.pids.len() < MAX_WAITING {
            waiting.pids.push(pid);
        } else {
            waiting.overflow = true;
        }
    }

    /// There may be others that nobody heard of.
    pub(in crate::signal::collector) fn missed(&self) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).overflow = true;
    }

    /// Those that were told since the last time; none if there may be others too.
    pub(in crate::signal::collector) fn take(&self) -> Option<Vec<u32>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let Waiting { pids, overflow } = std::mem::take(&mut *waiting);
        (!overflow).then_some(pids)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_are_searched_for() {
        let births = Births::default();
        births.tell(7);
        assert_eq!(births.take(), Some(vec![7]));
        (0..2000).for_each(|pid| births.tell(pid));
        assert_eq!(births.take(), None);
        assert_eq!(births.take(), Some(vec![]));
    }
}
