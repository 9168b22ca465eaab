//! Reaping the orphans of supervisors under test.
//!
//! When a supervisor ends, or daemonises what it starts, orphans go to PID 1. Some PID 1s, those of containers above
//! all, take seconds to reap them, and until then a dead process still looks present to whoever asks by its number.
//! Inside a host of the [lab](crate::lab) systemd reaps at once; on the bare machine a [`Reaper`] does.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::{self, Pid, Signal, WaitOptions};

use crate::wait;

/// The children of this process that a [`Process`](crate::process::Process) will wait for itself.
static EXPECTED: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());
/// Orphans go to the whole process, so there is one thread that reaps them, for all tests that want it.
static SHARED: Mutex<Option<Shared>> = Mutex::new(None);

/// While one lives, orphans below this process become its children and are reaped within milliseconds. Those that are
/// still alive when the last one is dropped are killed.
///
/// What is an orphan? A child in another process group than ours, which no `Process` holds. So start supervisors with
/// [`Process::spawn`](crate::process::Process::spawn), which gives them a group of their own; a plain
/// `Command::output()` stays in our group and is left alone.
#[derive(Debug)]
pub struct Reaper(());

#[derive(Debug)]
struct Shared {
    users: usize,
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Reaper {
    /// Makes this process the sub-reaper of everything below it.
    pub fn start() -> io::Result<Reaper> {
        let mut shared = lock(&SHARED);
        if let Some(shared) = &mut *shared {
            shared.users += 1;
            return Ok(Reaper(()));
        }
        process::set_child_subreaper(Some(process::getpid()))?;
        let (stop, stopped) = mpsc::channel();
        let thread = thread::Builder::new().name("reaper".to_owned()).spawn(move || {
            while stopped.recv_timeout(Duration::from_millis(2)) == Err(RecvTimeoutError::Timeout) {
                alive(&orphans());
            }
        })?;
        *shared = Some(Shared { users: 1, stop, thread });
        Ok(Reaper(()))
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        let mut shared = lock(&SHARED);
        let Some(Shared { stop, thread, .. }) = shared.take_if(|shared| {
            shared.users -= 1;
            shared.users == 0
        }) else {
            return;
        };
        drop(stop);
        let _ = thread.join();
        // A killed orphan can leave us orphans of its own: again until there are none.
        wait::attempt(Duration::from_secs(5), || {
            let orphans = orphans();
            for orphan in alive(&orphans) {
                let _ = process::kill_process(orphan, Signal::KILL); // Only we reap it: the number is still its own.
            }
            orphans.is_empty().then_some(())
        });
        let _ = process::set_child_subreaper(None);
    }
}

/// Starts `command` in a process group of its own, as a child that no [`Reaper`] touches until it is [forgotten](forget).
pub(crate) fn spawn(command: &mut Command) -> io::Result<Child> {
    let mut expected = lock(&EXPECTED); // Held, so that no reaper sees the child before it is entered.
    let child = command.process_group(0).spawn()?;
    expected.insert(child.id());
    Ok(child)
}

/// Says that `child` has been waited for.
pub(crate) fn forget(child: &Child) {
    lock(&EXPECTED).remove(&child.id());
}

/// The orphans among our children, dead or alive.
fn orphans() -> Vec<Pid> {
    let expected = lock(&EXPECTED);
    let mut orphans = children();
    orphans.retain(|child| !expected.contains(&child.as_raw_pid().unsigned_abs()));
    orphans.retain(|child| process::getpgid(Some(*child)).is_ok_and(|group| group != process::getpgrp()));
    orphans
}

/// Reaps those that are dead and returns the others. A number is its orphan's own until then: nobody else reaps them.
fn alive(orphans: &[Pid]) -> Vec<Pid> {
    let waits = |orphan: &Pid| matches!(process::waitpid(Some(*orphan), WaitOptions::NOHANG), Ok(None));
    orphans.iter().copied().filter(waits).collect()
}

/// The children of this process, zombies included, whichever of its threads they belong to.
fn children() -> Vec<Pid> {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let numbers = |list: String| list.split_whitespace().filter_map(|number| number.parse().ok()).collect::<Vec<_>>();
    lists.flat_map(numbers).filter_map(Pid::from_raw).collect()
}

/// A test that panicked leaves nothing half-done behind these locks.
fn lock<T>(mutex: &'static Mutex<T>) -> MutexGuard<'static, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
