//! Timer units, over a connection of their own: what they tell does not mix with what is told of services.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use zbus::{DeserializeDict, MessageStream, Type, message};

use super::bus::{Bus, is_answer};
use super::name::{self, UNITS, Wanted};
use super::next;
use crate::clock::Timestamp;
use crate::service::ServiceError;

/// How a timer unit is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimerReading {
    /// `backup.timer`.
    pub unit: String,
    /// systemd's `ActiveState`: `active`, `inactive`, `failed`, ….
    pub active_state: String,
    /// The unit it starts.
    pub triggers: String,
    /// When it last fired.
    pub last: Option<Timestamp>,
    /// When it is to fire next, or was to.
    pub next: Option<Timestamp>,
    /// By how many microseconds systemd may be late on purpose (`AccuracySec=`).
    pub accuracy_usec: u64,
    /// systemd's `Result`: `success`, or why it failed.
    pub result: String,
}

/// The properties of the `Timer` interface that matter, in microseconds.
#[derive(Debug, Default, DeserializeDict, Type)]
#[zbus(signature = "a{sv}", rename_all = "PascalCase")]
struct Properties {
    unit: Option<String>,
    result: Option<String>,
    #[zbus(rename = "AccuracyUSec")]
    accuracy: Option<u64>,
    #[zbus(rename = "LastTriggerUSec")]
    last: Option<u64>,
    #[zbus(rename = "NextElapseUSecRealtime")]
    next_realtime: Option<u64>,
    #[zbus(rename = "NextElapseUSecMonotonic")]
    next_monotonic: Option<u64>,
}

impl Properties {
    /// What they mean at the moment when the wall clock says `wall` and the monotonic one `monotonic` microseconds.
    fn reading(self, unit: String, active_state: String, wall: Timestamp, monotonic: u64) -> TimerReading {
        // 0 is never, and so is the largest number: infinity.
        let some = |usec: Option<u64>| usec.filter(|usec| *usec != 0 && *usec != u64::MAX);
        let at = |usec: u64| Timestamp::from_nanos(usec.saturating_mul(1000));
        let monotonic = some(self.next_monotonic).map(|usec| {
            let offset = i128::from(usec) - i128::from(monotonic);
            let nanos = i128::from(wall.as_nanos()) + offset * 1000;
            Timestamp::from_nanos(nanos.clamp(0, u64::MAX.into()).try_into().unwrap_or(u64::MAX))
        });
        TimerReading {
            unit,
            active_state,
            triggers: self.unit.unwrap_or_default(),
            last: some(self.last).map(at),
            next: some(self.next_realtime).map(at).into_iter().chain(monotonic).min(),
            accuracy_usec: self.accuracy.unwrap_or_default(),
            result: self.result.unwrap_or_default(),
        }
    }
}

/// The timers of systemd.
#[derive(Debug)]
pub struct Timers {
    bus: Bus,
    changed: Arc<Notify>,
    pump: JoinHandle<()>,
}

impl Drop for Timers {
    fn drop(&mut self) {
        self.pump.abort();
    }
}

impl Timers {
    /// Connects.
    ///
    /// # Errors
    /// [`ServiceError::NoSystemd`] where there is none.
    pub async fn connect() -> Result<Self, ServiceError> {
        let bus = Bus::connect().await?;
        bus.subscribe().await.map_err(lost)?;
        // Of every timer, so that new ones of a pattern are seen, and of nothing but timers: they change seldom.
        let rule = format!(
            "type='signal',sender='org.freedesktop.systemd1',path_namespace='{UNITS}',\
             interface='org.freedesktop.DBus.Properties',member='PropertiesChanged',\
             arg0='org.freedesktop.systemd1.Timer'"
        );
        bus.matching("AddMatch", &rule).await.map_err(lost)?;
        let changed = Arc::new(Notify::new());
        let mut messages = MessageStream::from(bus.connection());
        let bell = changed.clone();
        // Signals are taken while an answer is waited for: the connection would stand still otherwise.
        let pump = tokio::spawn(async move {
            let mut said = BTreeMap::new();
            while let Some(Ok(message)) = next(&mut messages).await {
                let (header, body) = (message.header(), message.body());
                let is_changed = header.member().is_some_and(|member| member.as_str() == "PropertiesChanged");
                let Some(path) =
                    header.path().filter(|_| message.message_type() == message::Type::Signal && is_changed)
                else {
                    continue;
                };
                // A look at a unit that is down makes systemd load and announce it: that must not lead to the next look.
                let now: Option<(&str, Properties, Vec<&str>)> = body.deserialize().ok();
                let now = now.map(|(_, now, _)| (now.last, now.next_realtime, now.next_monotonic, now.result));
                if said.insert(path.as_str().to_owned(), now.clone()) != Some(now) {
                    bell.notify_one();
                }
            }
            bell.notify_one();
        });
        Ok(Self { bus, changed, pump })
    }

    /// Reads the timers that the names and patterns cover; those that do not exist are left out.
    ///
    /// # Errors
    /// When the connection is lost or systemd does not answer.
    pub async fn read(&self, names: &BTreeSet<String>) -> Result<Vec<TimerReading>, ServiceError> {
        let names = names.iter().map(|name| if name == "*" { "*.timer".to_owned() } else { name.clone() }).collect();
        let wanted = Wanted::new(&names);
        let exact: Vec<&str> = wanted.exact.iter().map(String::as_str).filter(|unit| is_timer(unit)).collect();
        let globs: Vec<&str> = wanted.globs.iter().map(String::as_str).collect();
        let mut units = self.bus.loaded(&exact, &globs).await.map_err(lost)?;
        units.retain(|unit, _| is_timer(unit));
        let mut readings = Vec::new();
        for (unit, active_state) in units {
            let properties: Properties = match self.bus.properties(&name::path(&unit), "Timer").await {
                Ok(properties) => properties,
                // It is gone by now.
                Err(error) if is_answer(&error) => continue,
                Err(error) => return Err(lost(error)),
            };
            let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            let wall = Timestamp::from_nanos(u64::try_from(wall.as_nanos()).unwrap_or(u64::MAX));
            let monotonic = clock_gettime(ClockId::Monotonic);
            let monotonic = u64::try_from(monotonic.tv_sec * 1_000_000 + monotonic.tv_nsec / 1000).unwrap_or(0);
            readings.push(properties.reading(unit, active_state, wall, monotonic));
        }
        Ok(readings)
    }

    /// Resolves when a timer may have changed, or the connection may be lost.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }
}

fn is_timer(unit: &str) -> bool {
    unit.ends_with(".timer")
}

fn lost(error: zbus::Error) -> ServiceError {
    ServiceError::NoSystemd(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_clocks_are_read_and_never_is_told_apart() {
        let wall = Timestamp::from_nanos(1_000_000_000_000);
        let read = |last, realtime, monotonic| {
            let properties = Properties {
                last: Some(last),
                next_realtime: Some(realtime),
                next_monotonic: Some(monotonic),
                ..Properties::default()
            };
            let reading = properties.reading("a.timer".into(), "active".into(), wall, 5_000_000);
            (reading.last.map(Timestamp::as_nanos), reading.next.map(Timestamp::as_nanos))
        };
        assert_eq!(read(0, 0, 0), (None, None));
        assert_eq!(read(0, u64::MAX, u64::MAX), (None, None));
        assert_eq!(read(7, 2_000_000_000, 0), (Some(7000), Some(2_000_000_000_000)));
        // Two seconds from now; a second ago.
        assert_eq!(read(0, 0, 7_000_000).1, Some(1_002_000_000_000));
        assert_eq!(read(0, 0, 4_000_000).1, Some(999_000_000_000));
        assert_eq!(read(0, 2_000_000_000, 7_000_000).1, Some(1_002_000_000_000), "whichever is first");
        assert_eq!(read(u64::MAX - 1, u64::MAX - 1, u64::MAX - 1), (Some(u64::MAX), Some(u64::MAX)));
    }
}
