//! What the kernel says about files and directories: one inotify instance for all logs.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;

/// The least time between two looks at what the kernel says. The first line after a quiet time is seen at once; under a
/// flood, what comes in this time is read together.
const PACE: Duration = Duration::from_millis(3);
/// The most events that are taken at once.
const AT_ONCE: usize = 4096;

/// What has changed since one last asked.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Files came, went or were renamed.
    pub(super) look: bool,
    /// These have been written to, by the numbers of their watches.
    pub(super) written: BTreeSet<i32>,
}

/// Rings for one log.
#[derive(Debug, Default)]
pub(super) struct Bell {
    changes: Mutex<Changes>,
    notify: Notify,
}

impl Bell {
    /// Resolves once there are changes.
    pub(super) async fn rung(&self) {
        self.notify.notified().await;
    }

    /// Takes them.
    pub(super) fn take(&self) -> Changes {
        std::mem::take(&mut *self.changes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn ring(&self, change: impl FnOnce(&mut Changes)) {
        change(&mut self.changes.lock().unwrap_or_else(PoisonError::into_inner));
        self.notify.notify_one();
    }
}

/// Everything that is watched, and for whom.
#[derive(Debug)]
pub(super) struct Watches {
    inotify: OwnedFd,
    users: Mutex<HashMap<i32, Vec<Arc<Bell>>>>,
}

impl Watches {
    /// A new inotify instance, of which a user may have 128.
    pub(super) fn new() -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        Ok(Self { inotify, users: Mutex::default() })
    }

    /// Rings when names in the directory come, go or change.
    pub(super) fn directory(self: &Arc<Self>, path: &Path, bell: &Arc<Bell>) -> io::Result<Watch> {
        let changes = WatchFlags::CREATE | WatchFlags::DELETE | WatchFlags::MOVE | WatchFlags::ATTRIB;
        let itself = WatchFlags::DELETE_SELF | WatchFlags::MOVE_SELF | WatchFlags::ONLYDIR;
        self.watch(path, changes | itself, bell)
    }

    /// Rings when the file is written to, under whatever name.
    pub(super) fn file(self: &Arc<Self>, file: &File, bell: &Arc<Bell>) -> io::Result<Watch> {
        // By its descriptor: the name may be another file's by now.
        let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        let flags = WatchFlags::MODIFY | WatchFlags::ATTRIB | WatchFlags::MOVE_SELF | WatchFlags::DELETE_SELF;
        self.watch(&path, flags, bell)
    }

    fn watch(self: &Arc<Self>, path: &Path, flags: WatchFlags, bell: &Arc<Bell>) -> io::Result<Watch> {
        // Held meanwhile, so that nobody ends the watch that the kernel says is there already.
        let mut users = self.users();
        let number = inotify::add_watch(&self.inotify, path, flags)?;
        users.entry(number).or_default().push(bell.clone());
        Ok(Watch { watches: self.clone(), number, bell: bell.clone() })
    }

    /// Rings the bells; ends with the task, or when the kernel refuses to say more.
    pub(super) async fn run(self: Arc<Self>) -> io::Result<()> {
        #[expect(
            deprecated,
            reason = "its replacement is unsafe; an owned descriptor stays open as long as it is registered"
        )]
        let inotify = AsyncFd::new(self.inotify.try_clone()?)?;
        loop {
            let mut ready = inotify.readable().await?;
            if self.take()? {
                ready.clear_ready();
            }
            tokio::time::sleep(PACE).await;
        }
    }

    /// Takes what the kernel has to say; true if that was all.
    fn take(&self) -> io::Result<bool> {
        let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
        let mut reader = inotify::Reader::new(&self.inotify, &mut buffer);
        for _ in 0..AT_ONCE {
            match reader.next() {
                Ok(event) => self.tell(event.wd(), event.events()),
                Err(rustix::io::Errno::AGAIN) => return Ok(true),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(false)
    }

    fn tell(&self, number: i32, events: ReadFlags) {
        let users = self.users();
        if events.contains(ReadFlags::QUEUE_OVERFLOW) {
            let all = users.iter().flat_map(|(number, bells)| bells.iter().map(move |bell| (*number, bell)));
            for (number, bell) in all {
                bell.ring(|changes| {
                    changes.look = true;
                    changes.written.insert(number);
                });
            }
        }
        for bell in users.get(&number).into_iter().flatten() {
            bell.ring(|changes| {
                if events.contains(ReadFlags::MODIFY) {
                    changes.written.insert(number);
                } else {
                    changes.look = true;
                }
            });
        }
    }

    fn users(&self) -> MutexGuard<'_, HashMap<i32, Vec<Arc<Bell>>>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file or directory that is watched until this is dropped.
#[derive(Debug)]
pub(super) struct Watch {
    watches: Arc<Watches>,
    number: i32,
    bell: Arc<Bell>,
}

impl Watch {
    /// How [`Changes::written`] names it.
    pub(super) fn number(&self) -> i32 {
        self.number
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut users = self.watches.users();
        let Some(bells) = users.get_mut(&self.number) else { return };
        if let Some(own) = bells.iter().position(|bell| Arc::ptr_eq(bell, &self.bell)) {
            bells.swap_remove(own);
        }
        if bells.is_empty() {
            users.remove(&self.number);
            // The kernel has ended it already if the file is gone.
            let _ = inotify::remove_watch(&self.watches.inotify, self.number);
        }
    }
}
