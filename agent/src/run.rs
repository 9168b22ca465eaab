//! Running a program to its end: in a process group of its own, within a time, keeping no more of what it says than was
//! asked for.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::task::Poll;
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
pub(crate) struct Ended {
    /// Its exit status.
    pub(crate) status: ExitStatus,
    /// The end of its output, both streams as they came.
    pub(crate) output: String,
    /// Whether some of the output is not in there.
    pub(crate) truncated: bool,
}

impl Ended {
    /// `exit status: 1: cannot do that`.
    pub(crate) fn describe(&self) -> String {
        let output = self.output.trim_end();
        let cut = if self.truncated { "…" } else { "" };
        if output.is_empty() { self.status.to_string() } else { format!("{}: {cut}{output}", self.status) }
    }

    /// The description, as an outcome.
    pub(crate) fn outcome(&self) -> Result<String, String> {
        if self.status.success() { Ok(self.describe()) } else { Err(self.describe()) }
    }
}

/// How a program whose two streams are told apart ended.
#[derive(Debug)]
pub(crate) struct Apart {
    /// Its exit status.
    pub(crate) status: ExitStatus,
    /// The beginning of its standard output.
    pub(crate) output: String,
    /// The beginning of its standard error.
    pub(crate) error: String,
}

/// Why a program did not come to its end.
#[derive(Debug)]
pub(crate) enum NotEnded {
    /// It could not be run.
    Never(String),
    /// It took too long and was killed.
    Late(String),
}

impl From<NotEnded> for String {
    fn from(why: NotEnded) -> Self {
        match why {
            NotEnded::Never(why) | NotEnded::Late(why) => why,
        }
    }
}

/// Runs a program; beyond `limit`, or if this is dropped, its process group is killed. Of its output the last `cap` bytes
/// are kept. A process that leaves the group by itself is not killed with it.
pub(crate) async fn run(mut command: Command, limit: Duration, cap: usize) -> Result<Ended, String> {
    let name = name(&command);
    let (output, writer) = Stream::new(Kept::end(cap)).map_err(|error| cannot(&name, &error))?;
    let both = writer.try_clone().map_err(|error| cannot(&name, &error))?;
    command.stdout(both).stderr(writer);
    let (status, [output]) = carry_out(command, &name, limit, [output]).await?;
    let (output, truncated) = output.text();
    Ok(Ended { status, output, truncated })
}

/// The same for a program whose output says something to a program: the first `cap` bytes of each stream are kept.
pub(crate) async fn run_apart(mut command: Command, limit: Duration, cap: usize) -> Result<Apart, NotEnded> {
    let name = name(&command);
    let (output, writer) = Stream::new(Kept::beginning(cap)).map_err(|error| cannot(&name, &error))?;
    command.stdout(writer);
    let (error, writer) = Stream::new(Kept::beginning(cap)).map_err(|error| cannot(&name, &error))?;
    command.stderr(writer);
    let (status, [output, error]) = carry_out(command, &name, limit, [output, error]).await?;
    Ok(Apart { status, output: output.text().0, error: error.text().0 })
}

fn name(command: &Command) -> String {
    command.as_std().get_program().to_string_lossy().into_owned()
}

fn cannot(name: &str, error: &io::Error) -> NotEnded {
    NotEnded::Never(format!("cannot run `{name}`: {error}"))
}

/// Runs it to its end, with what it says.
async fn carry_out<const N: usize>(
    mut command: Command,
    name: &str,
    limit: Duration,
    mut streams: [Stream; N],
) -> Result<(ExitStatus, [Kept; N]), NotEnded> {
    command.stdin(Stdio::null()).process_group(0).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| cannot(name, &error))?;
    // It holds ends of the pipes that would keep them open.
    drop(command);
    let mut group = Group::led_by(&child);
    let Ok(status) = timeout(limit, watch(&mut child, &mut streams)).await else {
        group.kill();
        // Reaped by tokio if it does not end at once.
        let _ = timeout(KILL_TIMEOUT, child.wait()).await;
        let said: Vec<String> = streams.into_iter().map(|stream| stream.rest().text().0).collect();
        let said = said.join("\n");
        let said = match said.trim() {
            "" => String::new(),
            said => format!("; it had said: {said}"),
        };
        let why = format!("`{name}` did not end within {} s and was killed{said}", limit.as_secs_f64());
        return Err(NotEnded::Late(why));
    };
    group.release();
    Ok((status.map_err(|error| cannot(name, &error))?, streams.map(Stream::rest)))
}

/// Reads until the program has ended; what it left behind may hold the pipes open for longer.
async fn watch(child: &mut Child, streams: &mut [Stream]) -> io::Result<ExitStatus> {
    let status = child.wait();
    let mut status = pin!(status);
    loop {
        let mut reads = streams.iter_mut().map(|stream| Box::pin(stream.read())).collect::<Vec<_>>();
        let any = poll_fn(|context| {
            let is_ready = reads.iter_mut().any(|read| read.as_mut().poll(context).is_ready());
            if is_ready { Poll::Ready(()) } else { Poll::Pending }
        });
        tokio::select! {
            biased;
            status = &mut status => return status,
            () = any => {}
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

/// A pipe that a program writes to, and what is kept of it.
struct Stream {
    pipe: Receiver,
    is_open: bool,
    kept: Kept,
}

impl Stream {
    /// With the end that the program gets.
    fn new(kept: Kept) -> io::Result<(Self, io::PipeWriter)> {
        let (reader, writer) = io::pipe()?;
        Ok((Self { pipe: Receiver::from_owned_fd(reader.into())?, is_open: true, kept }, writer))
    }

    /// Takes what is there, once something is; never ends after the stream's end.
    async fn read(&mut self) {
        if !self.is_open {
            return std::future::pending().await;
        }
        self.is_open = self.pipe.readable().await.is_ok() && self.take() != Some(0);
    }

    /// Takes what is there now: how many bytes, 0 at the end, none if there is nothing for now.
    fn take(&mut self) -> Option<usize> {
        let mut buffer = [0; 8192];
        match self.pipe.try_read(&mut buffer) {
            Ok(count) => {
                self.kept.add(buffer.iter().take(count));
                Some(count)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(_) => Some(0),
        }
    }

    /// What was kept, with what is left in the pipe.
    fn rest(mut self) -> Kept {
        let mut total = 0;
        while total < MAX_REST {
            match self.take() {
                None | Some(0) => break,
                Some(count) => total += count,
            }
        }
        self.kept
    }
}

/// The first or the last bytes of a stream.
struct Kept {
    bytes: VecDeque<u8>,
    cap: usize,
    is_end: bool,
    truncated: bool,
}

impl Kept {
    fn beginning(cap: usize) -> Self {
        Self { bytes: VecDeque::new(), cap, is_end: false, truncated: false }
    }

    fn end(cap: usize) -> Self {
        Self { is_end: true, ..Self::beginning(cap) }
    }

    fn add<'a>(&mut self, bytes: impl ExactSizeIterator<Item = &'a u8>) {
        let excess = (self.bytes.len() + bytes.len()).saturating_sub(self.cap);
        self.truncated |= excess > 0;
        if self.is_end {
            self.bytes.extend(bytes);
            self.bytes.drain(..excess.min(self.bytes.len()));
        } else {
            let room = bytes.len().saturating_sub(excess);
            self.bytes.extend(bytes.take(room));
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
    async fn the_beginning_of_each_stream_is_kept_apart() {
        let script =
            "echo first; echo wrong >&2; i=0; while [ $i -lt 20000 ]; do echo line-$i; i=$((i+1)); done; exit 1";
        let ended = run_apart(sh(script), Duration::from_secs(60), 100).await.unwrap();
        assert!(ended.output.len() == 100 && ended.output.starts_with("first\nline-0\n"), "{ended:?}");
        assert_eq!((ended.error.as_str(), ended.status.code()), ("wrong\n", Some(1)));
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
