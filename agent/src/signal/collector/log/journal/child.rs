//! `journalctl`, running.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt;
use tokio::process::{ChildStderr, ChildStdout, Command};
use tokio::time::timeout;

use super::super::filter::without_end;
use super::super::lines::Lines;
use super::record::FIELDS;

/// The most bytes of one record: a message of this size has no reader.
const MAX_RECORD: usize = 1 << 20;
/// How much of what it complains of is repeated.
const COMPLAINT: usize = 400;
/// How long a killed one may take to be gone.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);

/// What came.
#[derive(Debug)]
pub(super) enum Said {
    /// Records, each of which was handed out.
    Records,
    /// Nothing will come any more.
    Ended(Ended),
}

/// How it ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) status: String,
    /// What it said of it, after a colon; empty if nothing.
    pub(super) complaint: String,
}

/// A running `journalctl`. It is killed when this is dropped; when the agent is killed, its standard output has no reader any
/// more and it ends by itself.
pub(super) struct Child {
    child: tokio::process::Child,
    group: Option<Pid>,
    stdout: ChildStdout,
    stderr: Option<ChildStderr>,
    buffer: Vec<u8>,
    lines: Lines,
    complaint: Vec<u8>,
}

impl Child {
    /// Starts it with what comes after `cursor`, or from now on.
    pub(super) fn start(program: &str, cursor: Option<&str>, arguments: &[String]) -> io::Result<Self> {
        let mut command = Command::new(program);
        // Fields over 4 KiB are null without `--all`; with it only those are wanted that are used.
        command.args(["--follow", "--output=json", "--no-pager", "--quiet", "--all"]);
        command.arg(format!("--output-fields={}", FIELDS.join(",")));
        match cursor {
            Some(cursor) => command.args(["--no-tail".to_owned(), format!("--after-cursor={cursor}")]),
            None => command.arg("--lines=0"),
        };
        command.args(arguments).env("LC_ALL", "C").stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).kill_on_drop(true);
        let mut child = command.spawn()?;
        let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let stdout = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let stderr = child.stderr.take();
        let lines = Lines::new(MAX_RECORD, false);
        Ok(Self { child, group, stdout, stderr, buffer: vec![0; 64 * 1024], lines, complaint: Vec::new() })
    }

    /// Waits for records and calls `record` with each. Nothing is lost if this is dropped.
    pub(super) async fn next(&mut self, mut record: impl FnMut(&[u8])) -> Said {
        let mut complaint = [0; 512];
        loop {
            let Self { stdout, stderr, buffer, .. } = self;
            let complains = async {
                match stderr {
                    Some(stderr) => stderr.read(&mut complaint).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                read = stdout.read(buffer) => match read {
                    Ok(count @ 1..) => {
                        self.lines.feed(self.buffer.get(..count).unwrap_or_default(), |mut whole| {
                            while !whole.is_empty() {
                                let end = memchr::memchr(b'\n', whole).map_or(whole.len(), |end| end + 1);
                                let (line, rest) = whole.split_at(end);
                                whole = rest;
                                if line != b"\n" {
                                    record(without_end(line));
                                }
                            }
                        });
                        return Said::Records;
                    }
                    Ok(0) | Err(_) => return Said::Ended(self.ended().await),
                },
                read = complains => match read {
                    Ok(count @ 1..) => self.complain(complaint.get(..count).unwrap_or_default()),
                    Ok(0) | Err(_) => self.stderr = None,
                },
            }
        }
    }

    /// Ends it if it has not ended, and waits until it is gone.
    pub(super) async fn end(mut self) {
        self.kill();
        // Reaped by tokio if it does not end at once.
        let _ = timeout(KILL_TIMEOUT, self.child.wait()).await;
    }

    /// It closed its output: why?
    async fn ended(&mut self) -> Ended {
        let mut rest = [0; 512];
        while let Some(stderr) = &mut self.stderr {
            match timeout(Duration::from_millis(100), stderr.read(&mut rest)).await {
                Ok(Ok(count @ 1..)) => self.complain(rest.get(..count).unwrap_or_default()),
                _ => self.stderr = None,
            }
        }
        let status = timeout(Duration::from_secs(1), self.child.wait()).await;
        let status = match status {
            Ok(Ok(status)) => ExitStatus::to_string(&status),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it closed its output".to_owned(),
        };
        let complaint = String::from_utf8_lossy(&self.complaint);
        let complaint = complaint.trim();
        let complaint = if complaint.is_empty() { String::new() } else { format!(": {complaint}") };
        Ended { status, complaint }
    }

    fn complain(&mut self, part: &[u8]) {
        let room = COMPLAINT.saturating_sub(self.complaint.len());
        self.complaint.extend(part.iter().take(room));
    }

    fn kill(&mut self) {
        if let Some(group) = self.group.take() {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}
