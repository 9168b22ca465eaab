//! Files of `[files.NAME]`: whether they are there, how large and how old they are, and what they hold.
//!
//! inotify says when to look, and a slow rescan looks anyway: events can be lost, and network file systems send none. A look
//! is made on a thread that may block, one at a time for each file, so that a dead file system holds up nobody else.

mod look;
mod watches;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use self::look::{Look, Seen, look};
use self::watches::{Hint, Watches};
use super::Context;
use crate::clock::Timestamp;
use crate::config::WatchedFile;
use crate::signal::{Attribute, Demand, Event, Name, Sample, SeriesName};

/// The event that says how a file is.
const STATE: &str = "file.state";
/// Bytes.
const SIZE: &str = "file.size";
/// Seconds since it was last written.
const AGE: &str = "file.age";
/// How soon a file that is being written is looked at, and so how often at most.
const SETTLE: Duration = Duration::from_millis(250);
/// The same for one that is summed up.
const SETTLE_SUMMED: Duration = Duration::from_secs(2);
/// How often at most a file is looked at that is written and closed again and again.
const PACE: Duration = Duration::from_millis(50);
/// A look that takes longer is told of.
const SLOW: Duration = Duration::from_secs(5);

/// Tells of the files for as long as somebody wants to know; ends with the task.
pub async fn run(context: Context, files: BTreeMap<String, WatchedFile>) {
    if files.is_empty() {
        return;
    }
    let mut demand = context.router.demand();
    loop {
        let wanted = Wanted::new(&demand.borrow_and_update(), &files);
        if wanted.is_empty() {
            if demand.changed().await.is_err() {
                return;
            }
            continue;
        }
        let mut session = Session::new(&context, &files, wanted);
        session.run(&mut demand).await;
        session.end();
    }
}

/// What somebody wants to know of which file, by name.
#[derive(Debug, Default, PartialEq)]
struct Wanted {
    states: BTreeSet<String>,
    /// The series of each file that are wanted.
    series: BTreeMap<String, Vec<SeriesName>>,
}

impl Wanted {
    fn new(demand: &Demand, files: &BTreeMap<String, WatchedFile>) -> Self {
        let mut wanted = Self::default();
        for name in files.keys() {
            if demand.events(STATE).any(|selector| selector.allows("subject", name)) {
                wanted.states.insert(name.clone());
            }
            let takes =
                |series: &SeriesName| demand.metrics(&series.metric).any(|selector| selector.takes_series(series));
            let series: Vec<_> = [SIZE, AGE].map(|metric| series(metric, name)).into_iter().filter(takes).collect();
            if !series.is_empty() {
                wanted.series.insert(name.clone(), series);
            }
        }
        wanted
    }

    fn is_empty(&self) -> bool {
        self.states.is_empty() && self.series.is_empty()
    }

    fn names(&self) -> BTreeSet<&String> {
        self.states.iter().chain(self.series.keys()).collect()
    }
}

/// One file.
struct File<'a> {
    name: &'a str,
    settings: &'a WatchedFile,
    /// When to look next.
    due: Instant,
    /// When the last look began.
    begun: Option<Instant>,
    /// Since when it is being looked at.
    looking: Option<Instant>,
    /// What was seen last.
    seen: Option<Seen>,
    /// What was told last.
    told: Option<Vec<Attribute>>,
}

impl File<'_> {
    /// What is told in the status.
    fn source(&self) -> String {
        format!("file/{}", self.name)
    }

    /// When there is something to do: a look, or to say that one takes long.
    fn deadline(&self) -> Instant {
        self.looking.map_or(self.due, |since| since + SLOW)
    }
}

/// What is done for as long as the same is wanted.
struct Session<'a> {
    context: &'a Context,
    settings: &'a BTreeMap<String, WatchedFile>,
    wanted: Wanted,
    files: Vec<File<'a>>,
    watches: Arc<Watches>,
    tasks: JoinSet<(usize, Look)>,
}

impl<'a> Session<'a> {
    fn new(context: &'a Context, settings: &'a BTreeMap<String, WatchedFile>, wanted: Wanted) -> Self {
        let now = Instant::now();
        let names = wanted.names();
        let files = settings.iter().filter(|(name, _)| names.contains(name)).map(|(name, settings)| File {
            name,
            settings,
            due: now,
            begun: None,
            looking: None,
            seen: None,
            told: None,
        });
        let files: Vec<_> = files.collect();
        let paths = files.iter().map(|file| file.settings.path.clone()).collect();
        Self { context, settings, wanted, files, watches: Arc::new(Watches::new(paths)), tasks: JoinSet::new() }
    }

    /// Looks when there is reason to, until something else is wanted.
    async fn run(&mut self, demand: &mut tokio::sync::watch::Receiver<Arc<Demand>>) {
        let watches = self.watches.clone();
        loop {
            let next = self.files.iter().map(File::deadline).min().unwrap_or_else(Instant::now);
            tokio::select! {
                () = sleep_until(next) => self.begin_looks(),
                (index, hint) = watches.hint() => self.hinted(index, hint),
                Some(done) = self.tasks.join_next() => match done {
                    Ok((index, look)) => self.looked(index, look),
                    Err(error) => tracing::warn!("a look at a file ended early: {error}"),
                },
                changed = demand.changed() => {
                    // Other collectors' wishes change nothing here.
                    let now = Wanted::new(&demand.borrow_and_update(), self.settings);
                    if changed.is_err() || now != self.wanted {
                        return;
                    }
                }
            }
        }
    }

    /// Nobody may want what was told so far.
    fn end(&self) {
        for file in &self.files {
            self.context.health.forget(&file.source());
            self.context.router.forget_state(STATE, file.name);
            self.context.router.publish_samples(file.source(), Timestamp::default(), &[]);
        }
    }

    fn hinted(&mut self, index: usize, hint: Hint) {
        let Some(file) = self.files.get_mut(index) else { return };
        let now = Instant::now();
        let due = match hint {
            Hint::Complete => file.begun.map_or(now, |begun| now.max(begun + PACE)),
            Hint::UnderWay if file.settings.checksum => now + SETTLE_SUMMED,
            Hint::UnderWay => now + SETTLE,
        };
        file.due = file.due.min(due);
    }

    fn begin_looks(&mut self) {
        let now = Instant::now();
        for (index, file) in self.files.iter_mut().enumerate().filter(|(_, file)| file.deadline() <= now) {
            if file.looking.is_some() {
                let reason = format!("{} does not answer", file.settings.path.display());
                self.context.health.degraded(&file.source(), reason);
                file.looking = Some(now);
                continue;
            }
            let interval = self.wanted.series.contains_key(file.name).then_some(self.context.interval);
            file.due = now + interval.unwrap_or(file.settings.rescan).min(file.settings.rescan);
            (file.looking, file.begun) = (Some(now), Some(now));
            let (settings, before, watches) = (file.settings.clone(), file.seen.clone(), self.watches.clone());
            self.tasks.spawn(async move {
                let look = move || look(&settings, before.as_ref(), |path| watches.attach(index, path));
                let look = tokio::task::spawn_blocking(look).await;
                (index, look.unwrap_or_else(|error| Look { result: Err(error.to_string()), watched: Ok(()) }))
            });
        }
    }

    fn looked(&mut self, index: usize, look: Look) {
        let Some(file) = self.files.get_mut(index) else { return };
        file.looking = None;
        let (source, now) = (file.source(), self.context.clock.now().wall);
        let seen = match look.result {
            Ok(seen) => seen,
            Err(reason) => {
                self.context.health.degraded(&source, format!("{}: {reason}", file.settings.path.display()));
                return;
            }
        };
        match look.watched {
            Ok(()) => self.context.health.ok(&source),
            Err(reason) => {
                let every = humantime::format_duration(file.settings.rescan);
                self.context.health.degraded(&source, format!("looked at every {every} only: {reason}"));
            }
        }
        if let Some(wanted) = self.wanted.series.get(file.name) {
            let value = |series: &SeriesName| if series.metric == SIZE { seen.size() } else { seen.age(now) };
            let sample = |series: &SeriesName| Some(Sample { series: series.clone(), value: value(series)? });
            let samples: Vec<_> = wanted.iter().filter_map(sample).collect();
            self.context.router.publish_samples(source, now, &samples);
        }
        let attributes = seen.attributes(&file.settings.path);
        if self.wanted.states.contains(file.name) && file.told.as_ref() != Some(&attributes) {
            file.told = Some(attributes.clone());
            self.context.router.publish_state(event(file.name, attributes, &seen, now));
        }
        file.seen = Some(seen);
    }
}

/// The state as it is told: with the age at this moment, which alone is no change.
fn event(name: &str, mut attributes: Vec<Attribute>, seen: &Seen, now: Timestamp) -> Event {
    attributes.extend(seen.age(now).map(|age| Attribute::new(AGE, age)));
    Event { name: STATE.into(), subject: name.to_owned(), attributes, body: String::new(), at: now, caused_by: None }
}

fn series(metric: &'static str, name: &str) -> SeriesName {
    SeriesName { metric: metric.into(), attributes: vec![(Name::from("file.name"), name.into())] }
}

/// A path as text, for attributes.
fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests;
