use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc as std_mpsc;
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

/// How long one file system may take to answer.
const PATIENCE: Duration = Duration::from_millis(250);
/// How long all of them together may take; those that were not asked by then are silent this time.
const PATIENCE_FOR_ALL: Duration = Duration::from_secs(1);
/// After a silent one has answered at last, it is not asked again for so long.
const REST: Duration = Duration::from_secs(30);
/// Most threads that wait for an answer which does not come. Once it is reached nothing is asked until one comes back.
const MAX_LOST: usize = 64;
/// A thread's stack: it does nothing but one system call.
const STACK: usize = 64 << 10;

/// The room of a file system: bytes and inodes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Space {
    /// All bytes.
    pub(super) total: f64,
    /// Bytes that root can still use.
    pub(super) free: f64,
    /// Bytes that everybody can still use.
    pub(super) available: f64,
    /// All inodes; 0 where they are made as needed.
    pub(super) inodes: f64,
    /// Inodes that are not used.
    pub(super) inodes_free: f64,
}

/// Asks one file system; blocks for as long as that takes.
type Ask = Arc<dyn Fn(&Path) -> io::Result<Space> + Send + Sync>;

/// Asks file systems for their room, by a thread aside. One that does not answer costs its thread, which ends when the
/// answer comes; another thread goes on with the others.
pub(super) struct Survey {
    ask: Ask,
    patience: Duration,
    thread: Option<Thread>,
    /// The silent ones.
    lost: BTreeMap<PathBuf, Lost>,
}

enum Lost {
    /// A thread waits for it.
    Waiting(Answers),
    /// It has answered; from this moment on it may be asked again.
    Back(Instant),
}

impl Survey {
    /// By statvfs(3).
    pub(super) fn new() -> Self {
        Self::with(Arc::new(statvfs), PATIENCE)
    }

    /// By other means, with other patience.
    pub(super) fn with(ask: Ask, patience: Duration) -> Self {
        Self { ask, patience, thread: None, lost: BTreeMap::new() }
    }

    /// Asks these, in this order. Those that do not answer are not in the result.
    pub(super) async fn ask(&mut self, paths: Vec<PathBuf>) -> BTreeMap<PathBuf, io::Result<Space>> {
        self.look_after_lost(&paths);
        let deadline = Instant::now() + PATIENCE_FOR_ALL;
        let mut answers = BTreeMap::new();
        let mut left: VecDeque<PathBuf> = paths.into_iter().filter(|path| !self.lost.contains_key(path)).collect();
        while !left.is_empty() && self.lost.len() < MAX_LOST && Instant::now() < deadline {
            // A host that gives no thread has other troubles; it is tried again at the next reading.
            let thread = self.thread.take().map_or_else(|| Thread::start(self.ask.clone()), Ok);
            let Ok(mut thread) = thread else { break };
            thread.begin(&left);
            let patience = |now: Instant| self.patience.min(deadline.saturating_duration_since(now));
            while let (Some(path), Ok(Some(answer))) =
                (left.front(), timeout(patience(Instant::now()), thread.answers.recv()).await)
            {
                answers.insert(path.clone(), answer);
                left.pop_front();
                if left.is_empty() {
                    break;
                }
            }
            match left.pop_front() {
                Some(silent) => drop(self.lost.insert(silent, Lost::Waiting(thread.abandon()))),
                None => self.thread = Some(thread),
            }
        }
        answers
    }

    /// Those that have answered at last rest for a while, and then are like the others.
    fn look_after_lost(&mut self, mounted: &[PathBuf]) {
        let now = Instant::now();
        self.lost.retain(|path, lost| {
            if let Lost::Waiting(answers) = lost
                && !matches!(answers.try_recv(), Err(mpsc::error::TryRecvError::Empty))
            {
                *lost = Lost::Back(now + REST);
            }
            match lost {
                Lost::Waiting(_) => true,
                Lost::Back(at) => now < *at && mounted.contains(path),
            }
        });
    }
}

type Answers = mpsc::UnboundedReceiver<io::Result<Space>>;

/// A thread that asks, and ends when this is dropped. It is none of the runtime's: that would wait for it at its end.
struct Thread {
    jobs: std_mpsc::Sender<Vec<PathBuf>>,
    /// One for each path, in order.
    answers: Answers,
    abandoned: Arc<AtomicBool>,
}

impl Thread {
    fn start(ask: Ask) -> io::Result<Self> {
        let (jobs, inbox) = std_mpsc::channel::<Vec<PathBuf>>();
        let (outbox, answers) = mpsc::unbounded_channel();
        let abandoned = Arc::new(AtomicBool::new(false));
        let is_abandoned = abandoned.clone();
        let work = move || {
            for path in inbox.into_iter().flatten() {
                // Whoever asked for the rest asks another by now.
                if is_abandoned.load(Ordering::Relaxed) || outbox.send(ask(&path)).is_err() {
                    return;
                }
            }
        };
        thread::Builder::new().name("statvfs".into()).stack_size(STACK).spawn(work)?;
        Ok(Self { jobs, answers, abandoned })
    }

    fn begin(&self, paths: &VecDeque<PathBuf>) {
        // A thread that is gone gives no answer, which is looked after.
        drop(self.jobs.send(paths.iter().cloned().collect()));
    }

    /// Lets it go: it ends with the call it is in, and its answer comes here.
    fn abandon(self) -> Answers {
        self.abandoned.store(true, Ordering::Relaxed);
        self.answers
    }
}

fn statvfs(path: &Path) -> io::Result<Space> {
    let stat = rustix::fs::statvfs(path)?;
    let bytes = |blocks: u64| blocks as f64 * stat.f_frsize as f64;
    Ok(Space {
        total: bytes(stat.f_blocks),
        free: bytes(stat.f_bfree),
        available: bytes(stat.f_bavail.min(stat.f_bfree)),
        inodes: stat.f_files as f64,
        inodes_free: stat.f_ffree.min(stat.f_files) as f64,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    const ROOM: Space = Space { total: 4.0, free: 3.0, available: 2.0, inodes: 1.0, inodes_free: 0.0 };

    /// File systems of which those called `hung` answer only when the sender is dropped.
    fn survey() -> (Survey, std_mpsc::Sender<()>) {
        let (release, gate) = std_mpsc::channel::<()>();
        let gate = Mutex::new(gate);
        let ask = move |path: &Path| {
            if path.starts_with("/hung") {
                assert!(gate.lock().unwrap().recv().is_err());
            }
            if path.starts_with("/bad") { Err(io::ErrorKind::PermissionDenied.into()) } else { Ok(ROOM) }
        };
        (Survey::with(Arc::new(ask), Duration::from_millis(30)), release)
    }

    fn paths(paths: &[&str]) -> Vec<PathBuf> {
        paths.iter().map(PathBuf::from).collect()
    }

    #[tokio::test]
    async fn one_that_hangs_keeps_no_other_from_being_asked() {
        let (mut survey, release) = survey();
        let all = paths(&["/a", "/hung/1", "/bad", "/z"]);
        for _ in 0..3 {
            let answers = survey.ask(all.clone()).await;
            assert_eq!(answers.keys().cloned().collect::<Vec<_>>(), paths(&["/a", "/bad", "/z"]));
            assert!(answers[Path::new("/bad")].is_err());
        }
        assert_eq!(survey.lost.len(), 1, "asked once, and then left alone");
        drop(release);
        let deadline = Instant::now() + Duration::from_secs(10);
        while !matches!(survey.lost.get(Path::new("/hung/1")), Some(Lost::Back(_))) {
            assert!(Instant::now() < deadline, "it has never come back");
            assert!(!survey.ask(all.clone()).await.contains_key(Path::new("/hung/1")), "it rests first");
            tokio::task::yield_now().await;
        }
        survey.lost.insert("/hung/1".into(), Lost::Back(Instant::now()));
        assert_eq!(survey.ask(all).await.len(), 4, "and is asked again");
    }

    #[tokio::test]
    async fn however_many_hang_threads_are_bounded() {
        let (mut survey, _release) = survey();
        survey.patience = Duration::from_millis(1);
        let all: Vec<PathBuf> = (0..200).map(|number| format!("/hung/{number}").into()).collect();
        for _ in 0..5 {
            assert!(survey.ask(all.clone()).await.is_empty());
        }
        assert!(survey.lost.len() <= MAX_LOST, "{}", survey.lost.len());
    }

    #[tokio::test]
    async fn one_that_is_mounted_no_more_is_forgotten() {
        let (mut survey, _release) = survey();
        survey.lost.insert("/gone".into(), Lost::Back(Instant::now() + REST));
        survey.ask(paths(&["/a"])).await;
        assert!(survey.lost.is_empty());
    }

    #[test]
    fn the_root_has_room_that_makes_sense() {
        let space = statvfs(Path::new("/")).unwrap();
        assert!(space.total >= space.free && space.free >= space.available && space.available >= 0.0, "{space:?}");
        assert_eq!(statvfs(Path::new("/no/such/place")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
