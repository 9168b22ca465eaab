//! Running a program to its end: in a process group of its own, within a time, keeping the end of what it says.

use std::collections::VecDeque;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// How long a killed program may take to be gone. Only one stuck in the kernel takes longer.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);
/// The most that is read after the program's end: something it left behind may go on writing for ever.
const MAX_REST: usize = 1024 * 1024;

/// How a program ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// Its exit status.
    pub(super) status: ExitStatus,
    /// The end of its output, both streams as they came.
    pub(super) output: String,
    /// Whether some of the output is not in there.
    pub(super) truncated: bool,
}

impl Ended {
    /// `exit status: 1: cannot do that`.
    pub(super) fn describe(&self) -> String {
        let output = self.output.trim_end();
        let cut = if self.truncated { "…" } else { "" };
        if output.is_empty() { self.status.to_string() } else { format!("{}: {cut}{output}", self.status) }
    }

    /// The description, as an outcome.
    pub(super) fn outcome(&self) -> Result<String, String> {
        if self.status.success() { Ok(self.describe()) } else { Err(self.describe()) }
    }
}

/// Runs a program; beyond `limit`, or if this is dropped, its process group is killed. Of its output the last `cap` bytes
/// are kept. A process that leaves the group by itself is not killed with it.
pub(super) async fn run(mut command: Command, limit: Duration, cap: usize) -> Result<Ended, String> {
    let name = command.as_std().get_program().to_string_lossy().into_owned();
    let failed = |error: io::Error| format!("cannot run `{name}`: {error}");
    let (reader, writer) = io::pipe().map_err(failed)?;
    let both = writer.try_clone().map_err(failed)?;
    command.stdin(Stdio::null()).stdout(both).stderr(writer).process_group(0).kill_on_drop(true);
    let mut child = command.spawn().map_err(failed)?;
    // It holds ends of the pipe that would keep it open.
    drop(command);
    let mut group = Group::led_by(&child);
    let pipe = Receiver::from_owned_fd(reader.into()).map_err(failed)?;
    let mut tail = Tail::new(cap);
    let Ok(status) = timeout(limit, watch(&mut child, &pipe, &mut tail)).await else {
        group.kill();
        // Reaped by tokio if it does not end at once.
        let _ = timeout(KILL_TIMEOUT, child.wait()).await;
        tail.drain(&pipe);
        let (output, _) = tail.text();
        let output = output.trim_end();
        let said = if output.is_empty() { String::new() } else { format!("; it had said: {output}") };
        return Err(format!("`{name}` did not end within {} s and was killed{said}", limit.as_secs_f64()));
    };
    group.release();
    tail.drain(&pipe);
    let (output, truncated) = tail.text();
    Ok(Ended { status: status.map_err(failed)?, output, truncated })
}

/// Reads until the program has ended; what it left behind may hold the pipe open for longer.
async fn watch(child: &mut Child, pipe: &Receiver, tail: &mut Tail) -> io::Result<ExitStatus> {
    let mut is_open = true;
    loop {
        tokio::select! {
            biased;
            status = child.wait() => return status,
            ready = pipe.readable(), if is_open => is_open = ready.is_ok() && tail.read(pipe) != Some(0),
        }
    }
}

/// The process group of a program, killed when this is dropped.
struct Group(Option<Pid>);

impl Group {
    fn led_by(child: &Child) -> Self {
        Self(child.id().and_then(|pid| pid.try_into().ok()).and_then(Pid::from_raw))
    }

    /// The program has ended by itself: what it left behind is meant to stay.
    fn release(&mut self) {
        self.0 = None;
    }

    fn kill(&mut self) {
        if let Some(group) = self.0.take()
            && let Err(error) = kill_process_group(group, Signal::KILL)
            && error != rustix::io::Errno::SRCH
        {
            tracing::warn!("cannot kill the process group {}: {error}", group.as_raw_nonzero());
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The last bytes of a stream.
struct Tail {
    bytes: VecDeque<u8>,
    cap: usize,
    truncated: bool,
}

impl Tail {
    fn new(cap: usize) -> Self {
        Self { bytes: VecDeque::new(), cap, truncated: false }
    }

    /// Takes what is there now: how many bytes, 0 at the end, none if there is nothing for now.
    fn read(&mut self, pipe: &Receiver) -> Option<usize> {
        let mut buffer = [0; 8192];
        match pipe.try_read(&mut buffer) {
            Ok(count) => {
                self.bytes.extend(buffer.iter().take(count));
                if let Some(excess) = self.bytes.len().checked_sub(self.cap).filter(|excess| *excess > 0) {
                    self.bytes.drain(..excess);
                    self.truncated = true;
                }
                Some(count)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(_) => Some(0),
        }
    }

    fn drain(&mut self, pipe: &Receiver) {
        let mut total = 0;
        while total < MAX_REST {
            match self.read(pipe) {
                None | Some(0) => break,
                Some(count) => total += count,
            }
        }
    }

    /// As text, and whether it is not all.
    fn text(&self) -> (String, bool) {
        let bytes: Vec<u8> = self.bytes.iter().copied().collect();
        (String::from_utf8_lossy(&bytes).into_owned(), self.truncated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    /// Waits until no process of the group is left but unreaped ones.
    async fn gone(pid: &str) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        loop {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            if stat.is_empty() || stat.rsplit_once(')').unwrap().1.trim_start().starts_with('Z') {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "process {pid} still runs");
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn status_and_both_streams_are_reported() {
        let ended = run(sh("echo out; echo err >&2; exit 3"), Duration::from_secs(30), 1024).await.unwrap();
        assert_eq!(ended.describe(), "exit status: 3: out\nerr");
        assert!(ended.outcome().is_err() && !ended.truncated);
        let error = run(Command::new("/no/such"), Duration::from_secs(30), 10).await.unwrap_err();
        assert!(error.contains("cannot run `/no/such`"), "{error}");
    }

    #[tokio::test]
    async fn the_end_of_much_output_is_kept() {
        let script = "i=0; while [ $i -lt 20000 ]; do echo line-$i; i=$((i+1)); done";
        let ended = run(sh(script), Duration::from_secs(60), 100).await.unwrap();
        assert!(ended.truncated && ended.output.len() == 100 && ended.output.ends_with("line-19999\n"), "{ended:?}");
    }

    #[tokio::test]
    async fn beyond_its_time_the_whole_group_is_killed() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("pid");
        // The grandchild ignores what is polite, and holds the output open.
        let script =
            format!("(trap '' TERM HUP; echo $$ >/dev/null; exec sleep 1000) & echo $! >{}; wait", file.display());
        let error = run(sh(&script), Duration::from_millis(500), 100).await.unwrap_err();
        assert!(error.contains("did not end within 0.5 s and was killed"), "{error}");
        gone(std::fs::read_to_string(&file).unwrap().trim()).await;
    }

    #[tokio::test]
    async fn one_that_is_no_longer_waited_for_is_killed_too() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("pid");
        let script = format!("sleep 1000 & echo $! >{}; wait", file.display());
        assert!(timeout(Duration::from_millis(500), run(sh(&script), Duration::from_secs(600), 9)).await.is_err());
        gone(std::fs::read_to_string(&file).unwrap().trim()).await;
    }

    #[tokio::test]
    async fn what_is_left_behind_with_the_output_open_delays_nothing() {
        let ended = run(sh("sleep 1000 & echo $!"), Duration::from_secs(60), 100).await.unwrap();
        assert!(ended.status.success());
        let pid: i32 = ended.output.trim().parse().unwrap();
        rustix::process::kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    }
}
