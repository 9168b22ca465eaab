//! What the Docker API tells of a container, as far as it matters: every field may be missing, and others are ignored,
//! because podman's answers differ from Docker's in the rest.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use super::ContainerError;

/// One container in `GET /containers/json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    pub(super) id: String,
}

/// `GET /containers/{name}/json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Inspected {
    id: String,
    name: String,
    #[serde(default)]
    restart_count: u32,
    state: InspectedState,
    #[serde(default)]
    config: Option<Config>,
    #[serde(default)]
    host_config: Option<HostConfig>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Config {
    image: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct HostConfig {
    restart_policy: Option<RestartPolicy>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct RestartPolicy {
    name: String,
    maximum_retry_count: u32,
}

impl RestartPolicy {
    /// As it is written on a command line: `always`, `on-failure:3`; none where it never restarts anything.
    fn words(self) -> Option<String> {
        match (self.name.as_str(), self.maximum_retry_count) {
            ("" | "no", _) => None,
            (_, 0) => Some(self.name),
            (name, retries) => Some(format!("{name}:{retries}")),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct InspectedState {
    status: String,
    running: bool,
    #[serde(rename = "OOMKilled")]
    oom_killed: bool,
    pid: u32,
    exit_code: i64,
    finished_at: String,
    health: Option<Health>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Health {
    status: String,
}

/// A container and how it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Without the `/` that the API puts before it.
    pub name: String,
    /// The image as it was named when the container was made.
    pub image: String,
    /// How it is.
    pub status: Status,
}

/// How a container is at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// `created`, `running`, `paused`, `restarting`, `removing`, `exited` or `dead`.
    pub word: String,
    /// Whether its main process runs (a paused one's does).
    pub running: bool,
    /// The main process, while there is one.
    pub pid: Option<u32>,
    /// The exit code of the last run, if one is over.
    pub exit_code: Option<i64>,
    /// Whether the last run ended for want of memory.
    pub oom_killed: bool,
    /// `starting`, `healthy` or `unhealthy`; none without a health check.
    pub health: Option<String>,
    /// How often its restart policy has started it again.
    pub restarts: u32,
    /// That policy, if it ever starts it again: `always`, `unless-stopped`, `on-failure`, `on-failure:3`.
    pub restart_policy: Option<String>,
    /// When the last run ended, in the words of the API; empty if none has.
    pub finished_at: String,
}

impl std::fmt::Display for Status {
    /// `exited(1) (pid none)`, `running (pid 123)`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.word)?;
        if let Some(code) = self.exit_code.filter(|_| !self.running) {
            write!(f, "({code})")?;
        }
        match self.pid {
            Some(pid) => write!(f, " (pid {pid})"),
            None => f.write_str(" (pid none)"),
        }
    }
}

impl From<Inspected> for Container {
    fn from(raw: Inspected) -> Self {
        let InspectedState { status, running, oom_killed, pid, exit_code, finished_at, health } = raw.state;
        // The year 1 is Go's zero time.
        let finished_at = if finished_at.starts_with("0001-") { String::new() } else { finished_at };
        let status = Status {
            word: status,
            running,
            pid: Some(pid).filter(|pid| *pid != 0),
            exit_code: Some(exit_code).filter(|_| !finished_at.is_empty()),
            oom_killed,
            health: health.map(|health| health.status).filter(|status| !status.is_empty() && status != "none"),
            restarts: raw.restart_count,
            restart_policy: raw.host_config.and_then(|host| host.restart_policy).and_then(RestartPolicy::words),
            finished_at,
        };
        let name = raw.name.strip_prefix('/').unwrap_or(&raw.name).to_owned();
        Self { id: raw.id, name, image: raw.config.unwrap_or_default().image, status }
    }
}

/// `GET /containers/{id}/stats`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Stats {
    #[serde(default)]
    cpu_stats: CpuStats,
    #[serde(default)]
    memory_stats: MemoryStats,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
struct CpuStats {
    #[serde(deserialize_with = "or_default")]
    cpu_usage: CpuUsage,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
struct CpuUsage {
    total_usage: Option<u64>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
struct MemoryStats {
    usage: Option<u64>,
    limit: Option<u64>,
    #[serde(deserialize_with = "or_default")]
    stats: BTreeMap<String, serde_json::Value>,
}

/// `null`, which Go writes for an empty map, is nothing.
fn or_default<'de, T: Default + Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

impl Stats {
    /// CPU time of all its processes since it was started, in nanoseconds.
    pub fn cpu_nanos(&self) -> Option<u64> {
        self.cpu_stats.cpu_usage.total_usage
    }

    /// Bytes in use, without the page cache that can be had back at once: what `docker stats` shows (docker/cli,
    /// `calculateMemUsageUnixNoCache`: usage less `total_inactive_file` under cgroup v1, less `inactive_file` under v2).
    pub fn memory(&self) -> Option<u64> {
        let usage = self.memory_stats.usage?;
        let cache = ["total_inactive_file", "inactive_file"]
            .into_iter()
            .find_map(|key| self.memory_stats.stats.get(key)?.as_u64())
            .filter(|cache| *cache < usage);
        Some(usage - cache.unwrap_or(0))
    }

    /// The most it may use, in bytes; that of the host where it has no limit of its own.
    pub fn memory_limit(&self) -> Option<u64> {
        self.memory_stats.limit.filter(|limit| *limit > 0)
    }
}

/// Something that happened to a container: one line of `GET /events`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happening {
    /// `start`, `die`, `oom`, `kill`, `stop`, `health_status`, `destroy`, …; podman's `remove` and `died` as Docker names
    /// them.
    pub action: String,
    /// Of which container.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its image.
    pub image: String,
    /// The exit code, for `die`.
    pub exit_code: Option<i64>,
    /// The signal's number or name, for `kill`.
    pub signal: Option<String>,
}

#[derive(Debug, Deserialize)]
struct RawHappening {
    #[serde(rename = "Type", default)]
    kind: String,
    #[serde(rename = "Action", alias = "status")]
    action: String,
    #[serde(rename = "Actor")]
    actor: Actor,
}

#[derive(Debug, Deserialize)]
struct Actor {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Attributes", default, deserialize_with = "or_default")]
    attributes: BTreeMap<String, String>,
}

impl Happening {
    /// Reads a line; none if it is not about a container.
    ///
    /// # Errors
    /// [`ContainerError::Garbage`] if it is no event.
    pub(super) fn parse(line: &[u8]) -> Result<Option<Self>, ContainerError> {
        // A newer Docker leaves out `status`, and an older one has both, so the two are read one by one.
        let mut json: serde_json::Value =
            serde_json::from_slice(line).map_err(|error| ContainerError::Garbage(error.to_string()))?;
        if let Some(object) = json.as_object_mut().filter(|object| object.contains_key("Action")) {
            object.remove("status");
        }
        let raw: RawHappening =
            serde_json::from_value(json).map_err(|error| ContainerError::Garbage(error.to_string()))?;
        if raw.kind != "container" {
            return Ok(None);
        }
        let mut attributes = raw.actor.attributes;
        let mut take = |key: &str| attributes.remove(key);
        // `health_status: unhealthy`.
        let action = raw.action.split(':').next().unwrap_or_default().trim();
        let action = match action {
            "died" => "die",
            "remove" => "destroy",
            other => other,
        };
        Ok(Some(Self {
            action: action.to_owned(),
            id: raw.actor.id,
            name: take("name").unwrap_or_default(),
            image: take("image").unwrap_or_default(),
            exit_code: ["exitCode", "containerExitCode"].into_iter().find_map(|key| take(key)?.parse().ok()),
            signal: take("signal"),
        }))
    }

    /// Whether somebody wants the container to end: `docker stop` and `docker kill` send a signal first. Those that are
    /// sent for other reasons are not meant so.
    pub fn asks_to_stop(&self) -> bool {
        const OTHER: [&str; 10] = ["1", "10", "12", "18", "28", "HUP", "USR1", "USR2", "CONT", "WINCH"];
        let signal = self.signal.as_deref().map(|signal| signal.strip_prefix("SIG").unwrap_or(signal));
        self.action == "stop" || (self.action == "kill" && signal.is_none_or(|signal| !OTHER.contains(&signal)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PODMAN: &str = r#"{"status":"die","id":"4e1d","from":"localhost/web:latest","Type":"container","Action":"die",
        "Actor":{"ID":"4e1d","Attributes":{"containerExitCode":"137","exitCode":"137","image":"localhost/web:latest",
        "name":"web","podId":""}},"scope":"local","time":1795279061,"timeNano":1795279061735551921}"#;

    #[test]
    fn happenings_of_docker_and_of_podman_read_alike() {
        let died = Happening::parse(PODMAN.as_bytes()).unwrap().unwrap();
        assert_eq!((died.action.as_str(), died.name.as_str(), died.exit_code), ("die", "web", Some(137)));
        assert_eq!(died.image, "localhost/web:latest");
        for (line, action) in [
            (
                r#"{"Type":"container","Action":"health_status: unhealthy","Actor":{"ID":"a","Attributes":null}}"#,
                "health_status",
            ),
            (r#"{"Type":"container","Action":"remove","Actor":{"ID":"a"}}"#, "destroy"),
            (r#"{"Type":"container","status":"died","Actor":{"ID":"a"}}"#, "die"),
        ] {
            assert_eq!(Happening::parse(line.as_bytes()).unwrap().unwrap().action, action, "{line}");
        }
        assert_eq!(Happening::parse(br#"{"Type":"image","Action":"pull","Actor":{"ID":"x"}}"#).unwrap(), None);
        for garbage in
            ["", "{", "[]", "null", r#"{"Type":"container"}"#, r#"{"Type":7,"Action":"die","Actor":{"ID":"a"}}"#]
        {
            assert!(Happening::parse(garbage.as_bytes()).is_err(), "{garbage}");
        }
    }

    #[test]
    fn a_signal_that_asks_for_the_end_is_told_from_others() {
        let kill = |signal: Option<&str>| {
            let base = Happening::parse(PODMAN.as_bytes()).unwrap().unwrap();
            Happening { action: "kill".into(), signal: signal.map(Into::into), ..base }.asks_to_stop()
        };
        assert!(kill(Some("15")) && kill(Some("SIGKILL")) && kill(None));
        assert!(!kill(Some("1")) && !kill(Some("SIGHUP")));
    }

    #[test]
    fn an_inspection_is_read_whatever_else_is_in_it() {
        let read = |text: &str| serde_json::from_str::<Inspected>(text).map(Container::from);
        let exited = r#"{"Id":"4e1d","Name":"/web","RestartCount":2,"Config":{"Image":"web:1"},"State":{"Status":"exited",
            "Running":false,"OOMKilled":true,"Pid":0,"ExitCode":137,"FinishedAt":"2026-11-21T16:37:41Z",
            "Health":{"Status":"unhealthy","Log":null}},"Mounts":[],
            "HostConfig":{"RestartPolicy":{"Name":"on-failure","MaximumRetryCount":3}}}"#;
        let container = read(exited).unwrap();
        assert_eq!((container.name.as_str(), container.image.as_str()), ("web", "web:1"));
        assert_eq!(container.status.to_string(), "exited(137) (pid none)");
        assert_eq!(container.status.health.as_deref(), Some("unhealthy"));
        assert_eq!(container.status.restart_policy.as_deref(), Some("on-failure:3"));
        let running = r#"{"Id":"a","Name":"a","State":{"Status":"running","Running":true,"Pid":12,
            "FinishedAt":"0001-01-01T00:00:00Z","Health":{"Status":""}}}"#;
        let container = read(running).unwrap();
        assert_eq!(container.status.to_string(), "running (pid 12)");
        assert_eq!((container.status.exit_code, container.status.health), (None, None));
        assert!(read(r#"{"Id":"a","Name":"a","State":"running"}"#).is_err());
        for (policy, expected) in [
            (r#"{"Name":"always","MaximumRetryCount":0}"#, Some("always")),
            (r#"{"Name":"no"}"#, None),
            (r#"{"Name":""}"#, None),
            ("null", None),
        ] {
            let text = format!(r#"{{"Id":"a","Name":"a","State":{{}},"HostConfig":{{"RestartPolicy":{policy}}}}}"#);
            assert_eq!(read(&text).unwrap().status.restart_policy.as_deref(), expected, "{policy}");
        }
    }

    #[test]
    fn memory_is_what_docker_shows_and_what_is_missing_is_absent() {
        let read = |text: &str| serde_json::from_str::<Stats>(text).unwrap();
        let v2 = read(
            r#"{"memory_stats":{"usage":1000,"limit":4000,"stats":{"inactive_file":300}},"cpu_stats":{"cpu_usage":{"total_usage":7}}}"#,
        );
        assert_eq!((v2.memory(), v2.memory_limit(), v2.cpu_nanos()), (Some(700), Some(4000), Some(7)));
        let v1 = read(r#"{"memory_stats":{"usage":1000,"stats":{"inactive_file":300,"total_inactive_file":400}}}"#);
        assert_eq!(v1.memory(), Some(600));
        let absurd = read(r#"{"memory_stats":{"usage":10,"stats":{"inactive_file":300}}}"#);
        assert_eq!(absurd.memory(), Some(10));
        // Of one that has just ended.
        let none = read(r#"{"memory_stats":{},"cpu_stats":{"cpu_usage":null}}"#);
        assert_eq!((none.memory(), none.memory_limit(), none.cpu_nanos()), (None, None, None));
        let null = read(r#"{"memory_stats":{"stats":null}}"#);
        assert_eq!(null.memory(), None);
    }
}
