use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout as within;

use super::Envelope;
use super::channel::Failure;

/// How much of what a program complains is repeated, in bytes.
const COMPLAINT: usize = 400;
/// How long to wait for the rest of its complaint once it has ended: one it left running may hold the pipe open.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// Runs a program for each notice, with the notice as JSON on its standard input, and without a shell. It has told it if it
/// ends with 0.
#[derive(Debug, Clone)]
pub struct Command {
    /// The program and its arguments.
    pub argv: Vec<String>,
}

/// A process group that is killed when it goes out of scope.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

impl Command {
    pub(super) async fn deliver(&self, envelope: &Envelope<'_>, timeout: Duration) -> Result<(), Failure> {
        let notice = serde_json::to_vec(envelope).map_err(|error| Failure::refused(error.to_string()))?;
        let Some((program, arguments)) = self.argv.split_first() else {
            return Err(Failure::absent("the command is empty"));
        };
        let mut child = tokio::process::Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|error| Failure::absent(format!("cannot execute `{program}`: {error}")))?;
        let mut group = Group(child.id().and_then(|id| Pid::from_raw(id.cast_signed())));
        let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
        let feed = async move {
            if let Some(mut stdin) = stdin {
                // A program may end without having read.
                let _ = stdin.write_all(&notice).await;
                let _ = stdin.write_all(b"\n").await;
            }
        };
        let mut complaint = Vec::new();
        let listen = async {
            let Some(mut stderr) = stderr else { return };
            let mut part = [0; 1024];
            // Read to the end, so that nobody waits for a full pipe; only the beginning is kept.
            while let Ok(read @ 1..) = stderr.read(&mut part).await {
                let room = COMPLAINT.saturating_sub(complaint.len());
                complaint.extend(part.iter().take(read.min(room)));
            }
        };
        let run = async {
            let mut listen = std::pin::pin!(listen);
            let mut listened = false;
            let ended = async {
                let ((), status) = tokio::join!(feed, child.wait());
                status
            };
            let mut ended = std::pin::pin!(ended);
            // A program may close its standard error and run on, or leave it open to another and end.
            let status = loop {
                tokio::select! {
                    status = &mut ended => break status,
                    () = &mut listen, if !listened => listened = true,
                }
            };
            if !listened {
                let _ = within(LAST_WORDS, &mut listen).await;
            }
            status
        };
        let limit = timeout.as_secs_f64();
        let Ok(status) = within(timeout, run).await else {
            return Err(Failure::absent(format!("`{program}` did not end within {limit} s and was killed")));
        };
        let status = status.map_err(|error| Failure::absent(format!("`{program}` was lost: {error}")))?;
        // It has ended by itself; what it left running is meant to.
        group.0 = None;
        if status.success() {
            return Ok(());
        }
        let complaint = String::from_utf8_lossy(&complaint).trim().to_owned();
        let colon = if complaint.is_empty() { "" } else { ": " };
        Err(Failure::absent(format!("`{program}` failed: {status}{colon}{complaint}")))
    }
}
