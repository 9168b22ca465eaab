use std::fs::OpenOptions;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Subcommand;

use super::{Outcome, client};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::incident::ledger::{Export, LedgerReader};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Write incidents with all that belongs to them as JSON lines, the oldest first.
    Export {
        /// Only those opened in this time: `30d`, `12h`.
        #[arg(long, value_parser = humantime::parse_duration, value_name = "DURATION")]
        since: Option<Duration>,
        /// Write to this file instead of the standard output.
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Read the ledger in this state directory instead of asking an agent: for when none runs.
        #[arg(long, value_name = "DIR")]
        state: Option<PathBuf>,
    },
}

pub(super) fn run(socket: &Path, command: Command) -> anyhow::Result<Outcome> {
    let Command::Export { since, output, state } = command;
    match output {
        Some(file) => {
            // What failed is nobody else's business.
            let opened = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&file);
            let mut to = BufWriter::new(opened.with_context(|| format!("cannot write {}", file.display()))?);
            export(socket, state.as_deref(), since, &mut to)?;
            let file = to.into_inner().map_err(io::IntoInnerError::into_error)?;
            file.sync_all()?;
        }
        None => match export(socket, state.as_deref(), since, &mut io::stdout().lock()) {
            // A reader that has seen enough (`| head`) is no error.
            Err(error) if is_broken_pipe(&error) => {}
            exported => exported?,
        },
    }
    Ok(Outcome::Fine)
}

fn export(socket: &Path, state: Option<&Path>, since: Option<Duration>, to: &mut impl Write) -> anyhow::Result<()> {
    let Some(state) = state else {
        let query = since.map_or(String::new(), |since| format!("?since={}s", since.as_secs()));
        client::copy(socket, &format!("/v1/ledger/export{query}"), to)?;
        return Ok(to.flush()?);
    };
    let now = SystemClock::new().now().wall;
    let since = since.map(|since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX));
    let since = since.map_or(0, |since| now.as_nanos().saturating_sub(since));
    let reader = LedgerReader::open(state)?;
    let mut export = Export::new(Timestamp::from_nanos(since));
    while let Some(lines) = export.next(&reader)? {
        to.write_all(&lines)?;
    }
    Ok(to.flush()?)
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}
