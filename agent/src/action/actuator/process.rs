//! `process.*`: one process, told apart from later ones of the same number by when it started.

use std::fmt;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{self, Pid, PidfdFlags, Signal};
use tokio::io::unix::AsyncFd;
use tokio::time::timeout;

use super::parameters::Parameters;
use crate::action::Action;
use crate::signal::Value;

/// How long a process may take to be gone after SIGKILL. Only one stuck in the kernel takes longer.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest grace, in milliseconds: a plan stands still meanwhile.
const MAX_GRACE: u64 = 600_000;

/// The signals that can be asked for, by name.
const SIGNALS: [(&str, Signal); 12] = [
    ("TERM", Signal::TERM),
    ("KILL", Signal::KILL),
    ("HUP", Signal::HUP),
    ("INT", Signal::INT),
    ("QUIT", Signal::QUIT),
    ("ABRT", Signal::ABORT),
    ("USR1", Signal::USR1),
    ("USR2", Signal::USR2),
    ("CONT", Signal::CONT),
    ("STOP", Signal::STOP),
    ("WINCH", Signal::WINCH),
    ("ALRM", Signal::ALARM),
];

/// The signal of this name, with or without `SIG`.
fn named(name: &str) -> Option<(&'static str, Signal)> {
    let name = name.strip_prefix("SIG").unwrap_or(name);
    SIGNALS.into_iter().find(|(known, _)| *known == name)
}

/// A signal's name without `SIG`, if it is one that can be asked for.
pub(super) fn signal_name(name: &str) -> Option<&'static str> {
    named(name).map(|(name, _)| name)
}

/// The names of all signals that can be asked for.
pub(super) fn signal_names() -> String {
    SIGNALS.map(|(name, _)| name).join(", ")
}

/// Whether this names SIGKILL.
pub(in crate::action) fn is_kill(name: &str) -> bool {
    named(name).is_some_and(|(_, signal)| signal == Signal::KILL)
}

/// Sends a signal; with `grace_ms` waits so long for the process to end, and then kills it.
pub(super) async fn signal(proc: &Path, action: &Action) -> Result<String, String> {
    let parameters = Parameters::of(action, &["process.start_time", "signal", "grace_ms"])?;
    let name = parameters.text("signal")?.unwrap_or("TERM");
    let Some((name, signal)) = named(name) else {
        return Err(parameters.wrong("signal", &name.into(), &format!("one of {}", signal_names())));
    };
    let grace = parameters.count("grace_ms")?;
    if let Some(grace) = grace.filter(|grace| *grace > MAX_GRACE) {
        let value = Value::Integer(grace.try_into().unwrap_or(i64::MAX));
        return Err(parameters.wrong("grace_ms", &value, &format!("at most {MAX_GRACE}")));
    }
    let process = Process::find(proc, action, &parameters)?;
    process.send(signal)?;
    let Some(grace) = grace else {
        return Ok(format!("sent SIG{name} to {process}"));
    };
    if process.ends_within(Duration::from_millis(grace)).await? {
        return Ok(format!("{process} ended on SIG{name}"));
    }
    process.send(Signal::KILL)?;
    if process.ends_within(KILL_TIMEOUT).await? {
        return Ok(format!("{process} did not end within {grace} ms of SIG{name} and was killed"));
    }
    Err(format!("{process} does not even end on SIGKILL: it waits in the kernel, or for a device"))
}

/// Gives a process, with all its threads, another nice value.
pub(super) fn renice(proc: &Path, action: &Action) -> Result<String, String> {
    let parameters = Parameters::of(action, &["process.start_time", "nice"])?;
    let given = parameters.required("nice", parameters.integer("nice")?)?;
    let nice = i32::try_from(given)
        .ok()
        .filter(|nice| (-20..=19).contains(nice))
        .ok_or_else(|| parameters.wrong("nice", &Value::Integer(given), "between -20 and 19"))?;
    let process = Process::find(proc, action, &parameters)?;
    let failed = |error: rustix::io::Errno| format!("cannot renice {process}: {error}");
    let before = process::getpriority_process(Some(process.pid)).map_err(failed)?;
    // On Linux a nice value is a thread's.
    let threads = process.threads();
    for thread in &threads {
        match process::setpriority_process(Some(*thread), nice) {
            // Threads come and go.
            Err(rustix::io::Errno::SRCH) if *thread != process.pid => {}
            done => done.map_err(failed)?,
        }
    }
    if !process.is_same() {
        return Err(format!("{process} ended meanwhile"));
    }
    let after = process::getpriority_process(Some(process.pid)).map_err(failed)?;
    Ok(format!("nice {before} -> {after} of {process} ({} threads)", threads.len()))
}

/// One process, held by a handle that no later process of the same number can get behind.
struct Process {
    directory: PathBuf,
    pid: Pid,
    pidfd: OwnedFd,
    started: u64,
    name: String,
}

impl Process {
    /// The live process that an action names by target and start time.
    fn find(proc: &Path, action: &Action, parameters: &Parameters<'_>) -> Result<Self, String> {
        let started = parameters.required("process.start_time", parameters.count("process.start_time")?)?;
        let target = action.target.as_str();
        // Only digits: `+7` would be another target to the guards.
        let pid = target.parse::<i32>().ok().filter(|pid| *pid >= 0 && pid.to_string() == target);
        let pid = pid.ok_or_else(|| format!("`{target}` is not the number of a process"))?;
        let Some(pid) = Pid::from_raw(pid).filter(|pid| !pid.is_init()) else {
            return Err(format!("process {pid} is the kernel's or init and is left alone"));
        };
        if pid == process::getpid() {
            return Err("the agent does not act on itself".to_owned());
        }
        // First the handle, then the look: what is seen then is what the handle holds, or it has ended.
        let pidfd = process::pidfd_open(pid, PidfdFlags::NONBLOCK).map_err(|error| match error {
            rustix::io::Errno::SRCH | rustix::io::Errno::NOENT => format!("there is no process {target}"),
            error => format!("process {target} cannot be held: {error}"),
        })?;
        let directory = proc.join(target);
        let stat = Stat::read(&directory).ok_or_else(|| format!("there is no process {target}"))?;
        if stat.started != started {
            return Err(format!(
                "process {target} is another one by now: it started at {} ticks after boot, not at {started}",
                stat.started
            ));
        }
        if stat.has_ended() {
            return Err(format!("process {target} has ended and waits for its parent"));
        }
        Ok(Self { directory, pid, pidfd, started, name: stat.name })
    }

    fn send(&self, signal: Signal) -> Result<(), String> {
        match process::pidfd_send_signal(&self.pidfd, signal) {
            Ok(()) => Ok(()),
            Err(rustix::io::Errno::SRCH) => Err(format!("{self} has ended")),
            Err(error) => Err(format!("cannot signal {self}: {error}")),
        }
    }

    async fn ends_within(&self, limit: Duration) -> Result<bool, String> {
        let unwatched = |error| format!("cannot watch {self}: {error}");
        let pidfd = self.pidfd.try_clone().map_err(unwatched)?;
        // Its replacement `register` is unsafe to call, for types whose descriptor may change under it. An `OwnedFd`
        // is not one of these.
        #[expect(deprecated)]
        let watched = AsyncFd::new(pidfd).map_err(unwatched)?;
        match timeout(limit, watched.readable()).await {
            Ok(ready) => ready.map(|_| true).map_err(unwatched),
            Err(_) => Ok(false),
        }
    }

    fn is_same(&self) -> bool {
        Stat::read(&self.directory).is_some_and(|stat| stat.started == self.started)
    }

    /// Its threads; the process itself, if they cannot be listed.
    fn threads(&self) -> Vec<Pid> {
        let entries = fs::read_dir(self.directory.join("task")).into_iter().flatten().flatten();
        let number = |entry: fs::DirEntry| entry.file_name().to_str()?.parse().ok().and_then(Pid::from_raw);
        let threads: Vec<Pid> = entries.filter_map(number).collect();
        if threads.is_empty() { vec![self.pid] } else { threads }
    }
}

impl fmt::Display for Process {
    /// `process 4711 (nginx)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} ({})", self.pid.as_raw_nonzero(), self.name)
    }
}

/// What `/proc/PID/stat` says, in part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stat {
    /// The command's name, at most 15 bytes of it.
    pub(super) name: String,
    /// `R`, `S`, `D`, `Z`, …
    pub(super) state: char,
    /// The parent's number.
    pub(super) parent: u32,
    /// Threads.
    pub(super) threads: u32,
    /// When it started, in clock ticks since boot.
    pub(super) started: u64,
    /// Virtual memory in bytes.
    pub(super) virtual_bytes: u64,
}

impl Stat {
    /// That of the process whose directory in procfs this is; none if there is none.
    pub(super) fn read(directory: &Path) -> Option<Self> {
        Self::parse(&fs::read_to_string(directory.join("stat")).ok()?)
    }

    /// Fields 2, 3, 4, 20, 22 and 23 (proc_pid_stat(5)). The second is the command's name in parentheses, which may itself
    /// hold spaces and parentheses.
    fn parse(text: &str) -> Option<Self> {
        let (before, rest) = text.rsplit_once(')')?;
        let (_, name) = before.split_once('(')?;
        let mut fields = rest.split_whitespace();
        let state = fields.next()?.chars().next()?;
        let parent = fields.next()?.parse().ok()?;
        let threads = fields.nth(15)?.parse().ok()?;
        let started = fields.nth(1)?.parse().ok()?;
        let virtual_bytes = fields.next()?.parse().ok()?;
        Some(Self { name: name.to_owned(), state, parent, threads, started, virtual_bytes })
    }

    /// Whether only its parent still knows of it.
    fn has_ended(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;
    use crate::action::actuator::testing::action;

    fn proc() -> &'static Path {
        Path::new("/proc")
    }

    /// A process to act on, killed with the test.
    struct Victim(Child);

    impl Victim {
        /// Runs a script until it says that it is ready.
        fn run(script: &str) -> Self {
            use std::io::Read;
            let mut command = Command::new("/bin/sh");
            let mut child = command.args(["-c", script]).stdout(std::process::Stdio::piped()).spawn().unwrap();
            child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
            Self(child)
        }

        fn started(&self) -> i64 {
            Stat::read(&proc().join(self.0.id().to_string())).map_or(0, |stat| stat.started.cast_signed())
        }

        fn action(&self, kind: &str, parameters: &[(&str, Value)]) -> Action {
            let mut all = vec![("process.start_time", Value::Integer(self.started()))];
            all.extend(parameters.iter().cloned());
            action(kind, self.0.id(), &all)
        }
    }

    impl Drop for Victim {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn names_with_parentheses_do_not_shift_the_fields() {
        let text = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 3 0 4711 8192 6";
        let stat = Stat::parse(text).unwrap();
        assert_eq!((stat.name.as_str(), stat.state, stat.parent), ("a) b (c", 'S', 1));
        assert_eq!((stat.threads, stat.started, stat.virtual_bytes), (3, 4711, 8192));
        assert_eq!(Stat::parse("7 (a"), None);
    }

    #[tokio::test]
    async fn a_process_ends_on_its_signal_or_is_killed_after_the_grace() {
        let polite = Victim::run("echo; exec sleep 1000");
        let detail =
            signal(proc(), &polite.action("process.signal", &[("grace_ms", Value::Integer(60_000))])).await.unwrap();
        assert!(detail.contains("ended on SIGTERM"), "{detail}");
        let gone = signal(proc(), &polite.action("process.signal", &[])).await.unwrap_err();
        assert!(gone.contains("has ended and waits for its parent"), "{gone}");

        let stubborn = Victim::run("trap '' TERM; echo; while :; do sleep 1000 >/dev/null 2>&1; done");
        let detail =
            signal(proc(), &stubborn.action("process.signal", &[("grace_ms", Value::Integer(50))])).await.unwrap();
        assert!(detail.contains("did not end within 50 ms of SIGTERM and was killed"), "{detail}");

        let mut asked = Victim::run("trap 'exit 7' USR1; echo; while :; do :; done");
        let detail = signal(proc(), &asked.action("process.signal", &[("signal", "SIGUSR1".into())])).await.unwrap();
        assert!(detail.contains("sent SIGUSR1 to process"), "{detail}");
        assert_eq!(asked.0.wait().unwrap().code(), Some(7));
    }

    #[tokio::test]
    async fn a_later_process_of_the_same_number_is_left_alone() {
        let mut other = Victim::run("echo; exec sleep 1000");
        let pid = other.0.id();
        let stale = action(
            "process.signal",
            pid,
            &[("process.start_time", Value::Integer(other.started() - 1)), ("signal", "KILL".into())],
        );
        let error = signal(proc(), &stale).await.unwrap_err();
        assert!(error.contains("is another one by now"), "{error}");
        // The same, as a procfs that tells of a process which took the number just now.
        let fake = tempfile::tempdir().unwrap();
        fs::create_dir(fake.path().join(pid.to_string())).unwrap();
        let stat = format!("{pid} (x) S 1 7 7 0 -1 0 1 2 3 4 5 6 7 8 20 0 1 0 99999999 1 1");
        fs::write(fake.path().join(pid.to_string()).join("stat"), stat).unwrap();
        let kill = other.action("process.signal", &[("signal", "KILL".into())]);
        assert!(signal(fake.path(), &kill).await.unwrap_err().contains("started at 99999999"));
        let nice = other.action("process.renice", &[("nice", Value::Integer(5))]);
        assert!(renice(fake.path(), &nice).unwrap_err().contains("is another one by now"));
        assert_eq!(other.0.try_wait().unwrap(), None);
    }

    #[tokio::test]
    async fn what_is_no_process_to_act_on_is_refused() {
        let start = || ("process.start_time", Value::Integer(1));
        let me = std::process::id().to_string();
        for (target, parameters, expected) in [
            ("1", vec![start()], "init and is left alone"),
            ("0", vec![start()], "init and is left alone"),
            (me.as_str(), vec![start()], "does not act on itself"),
            ("-7", vec![start()], "not the number of a process"),
            ("+7", vec![start()], "not the number of a process"),
            ("007", vec![start()], "not the number of a process"),
            ("nginx", vec![start()], "not the number of a process"),
            ("2147483647", vec![start()], "there is no process"),
            ("7", vec![], "`process.start_time` is missing"),
            ("7", vec![("process.start_time", "1".into())], "not a whole number"),
            ("7", vec![start(), ("signal", "EXPLODE".into())], "one of TERM, KILL"),
            ("7", vec![start(), ("grace_ms", Value::Integer(-1))], "0 or more"),
            ("7", vec![start(), ("grace_ms", Value::Integer(600_001))], "at most 600000"),
            ("7", vec![start(), ("grace", Value::Integer(1))], "did you mean `grace_ms`"),
        ] {
            let error = signal(proc(), &action("process.signal", target, &parameters)).await.unwrap_err();
            assert!(error.contains(expected), "{target} {parameters:?}\n  gave {error}");
        }
    }

    #[test]
    fn another_priority_is_given_to_every_thread() {
        let process = Victim::run("echo; exec sleep 1000");
        let detail = renice(proc(), &process.action("process.renice", &[("nice", Value::Integer(19))])).unwrap();
        assert!(detail.contains("-> 19 of process") && detail.ends_with("(1 threads)"), "{detail}");
        for nice in [20, -21, i64::MAX] {
            let error =
                renice(proc(), &process.action("process.renice", &[("nice", Value::Integer(nice))])).unwrap_err();
            assert!(error.contains("between -20 and 19"), "{error}");
        }
        assert!(renice(proc(), &process.action("process.renice", &[])).unwrap_err().contains("`nice` is missing"));
    }
}
