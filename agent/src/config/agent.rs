use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;

use super::maintenance::Window;
use super::requires::{self, Requires};
use super::{
    Breaker, ConfigError, EndpointSpec, HostRules, ProbeSpec, Supervision, TrustRules, Upgrade, WatchedFile, command,
    containers, files, limits, metrics, probe, raw, supervision, trust, upgrade,
};
use crate::notify::Channel;
use crate::plugin::Limits;
use crate::service::command::CommandSpec;
use crate::signal::Keep;
use crate::signal::collector::log::LogSpec;

/// The shortest collection interval: the kernel counts CPU time in ticks of 10 ms, so a shorter one says little.
const MIN_INTERVAL: Duration = Duration::from_millis(200);

/// How long a service's start command may take, unless it says otherwise: systemd's `DefaultTimeoutStartSec`.
const START_TIMEOUT: Duration = Duration::from_secs(90);
/// How long a service may take to end on SIGTERM, unless it says otherwise.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// `salve.toml`, checked, with its paths made absolute.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Watched for `*.wasm`.
    pub plugins: PathBuf,
    /// Watched for `*.toml`.
    pub policies: PathBuf,
    /// Ledger and everything else that lasts.
    pub state: PathBuf,
    /// The program that compiles plugins; none means where it is installed.
    pub compiler: Option<PathBuf>,
    /// What all policies share.
    pub host: HostRules,
    /// How often metrics are read.
    pub interval: Duration,
    /// How much of the metrics is kept.
    pub history: Keep,
    /// Services under the `command` manager.
    pub services: BTreeMap<String, CommandSpec>,
    /// What `command.run` can run, by name.
    pub commands: BTreeMap<String, command::CommandSpec>,
    /// Where the Docker API may be, in the order to try.
    pub containers: Vec<PathBuf>,
    /// Files that are watched, by name.
    pub files: BTreeMap<String, WatchedFile>,
    /// Ways to tell people.
    pub notify: BTreeMap<String, Channel>,
    /// What is asked, from outside, whether it works.
    pub probes: BTreeMap<String, ProbeSpec>,
    /// Endpoints that tell metrics.
    pub metrics: BTreeMap<String, EndpointSpec>,
    /// Logs, by name.
    pub logs: BTreeMap<String, LogSpec>,
    /// Where the API listens.
    pub socket: PathBuf,
    /// How much the ledger keeps.
    pub ledger: LedgerSettings,
    /// What no plugin gets more of.
    pub limits: Limits,
    /// What becomes of a plugin that fails.
    pub supervision: Supervision,
    /// How a new version of a plugin takes over.
    pub upgrade: Upgrade,
    /// Which plugins may run at all.
    pub trust: TrustRules,
}

/// `[ledger]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LedgerSettings {
    /// How long resolved incidents are kept.
    pub keep: Duration,
    /// How many incidents are kept; open ones are, however many there are.
    pub max_incidents: u64,
    /// Bytes kept back for a full disk; none if 0.
    pub reserve: u64,
}

impl Settings {
    /// Reads the file. One that is not there is an error: an agent that quietly ran without its services and policies would
    /// look healthy.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(file)
            .map_err(|error| ConfigError::file(file, format!("cannot be read: {error}; name another with --config")))?;
        Self::parse(file, &text)
    }

    /// Reads its text; relative paths are relative to the file.
    pub fn parse(file: &Path, text: &str) -> Result<Self, ConfigError> {
        let mut raw: raw::Agent = toml::from_str(text).map_err(|error| ConfigError::toml(file, text, &error))?;
        let base = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        let base = base.parent().unwrap_or(Path::new("/"));
        if raw.collect.interval < MIN_INTERVAL {
            return Err(ConfigError::file(file, "[collect] interval must be at least 200ms"));
        }
        let mut services = BTreeMap::new();
        let mut requires = Requires::new();
        for (name, service) in raw.services {
            requires.insert(name.clone(), service.get_ref().requires.clone());
            services.insert(name.clone(), command_spec(file, text, base, &name, service)?);
        }
        let mut commands = BTreeMap::new();
        for (name, entry) in raw.commands {
            commands.insert(name.clone(), command::check(file, text, base, &name, entry)?);
        }
        let mut watched = BTreeMap::new();
        for (name, entry) in raw.files {
            watched.insert(name, files::check(base, entry).map_err(|flaw| flaw.within(file, text))?);
        }
        requires::check(&requires).map_err(|flaw| flaw.within(file, text))?;
        let compiler = raw.agent.compiler.as_ref().map(|program| base.join(program));
        let limits = limits::of_agent(std::mem::take(&mut raw.agent.limits)).map_err(|flaw| flaw.within(file, text))?;
        let supervision =
            supervision::read(std::mem::take(&mut raw.agent.supervision)).map_err(|flaw| flaw.within(file, text))?;
        let upgrade = upgrade::read(&raw.agent.upgrade);
        let trust = trust::check(base, std::mem::take(&mut raw.agent.trust)).map_err(|flaw| flaw.within(file, text))?;
        let mut host = host_rules(raw.agent);
        for (name, window) in raw.maintenance {
            host.maintenance.push(Window::read(&name, window).map_err(|flaw| flaw.within(file, text))?);
        }
        let mut notify = BTreeMap::new();
        for (name, raw) in raw.notify {
            notify.insert(name.clone(), super::notify::check(file, text, base, &name, raw)?);
        }
        let mut probes = BTreeMap::new();
        for (name, raw) in raw.probes {
            probes.insert(name.clone(), probe::check(&name, raw, base).map_err(|flaw| flaw.within(file, text))?);
        }
        let mut endpoints = BTreeMap::new();
        for (name, raw) in raw.metrics {
            endpoints.insert(name.clone(), metrics::check(&name, raw, base).map_err(|flaw| flaw.within(file, text))?);
        }
        let mut logs = BTreeMap::new();
        for (name, raw) in raw.logs {
            logs.insert(name.clone(), super::log::check(&name, raw).map_err(|flaw| flaw.within(file, text))?);
        }
        Ok(Self {
            plugins: base.join(raw.plugins),
            policies: base.join(raw.policies),
            state: base.join(raw.state),
            compiler,
            host,
            interval: raw.collect.interval,
            history: Keep {
                budget: usize::try_from(raw.collect.history).unwrap_or(usize::MAX),
                full: raw.collect.history_full,
                minutes: raw.collect.history_minutes,
            },
            services,
            commands,
            containers: containers::sockets(base, raw.containers),
            files: watched,
            notify,
            probes,
            metrics: endpoints,
            logs,
            socket: base.join(raw.api.socket),
            ledger: LedgerSettings {
                keep: raw.ledger.keep,
                max_incidents: raw.ledger.max_incidents,
                reserve: raw.ledger.reserve,
            },
            limits,
            supervision,
            upgrade,
            trust,
        })
    }
}

fn host_rules(raw: raw::AgentTable) -> HostRules {
    let default = HostRules::default();
    HostRules {
        ceiling: raw.mode,
        budget: raw.budget,
        budget_per_target: raw.budget_per_target,
        max_plans: raw.max_plans.unwrap_or(default.max_plans),
        breaker: Breaker {
            incidents: raw.breaker.incidents.unwrap_or(default.breaker.incidents),
            actions: raw.breaker.actions.unwrap_or(default.breaker.actions),
            within: raw.breaker.within.unwrap_or(default.breaker.within),
        },
        reboots: raw.max_reboots.unwrap_or(default.reboots),
        maintenance: Vec::new(),
    }
}

fn command_spec(
    file: &Path,
    text: &str,
    base: &Path,
    name: &str,
    service: Spanned<raw::Service>,
) -> Result<CommandSpec, ConfigError> {
    let span = service.span();
    let raw = service.into_inner();
    if name.contains('/') || name.is_empty() || name.starts_with('.') {
        let message = format!("`{name}` cannot name a service: it also names files in the state directory");
        return Err(ConfigError::at(file, text, Some(span), message));
    }
    if name.ends_with(".service") {
        let message = format!("`{name}` looks like a systemd unit; units need no entry, other names have no suffix");
        return Err(ConfigError::at(file, text, Some(span), message));
    }
    let argv = |command: Spanned<Vec<String>>| {
        let span = command.span();
        let argv = command.into_inner();
        if argv.first().is_none_or(String::is_empty) {
            let message = "a command is a list of a program and its arguments, for example [\"sleep\", \"60\"]";
            return Err(ConfigError::at(file, text, Some(span), message));
        }
        Ok(argv)
    };
    Ok(CommandSpec {
        start: argv(raw.start)?,
        stop: raw.stop.map(argv).transpose()?,
        reload: raw.reload.map(argv).transpose()?,
        status: raw.status.map(argv).transpose()?,
        pidfile: raw.pidfile.map(|path| base.join(path)),
        autostart: raw.autostart,
        start_timeout: raw.start_timeout.unwrap_or(START_TIMEOUT),
        stop_timeout: raw.stop_timeout.unwrap_or(STOP_TIMEOUT),
        directory: raw.directory.map(|path| base.join(path)),
        environment: raw.environment,
        output: raw.output.map(|path| base.join(path)),
        requires: raw.requires.into_iter().map(Spanned::into_inner).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Budget, Mode};

    fn parse(text: &str) -> Result<Settings, String> {
        Settings::parse(Path::new("/etc/salve/salve.toml"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn an_empty_file_is_the_default_and_paths_are_relative_to_the_file() {
        let settings = parse("").unwrap();
        assert_eq!(settings.policies, Path::new("/etc/salve/policies.d"));
        assert_eq!(settings.socket, Path::new("/run/salve/salve.sock"));
        assert_eq!(settings.host, HostRules::default());
        let day = Duration::from_secs(24 * 3600);
        assert_eq!(settings.ledger, LedgerSettings { keep: 400 * day, max_incidents: 1_000_000, reserve: 4 << 20 });
        let settings = parse("[ledger]\nkeep = \"30d\"\nmax-incidents = 5\nreserve = \"64KiB\"\n").unwrap();
        assert_eq!(settings.ledger, LedgerSettings { keep: 30 * day, max_incidents: 5, reserve: 64 << 10 });
        let settings = parse("plugins = \"plugins\"\n[services.demo]\nmanager = \"command\"\nstart = [\"sleep\", \"9\"]\noutput = \"log\"\n").unwrap();
        assert_eq!(settings.plugins, Path::new("/etc/salve/plugins"));
        assert_eq!(settings.services["demo"].output.as_deref(), Some(Path::new("/etc/salve/log")));
    }

    #[test]
    fn the_limits_of_the_host_are_read() {
        let settings = parse(
            r#"
            [agent]
            mode = "approve"
            budget = "20/1h"
            budget-per-target = "3/10m"
            max-plans = 2
            breaker = { incidents = 7, within = "5m" }
            max-reboots = "1/1d"
            [maintenance.a]
            from = "02:00"
            to = "04:00"
            [maintenance.b]
            start = 2026-01-01T00:00:00Z
            end = 2026-01-02T00:00:00Z
            "#,
        )
        .unwrap();
        let budget = |count, secs| Budget { count, per: Duration::from_secs(secs) };
        let HostRules { ceiling, budget: all, budget_per_target, max_plans, breaker, reboots, maintenance } =
            settings.host;
        assert_eq!((ceiling, all, budget_per_target), (Mode::Approve, Some(budget(20, 3600)), Some(budget(3, 600))));
        assert_eq!((max_plans, reboots), (2, budget(1, 86400)));
        let default = Breaker::default();
        assert_eq!(breaker, Breaker { incidents: 7, within: Duration::from_secs(300), ..default });
        assert_eq!(maintenance.iter().map(|window| window.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn limits_of_plugins_are_raised_and_lowered_and_strikes_counted() {
        let settings = parse("").unwrap();
        assert_eq!((settings.limits, settings.supervision), (Limits::default(), Supervision::default()));
        let settings = parse(
            r#"
            [agent.limits]
            call-cpu = "250ms"
            memory = "64MiB"
            findings = 10
            [agent.supervision]
            strikes = "3/1m"
            backoff = { initial = "100ms" }
            "#,
        )
        .unwrap();
        let expected =
            Limits { call_cpu: Duration::from_millis(250), memory: 64 << 20, findings: 10, ..Limits::default() };
        assert_eq!(settings.limits, expected);
        assert_eq!(settings.supervision.strikes, Budget { count: 3, per: Duration::from_secs(60) });
        assert_eq!(settings.supervision.backoff.initial, Duration::from_millis(100));
    }

    /// `[services]` of which each needs what is listed.
    fn services(requires: &[(&str, &str)]) -> String {
        let entry = |(name, list): &(&str, &str)| {
            format!("[services.{name}]\nmanager = \"command\"\nstart = [\"x\"]\nrequires = [{list}]\n")
        };
        requires.iter().map(entry).collect()
    }

    #[test]
    fn services_may_need_each_other_and_units_but_not_themselves() {
        let text = services(&[("a", "'b', 'c', 'postgresql.service', 'net.target'"), ("b", "'c'"), ("c", "")]);
        let settings = parse(&text).unwrap();
        let expected = ["b", "c", "net.target", "postgresql.service"];
        assert_eq!(settings.services["a"].requires.iter().collect::<Vec<_>>(), expected);
        for (entries, expected) in [
            (
                &[("a", "'b'"), ("b", "'c'"), ("c", "'b'")][..],
                "12:13: services that need each other can never start: b -> c -> b",
            ),
            (&[("a", "'a'")], "4:13: services that need each other can never start: a -> a"),
            (&[("a", "'x.service', 'db'")], "4:26: `db` is no service: add [services.db], or"),
            (&[("a", "'db.v2'")], "4:13: `db.v2` is no service"),
            (&[("a", "'.service'")], "4:13: `.service` is no service"),
        ] {
            let error = parse(&services(entries)).unwrap_err();
            assert!(error.contains(expected), "{error}\n  not  {expected}");
        }
    }

    #[test]
    fn errors_name_file_line_and_remedy() {
        let cases = [
            ("plugin = \"x\"", "salve.toml:1:1: unknown key `plugin`; did you mean `plugins`?"),
            ("[agent]\nmode = \"yolo\"", "salve.toml:2:8: unknown variant `yolo`"),
            ("[agent]\nmax-plans = 0", "salve.toml:2:13: 0 is out of range"),
            ("[agent]\nbudget = \"many\"", "salve.toml:2:10: `many` is not a budget such as \"5/10m\""),
            ("[agent]\nmax-reboots = \"1/0s\"", "salve.toml:2:15: `1/0s` is not a budget"),
            ("[agent]\nbreaker = { actions = 0 }", "salve.toml:2:23: 0 is out of range"),
            ("[agent]\nbreaker = { within = \"0s\" }", "salve.toml:2:22: this duration must be more than zero"),
            ("[agent]\nbreaker = { incident = 1 }", "unknown key `incident`; did you mean `incidents`?"),
            ("[agent.limits]\nmemori = 1", "salve.toml:2:1: unknown key `memori`; did you mean `memory`?"),
            ("[agent.limits]\nmemory = 1", "salve.toml:2:10: `memory` is a size, for example \"32MiB\""),
            (
                "[agent.limits]\nmemory = \"2GiB\"",
                "salve.toml:2:10: `memory` is out of range: write a value from 64KiB to 1GiB",
            ),
            (
                "[agent.limits]\ncall-cpu = \"1ms\"",
                "salve.toml:2:12: `call-cpu` is out of range: write a value from 20ms",
            ),
            ("[agent.limits]\nfindings = -1", "salve.toml:2:12: -1 is out of range: write a whole number from 1"),
            ("[agent.limits]\nfindings = \"1\"", "salve.toml:2:12: `findings` is a whole number, for example 256"),
            ("[agent.supervision]\nstrikes = \"5\"", "salve.toml:2:11: `5` is not a budget such as"),
            ("[agent.supervision]\nbackoff = { factor = 0 }", "salve.toml:2:11: backoff.factor"),
            ("[ledger]\nreserve = \"much\"", "salve.toml:2:11: `much` is not a size such as"),
            ("[collect]\ninterval = \"1ms\"", "at least 200ms"),
            ("[collect]\nhistory = \"much\"", "salve.toml:2:11: `much` is not a size such as"),
            ("[collect]\nhistory-full = 60", "salve.toml:2:16: invalid type: integer `60`"),
            ("[services.demo]\nmanager = \"command\"\nstart = []", "salve.toml:3:9: a command is a list"),
            ("[services.\"a/b\"]\nmanager = \"command\"\nstart = [\"x\"]", "cannot name a service"),
            ("[services.\"a.service\"]\nmanager = \"command\"\nstart = [\"x\"]", "units need no entry"),
            ("[services.demo]\nstart = [\"x\"]", "missing field `manager`"),
        ];
        for (text, expected) in cases {
            let error = parse(text).unwrap_err();
            assert!(error.contains(expected), "{text:?}\n  gave {error}\n  not  {expected}");
        }
    }
}
