//! What the kernel says of faults, from `/dev/kmsg`.
//!
//! Only what the kernel itself wrote counts: a process may write there too, and can say whatever it likes.

mod cursor;
mod fault;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod mount;
mod oom;
mod record;

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{Mode, OFlags, SeekFrom, open, seek};
use rustix::io::{Errno, read};
use rustix::time::{ClockId, clock_gettime};
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;
use tokio::{task, time};

use self::cursor::Cursor;
use self::fault::{Fault, REMOUNT, Reader};
use self::record::Record;
use super::Context;
use crate::clock::Timestamp;
use crate::signal::{Attribute, Demand, Event};

/// What this collector is called in the agent's status.
const SOURCE: &str = "kernel";
/// The longest record is 8 KiB; a shorter buffer could not take it.
const BUFFER: usize = 16 * 1024;
/// Records that are handled before others have their turn.
const AT_ONCE: usize = 128;
/// What happened longer ago while no agent was there is history.
const REPLAY: Duration = Duration::from_secs(15 * 60);
/// After how long a log that cannot be read is tried again.
const RETRY: Duration = Duration::from_secs(60);
/// The kernel's own facility.
const KERNEL: u32 = 0;

/// Publishes the faults that the kernel tells while somebody wants to hear of them. `cursor` is the file that says how far
/// the log was read: what was said while the agent was not there is not lost.
pub async fn run(context: Context, cursor: PathBuf) {
    watch(context, cursor, KERNEL).await;
}

/// Reads records up to this facility.
async fn watch(context: Context, cursor: PathBuf, facility: u32) {
    let mut demand = context.router.demand();
    let boot = fs::read_to_string(context.path("proc/sys/kernel/random/boot_id")).unwrap_or_default();
    let mut cursor = Cursor::open(&cursor, boot.trim());
    loop {
        let wanted = wants(&demand.borrow_and_update());
        if !wanted {
            context.health.forget(SOURCE);
            if demand.changed().await.is_err() {
                return;
            }
            continue;
        }
        let failed = match Log::open(&context, cursor.last().is_none()) {
            Ok(mut log) => {
                log.facility = facility;
                tokio::select! {
                    error = log.follow(&context, &mut cursor) => Some(error),
                    () = unwanted(&mut demand) => None,
                }
            }
            Err(error) => Some(error),
        };
        let Some(error) = failed else { continue };
        let path = context.path("dev/kmsg");
        let path = path.display();
        match Errno::from_io_error(&error) {
            Some(Errno::NOENT) => context.health.absent(SOURCE, format!("there is no {path}")),
            Some(Errno::PERM | Errno::ACCESS) => context.health.absent(
                SOURCE,
                format!("{path} may not be read: that needs root, or CAP_SYSLOG and permission for the file"),
            ),
            _ => context.health.degraded(SOURCE, format!("{path}: {error}")),
        }
        tokio::select! {
            () = time::sleep(RETRY) => {}
            changed = demand.changed() => if changed.is_err() { return },
        }
    }
}

fn wants(demand: &Demand) -> bool {
    fault::ALL.iter().any(|name| demand.wants_event(name))
}

/// Waits until nobody wants to hear of faults.
async fn unwanted(demand: &mut watch::Receiver<Arc<Demand>>) {
    // Its sender is the router's, which ends with the agent.
    while demand.changed().await.is_ok() {
        if !wants(&demand.borrow_and_update()) {
            return;
        }
    }
}

/// The kernel's log, read to a certain record.
struct Log {
    file: AsyncFd<OwnedFd>,
    reader: Reader,
    facility: u32,
    last: Option<u64>,
    /// Records were overwritten before they were read.
    lost: bool,
}

impl Log {
    /// From its end on, or from the oldest record that there is.
    fn open(context: &Context, from_end: bool) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        let file = open(context.path("dev/kmsg"), flags, Mode::empty())?;
        let position = if from_end { SeekFrom::End(0) } else { SeekFrom::Start(0) };
        match seek(&file, position) {
            // What cannot be sought in has no past.
            Ok(_) | Err(Errno::SPIPE) => {}
            Err(error) => return Err(error.into()),
        }
        // Its replacement `register` is unsafe to call, for types whose descriptor may change under it. An `OwnedFd`
        // is not one of these.
        #[expect(deprecated)]
        let file = AsyncFd::new(file).map_err(|error| io::Error::other(format!("it cannot be waited for: {error}")))?;
        Ok(Self { file, reader: Reader::default(), facility: KERNEL, last: None, lost: false })
    }

    /// Reads until that fails.
    async fn follow(&mut self, context: &Context, cursor: &mut Cursor) -> io::Error {
        context.health.ok(SOURCE);
        let mut buffer = vec![0; BUFFER];
        let mut handled = 0_usize;
        loop {
            let mut ready = match self.file.readable().await {
                Ok(ready) => ready,
                Err(error) => return error,
            };
            let Ok(length) = ready.try_io(|file| Ok(read(file.get_ref(), &mut buffer[..])?)) else { continue };
            drop(ready);
            match length {
                Ok(0) => return io::Error::new(io::ErrorKind::UnexpectedEof, "it came to an end"),
                Ok(length) => {
                    let text = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default());
                    text.lines().filter_map(Record::parse).for_each(|record| self.take(context, cursor, &record));
                }
                // The next record is the oldest that is left.
                Err(error) if Errno::from_io_error(&error) == Some(Errno::PIPE) => self.lost = true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return error,
            }
            handled += 1;
            if handled.is_multiple_of(AT_ONCE) {
                task::yield_now().await;
            }
        }
    }

    fn take(&mut self, context: &Context, cursor: &mut Cursor, record: &Record<'_>) {
        let before = self.last.replace(record.sequence);
        if std::mem::take(&mut self.lost) {
            let missed = before.map_or(1, |before| record.sequence.saturating_sub(before + 1).max(1));
            context.health.dropped(SOURCE, missed);
        }
        let seen = cursor.last().is_some_and(|last| record.sequence <= last);
        let age = age(record.at);
        if seen || age > REPLAY || record.facility > self.facility {
            return;
        }
        let fault = self.reader.line(record.text);
        if fault.is_some() || cursor.last().is_none() {
            cursor.save(record.sequence);
        }
        if let Some(fault) = fault {
            publish(context, fault, record.text, age);
        }
    }
}

/// How long ago a record was written. The kernel's clock for records is not quite this one: what is new is of now.
fn age(at: Duration) -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    let now = Duration::from_secs(now.tv_sec.try_into().unwrap_or_default());
    let age = now.saturating_sub(at);
    if age < Duration::from_secs(2) { Duration::ZERO } else { age }
}

fn publish(context: &Context, fault: Fault, text: &str, age: Duration) {
    let Fault { name, mut subject, mut attributes } = fault;
    if name == REMOUNT
        && let Some(point) = mount::point(&context.root, &subject)
    {
        attributes.push(Attribute::new("system.filesystem.mountpoint", point.as_str()));
        subject = point;
    }
    let now = context.clock.now().wall.as_nanos();
    let at = now.saturating_sub(u64::try_from(age.as_nanos()).unwrap_or(u64::MAX));
    context.router.publish(Event {
        name: name.into(),
        subject,
        attributes,
        body: text.to_owned(),
        at: Timestamp::from_nanos(at),
        caused_by: None,
    });
}

#[cfg(test)]
mod tests;
