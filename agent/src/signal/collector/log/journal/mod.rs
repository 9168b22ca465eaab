//! The journal, as `journalctl --follow` tells it, from the record that was read last.

mod arguments;
mod child;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod record;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use self::arguments::Narrowing;
use self::child::{Child, Ended, Said};
use self::record::Record;
use super::publish::Publisher;
use super::{Filter, GRACE, Places, interest};
use crate::signal::collector::Context;

/// What the use of the journal by unit is called where logs have names.
pub(super) const NAME: &str = "journal";

/// How long to wait before `journalctl` is started again, at first and at most.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// How long to wait where there is no `journalctl`.
const ABSENT: Duration = Duration::from_secs(300);
/// The most bytes of a message that are published, unless `max-line` says otherwise.
const MAX_MESSAGE: usize = 64 * 1024;

/// `journal = { … }` of `[logs.NAME]`: which records; those that fit all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JournalMatch {
    /// Units or globs of such, one of which it is about.
    pub units: Vec<String>,
    /// The least severe priority, `err`, or a range, `emerg..err`.
    pub priority: Option<String>,
    /// Syslog identifiers, one of which it has.
    pub identifiers: Vec<String>,
    /// Fields as `journalctl` takes them: `_TRANSPORT=kernel`.
    pub fields: Vec<String>,
    /// The most bytes of a message; what is beyond is cut off.
    pub max_line: Option<usize>,
}

/// Whether a subject, or a pattern of subjects, is about units.
pub(super) fn is_unit(subject: &str) -> bool {
    const TYPES: [&str; 11] =
        ["service", "socket", "timer", "mount", "automount", "swap", "target", "path", "slice", "scope", "device"];
    subject.rsplit_once('.').is_some_and(|(name, kind)| !name.is_empty() && TYPES.contains(&kind))
}

/// What is wanted of the journal now: which lines, and what `journalctl` is told of it.
fn wanted(context: &Context, name: &str, only: Option<&JournalMatch>) -> Option<(Filter, Vec<String>)> {
    let demand = context.router.demand().borrow().clone();
    match only {
        Some(only) => Some((interest::in_match(&demand, name)?, arguments::of_match(only))),
        None => {
            let selectors = interest::in_journal(&demand);
            let narrowing = Narrowing::of(&selectors);
            Some((interest::filter(selectors.into_iter())?, narrowing.arguments()))
        }
    }
}

/// Reads the journal while somebody wants it: the records of `[logs.NAME]` if `only` says which, else what selectors want by
/// unit.
pub(super) async fn follow(
    context: Context,
    name: String,
    only: Option<JournalMatch>,
    places: Arc<Places>,
    program: String,
) {
    let max_line = only.as_ref().and_then(|only| only.max_line).unwrap_or(MAX_MESSAGE);
    let mut demand = context.router.demand();
    let mut backoff = BACKOFF.0;
    let mut was_wanted = false;
    loop {
        demand.mark_unchanged();
        let Some((filter, arguments)) = wanted(&context, &name, only.as_ref()) else {
            if was_wanted {
                context.health.forget(&format!("log/{name}"));
                // An instance that is made anew wants it again soon. Else what nobody wanted is not told later.
                if timeout(GRACE, demand.changed()).await.is_ok() {
                    continue;
                }
                places.put_cursor(&name, None);
                was_wanted = false;
            } else if demand.changed().await.is_err() {
                return;
            }
            continue;
        };
        was_wanted = true;
        let publisher = Publisher::new(context.clone(), &name, max_line);
        let mut reading = Reading { publisher, filter, subject: only.is_some().then(|| name.clone()), cursor: None };
        let source = reading.publisher.source.clone();
        let cursor = places.cursor(&name);
        let mut child = match Child::start(&program, cursor.as_deref(), &arguments) {
            Ok(child) => child,
            Err(error) => {
                let wait = match error.kind() {
                    std::io::ErrorKind::NotFound => {
                        context.health.absent(&source, format!("there is no `{program}` on this host"));
                        ABSENT
                    }
                    _ => {
                        context.health.degraded(&source, format!("`{program}` cannot be started: {error}"));
                        BACKOFF.1
                    }
                };
                sleep(wait).await;
                continue;
            }
        };
        context.health.ok(&source);
        let ended = loop {
            let due = reading.publisher.due().map(|due| due.saturating_sub(context.clock.now().mono));
            tokio::select! {
                said = child.next(|line| reading.line(line)) => {
                    match said {
                        Said::Records => backoff = BACKOFF.0,
                        Said::Ended(ended) => break Some(ended),
                    }
                    if let Some(cursor) = reading.cursor.take() {
                        places.put_cursor(&name, Some(cursor));
                    }
                }
                changed = demand.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    match wanted(&context, &name, only.as_ref()) {
                        // The same records, other lines of them.
                        Some((filter, same)) if same == arguments => reading.filter = filter,
                        _ => break None,
                    }
                }
                () = sleep(due.unwrap_or(Duration::MAX)), if due.is_some() => reading.publisher.tell_dropped(),
            }
        };
        child.end().await;
        let Some(Ended { status, complaint }) = ended else { continue };
        context.health.degraded(&source, format!("`{program}` ended ({status}){complaint}; it is started again"));
        if complaint.contains("cursor") && cursor.is_some() && cursor == places.cursor(&name) {
            // The journal does not know the record any more.
            places.put_cursor(&name, None);
        }
        sleep(backoff).await;
        backoff = (backoff * 2).min(BACKOFF.1);
    }
}

/// What becomes of the records.
struct Reading {
    publisher: Publisher,
    filter: Filter,
    /// What the records are about; their units if none.
    subject: Option<String>,
    /// The last record that was read.
    cursor: Option<String>,
}

impl Reading {
    fn line(&mut self, line: &[u8]) {
        let record = match Record::parse(line) {
            Ok(record) => record,
            // Too long, or no record at all.
            Err(error) => {
                tracing::debug!("a record of the journal is passed over: {error}");
                return self.publisher.lost(1);
            }
        };
        if let Some(body) = record.body(self.publisher.max_line).filter(|body| self.filter.takes(body)) {
            let subject = self.subject.clone().unwrap_or_else(|| record.subject().to_owned());
            let at = record.at().unwrap_or_else(|| self.publisher.context.clock.now().wall);
            self.publisher.record(subject, record.attributes(), body, at);
        }
        self.cursor = Some(record.cursor);
    }
}

#[cfg(test)]
mod tests;
