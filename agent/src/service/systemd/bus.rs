//! systemd's side of D-Bus: the calls the agent makes, and what their errors mean.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use zbus::connection::Builder;
use zbus::message::Sequence;
use zbus::{Connection, DeserializeDict, DynamicType, Message, OwnedObjectPath, Type, as_variant};

use super::name;
use super::unit::{JobKind, Main, Reading, State};
use crate::service::ServiceError;

/// How long connecting to the system bus may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long systemd may take to answer a call. Calls only ask or enqueue: what they cause is waited for elsewhere.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

const SYSTEMD: &str = "org.freedesktop.systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const UNIT: &str = "org.freedesktop.systemd1.Unit";
const SERVICE: &str = "org.freedesktop.systemd1.Service";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// One unit in an answer of `ListUnitsByNames` or `ListUnitsByPatterns`: name, description, load state, active state,
/// sub state, unit it follows, object path; number, type and object path of its job.
type Listed = (String, String, String, String, String, String, OwnedObjectPath, u32, String, OwnedObjectPath);

/// The properties that matter, of the `Unit` and of the `Service` interface.
#[derive(Debug, DeserializeDict, Type)]
#[zbus(signature = "a{sv}", rename_all = "PascalCase")]
struct Properties {
    active_state: Option<String>,
    sub_state: Option<String>,
    job: Option<(u32, OwnedObjectPath)>,
    #[zbus(rename = "MainPID")]
    main_pid: Option<u32>,
    result: Option<String>,
    #[zbus(rename = "NRestarts")]
    restarts: Option<u32>,
    exec_main_code: Option<i32>,
    exec_main_status: Option<i32>,
}

/// What a unit needs, of the `Unit` interface. systemd sends no signal when one of these changes: that takes a reload.
#[derive(Debug, DeserializeDict, Type)]
#[zbus(signature = "a{sv}", rename_all = "PascalCase")]
struct Dependencies {
    requires: Option<Vec<String>>,
    binds_to: Option<Vec<String>>,
    part_of: Option<Vec<String>>,
    after: Option<Vec<String>>,
}

impl Dependencies {
    fn all(self) -> BTreeSet<String> {
        [self.requires, self.binds_to, self.part_of, self.after].into_iter().flatten().flatten().collect()
    }
}

/// What a `PropertiesChanged` signal tells.
#[derive(Debug)]
pub(super) enum Changed {
    /// The `Service` half.
    Main(Main),
    /// The `Unit` half, with the object path of the job.
    State(State, OwnedObjectPath),
}

impl Changed {
    /// Decodes a `PropertiesChanged` signal; `None` for interfaces and properties that do not matter.
    pub(super) fn decode(message: &Message) -> zbus::Result<Option<Self>> {
        let body = message.body();
        let (interface, now, _): (&str, Properties, Vec<&str>) = body.deserialize()?;
        Ok(match interface.strip_prefix(SYSTEMD) {
            Some(".Service") => now.main().map(Self::Main),
            Some(".Unit") => now.state().map(|(state, job)| Self::State(state, job)),
            _ => None,
        })
    }
}

impl Properties {
    fn main(self) -> Option<Main> {
        Some(Main {
            pid: self.main_pid?,
            result: self.result?,
            restarts: self.restarts?,
            code: self.exec_main_code?,
            status: self.exec_main_status?,
        })
    }

    fn state(self) -> Option<(State, OwnedObjectPath)> {
        let (job, path) = self.job?;
        Some((State { active: self.active_state?.parse().ok()?, sub: self.sub_state?, job }, path))
    }
}

/// A connection to the system bus, for talking to systemd.
#[derive(Debug, Clone)]
pub(super) struct Bus(Connection);

impl Bus {
    /// Connects, in at most [`CONNECT_TIMEOUT`].
    ///
    /// # Errors
    /// [`ServiceError::NoSystemd`] if the host was not booted with systemd or its bus cannot be reached.
    pub(super) async fn connect() -> Result<Self, ServiceError> {
        if !Self::is_possible() {
            return Err(ServiceError::NoSystemd("this host was not booted with systemd".to_owned()));
        }
        let connecting = Builder::system().method_timeout(CALL_TIMEOUT).build();
        match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(Ok(connection)) => Ok(Self(connection)),
            Ok(Err(error)) => Err(ServiceError::NoSystemd(format!("no system bus: {error}"))),
            Err(_) => Err(ServiceError::NoSystemd("the system bus does not answer".to_owned())),
        }
    }

    /// Whether this host was booted with systemd, as `sd_booted(3)` tells.
    pub(super) fn is_possible() -> bool {
        Path::new("/run/systemd/system").is_dir()
    }

    /// Closes the connection, for everybody who uses it.
    pub(super) async fn close(self) {
        if let Err(error) = self.0.close().await {
            tracing::debug!("closing the system bus: {error}");
        }
    }

    /// The connection itself, for streams of its messages.
    pub(super) fn connection(&self) -> &Connection {
        &self.0
    }

    /// Calls a method of systemd's manager.
    pub(super) async fn manager<B: Serialize + DynamicType>(&self, method: &str, body: &B) -> zbus::Result<Message> {
        self.0.call_method(Some(SYSTEMD), "/org/freedesktop/systemd1", Some(MANAGER), method, body).await
    }

    /// Has systemd send signals at all; returns its unique name on the bus.
    pub(super) async fn subscribe(&self) -> zbus::Result<Option<String>> {
        let reply = match self.manager("Subscribe", &()).await {
            // Being subscribed already is an error to systemd.
            Ok(reply) | Err(zbus::Error::MethodError(_, _, reply)) => reply,
            Err(error) => return Err(error),
        };
        Ok(reply.header().sender().map(|name| name.as_str().to_owned()))
    }

    /// Has the bus send (`AddMatch`) or no longer send (`RemoveMatch`) the signals that `rule` describes.
    pub(super) async fn matching(&self, method: &str, rule: &str) -> zbus::Result<()> {
        let name = "org.freedesktop.DBus";
        self.0.call_method(Some(name), "/org/freedesktop/DBus", Some(name), method, &rule).await?;
        Ok(())
    }

    async fn property<T: DeserializeOwned + Type>(&self, path: &str, interface: &str, name: &str) -> zbus::Result<T> {
        let reply = self.0.call_method(Some(SYSTEMD), path, Some(PROPERTIES), "Get", &(interface, name)).await?;
        let body = reply.body();
        Ok(body.deserialize::<as_variant::Deserialize<'_, T>>()?.0)
    }

    /// What the job at `path` does to its unit.
    pub(super) async fn job_kind(&self, path: &str) -> zbus::Result<JobKind> {
        let word: String = self.property(path, "org.freedesktop.systemd1.Job", "JobType").await?;
        Ok(JobKind::new(&word))
    }

    /// Looks at one unit, loading it if need be; `None` if no unit can have this name.
    pub(super) async fn read(&self, unit: &str) -> zbus::Result<Option<Reading>> {
        let path = name::path(unit);
        let names = (&[unit][..],);
        let listing = self.manager("ListUnitsByNames", &names);
        let (reply, main) = tokio::join!(listing, self.main(&path, unit.ends_with(".service")));
        let reply = reply?;
        let listed: Vec<Listed> = reply.body().deserialize()?;
        let main = main?;
        Ok(listed.into_iter().next().and_then(|listed| reading(listed, main, reply.recv_position())))
    }

    /// Looks at every loaded unit that matches one of `globs` and is `wanted`.
    pub(super) async fn list(&self, globs: &[String], wanted: &name::Wanted) -> zbus::Result<Vec<Reading>> {
        let no_states: &[&str] = &[];
        let reply = self.manager("ListUnitsByPatterns", &(no_states, globs)).await?;
        let listed: Vec<Listed> = reply.body().deserialize()?;
        let mut readings = Vec::new();
        for listed in listed.into_iter().filter(|listed| wanted.covers(&listed.0)) {
            match self.main(listed.6.as_str(), listed.0.ends_with(".service")).await {
                Ok(main) => readings.extend(reading(listed, main, reply.recv_position())),
                Err(error) if is_answer(&error) => tracing::warn!("{} cannot be read: {error}", listed.0),
                Err(error) => return Err(error),
            }
        }
        Ok(readings)
    }

    /// The loaded units that have one of these names or match one of these patterns, each with its `ActiveState`. A name is
    /// loaded if need be.
    pub(super) async fn loaded(&self, exact: &[&str], globs: &[&str]) -> zbus::Result<BTreeMap<String, String>> {
        let mut listed = Vec::new();
        if !exact.is_empty() {
            let reply = self.manager("ListUnitsByNames", &(exact,)).await?;
            listed.extend(reply.body().deserialize::<Vec<Listed>>()?);
        }
        if !globs.is_empty() {
            let no_states: &[&str] = &[];
            let reply = self.manager("ListUnitsByPatterns", &(no_states, globs)).await?;
            listed.extend(reply.body().deserialize::<Vec<Listed>>()?);
        }
        let found = listed.into_iter().filter(|listed| listed.2 != "not-found");
        Ok(found.map(|listed| (listed.0, listed.3)).collect())
    }

    /// All properties of an interface of systemd's (`Timer`) of the unit at `path`, of which `T` takes what it knows.
    pub(super) async fn properties<T: DeserializeOwned + Type>(&self, path: &str, interface: &str) -> zbus::Result<T> {
        let interface = format!("{SYSTEMD}.{interface}");
        let reply = self.0.call_method(Some(SYSTEMD), path, Some(PROPERTIES), "GetAll", &interface).await?;
        reply.body().deserialize()
    }

    /// What `unit` needs, in one call: all of the `Unit` half, which systemd has at hand.
    pub(super) async fn needs(&self, unit: &str) -> zbus::Result<BTreeSet<String>> {
        let path = name::path(unit);
        let reply = self.0.call_method(Some(SYSTEMD), path, Some(PROPERTIES), "GetAll", &UNIT).await?;
        Ok(reply.body().deserialize::<Dependencies>()?.all())
    }

    /// The `Service` half of a unit. One by one, because all of a service's properties are about three hundred, some
    /// of which systemd would have to collect from cgroup files.
    async fn main(&self, path: &str, is_service: bool) -> zbus::Result<Option<Main>> {
        if !is_service {
            return Ok(None);
        }
        let (pid, result, restarts, code, status) = tokio::try_join!(
            self.property(path, SERVICE, "MainPID"),
            self.property(path, SERVICE, "Result"),
            self.property(path, SERVICE, "NRestarts"),
            self.property(path, SERVICE, "ExecMainCode"),
            self.property(path, SERVICE, "ExecMainStatus"),
        )?;
        Ok(Some(Main { pid, result, restarts, code, status }))
    }
}

/// Whether `error` is an answer, rather than a sign that nobody answers.
pub(super) fn is_answer(error: &zbus::Error) -> bool {
    matches!(error, zbus::Error::MethodError(..) | zbus::Error::FDO(_))
}

fn reading(listed: Listed, main: Option<Main>, at: Sequence) -> Option<Reading> {
    let (unit, _, load, active, sub, _, _, job, kind, _) = listed;
    let active = active.parse().ok()?;
    Some(Reading {
        unit,
        load,
        state: State { active, sub, job },
        job: (job != 0).then(|| JobKind::new(&kind)),
        main: main.unwrap_or_else(|| Main::none(active)),
        at,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use zbus::Variant;

    use super::*;

    #[test]
    fn needs_are_found_among_all_properties() {
        let list = |names: &[&str]| Variant::from(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        let properties: HashMap<&str, Variant<'_>> = HashMap::from([
            ("Id", Variant::from("web.service")),
            ("Requires", list(&["db.service", "sysinit.target"])),
            ("BindsTo", list(&["data.mount"])),
            ("PartOf", list(&[])),
            ("After", list(&["db.service", "network.target"])),
            ("Wants", list(&["cache.service"])),
            ("Job", Variant::from((0_u32, "/"))),
        ]);
        let message = Message::method_call("/", "GetAll").build(&properties).unwrap();
        let needs = message.body().deserialize::<Dependencies>().unwrap().all();
        let expected = ["data.mount", "db.service", "network.target", "sysinit.target"];
        assert_eq!(needs.iter().collect::<Vec<_>>(), expected);
    }
}
