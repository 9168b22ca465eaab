use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use toml::de::{DeTable, DeValue};

use super::raw;
use super::{Access, ConfigError, Mode, Pattern, Rules, guard, limits};
use crate::action::Collect;
use crate::plugin::Limits;

/// The operator's decision on one use of a plugin.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The file's stem.
    pub name: Arc<str>,
    /// The file; none for the policy that a plugin without one runs under.
    pub file: Option<PathBuf>,
    /// The stem of the plugin's file.
    pub plugin: String,
    /// The only content the plugin's file may have, in lower-case hexadecimal.
    pub sha256: Option<String>,
    /// What the plugin is configured with.
    pub config: serde_json::Value,
    /// What it may look at.
    pub access: Access,
    /// What it may do.
    pub rules: Arc<Rules>,
    /// What it gets of the host at most.
    pub limits: Limits,
    /// SHA-256 of the file.
    pub digest: String,
    text: String,
}

impl Policy {
    /// Reads a policy's text, for an agent with the usual limits; `file` names it in errors and gives it its name.
    pub fn parse(file: &Path, text: &str) -> Result<Self, ConfigError> {
        Self::parse_under(&Limits::default(), file, text)
    }

    /// The same for an agent that allows its plugins so much.
    pub fn parse_under(agent: &Limits, file: &Path, text: &str) -> Result<Self, ConfigError> {
        let raw: raw::Policy = toml::from_str(text).map_err(|error| ConfigError::toml(file, text, &error))?;
        let at = |span, message: String| ConfigError::at(file, text, Some(span), message);
        let name = file.file_stem().unwrap_or_default().to_string_lossy();

        let plugin = raw.plugin.get_ref().clone();
        if plugin.is_empty() || plugin.contains('/') || plugin.ends_with(".wasm") {
            let message =
                format!("`{plugin}` is not a plugin's name: write its file's name without directory and `.wasm`");
            return Err(at(raw.plugin.span(), message));
        }
        if let Some(pin) = raw.sha256.as_ref().filter(|pin| !is_sha256(pin.get_ref())) {
            return Err(at(pin.span(), "sha256 must be 64 hexadecimal digits (see `sha256sum FILE`)".to_owned()));
        }
        let mut grant = Vec::new();
        for line in &raw.grant.actions {
            grant.push(Pattern::parse(line.get_ref()).map_err(|error| at(line.span(), error.to_string()))?);
        }
        let access = Access::read(&raw.grant.read).map_err(|(span, message)| at(span, message))?;
        let mut collect: Vec<Collect> = Vec::new();
        for entry in &raw.collect {
            collect.push(entry.get_ref().parse().map_err(|error| at(entry.span(), format!("{error}")))?);
        }
        let default = Rules::default();
        let rules = Rules {
            mode: raw.mode,
            collect,
            collect_timeout: raw.guard.collect_timeout.unwrap_or(Rules::default().collect_timeout),
            grant,
            explains: raw.grant.explains,
            unattended: raw.grant.unattended,
            priority: raw.priority.unwrap_or(default.priority),
            attempts: raw.guard.attempts.unwrap_or(default.attempts),
            cooldown: raw.guard.cooldown.unwrap_or(default.cooldown),
            backoff: guard::backoff(raw.guard.backoff).map_err(|flaw| flaw.within(file, text))?,
            budget: raw.guard.budget,
            budget_per_target: raw.guard.budget_per_target,
            retry_escalated: raw.guard.retry_escalated.unwrap_or(default.retry_escalated),
            approval_ttl: raw.guard.approval_ttl.unwrap_or(default.approval_ttl),
            flapping: guard::flapping(raw.guard.flapping).map_err(|flaw| flaw.within(file, text))?,
            unrecorded: raw.guard.unrecorded,
        };
        let limits = limits::of_policy(raw.limits, agent).map_err(|flaw| flaw.within(file, text))?;
        let config = serde_json::to_value(&raw.config)
            .map_err(|error| ConfigError::file(file, format!("[config] cannot be handed to a plugin: {error}")))?;
        Ok(Self {
            name: name.into(),
            file: Some(file.to_owned()),
            plugin,
            sha256: raw.sha256.map(|pin| pin.into_inner().to_ascii_lowercase()),
            config,
            access,
            rules: Arc::new(rules),
            limits,
            digest: hex(&Sha256::digest(text)),
            text: text.to_owned(),
        })
    }

    /// What a plugin without a policy runs under: observe mode, its default configuration, no grants, the agent's limits.
    pub fn implicit(plugin: &str, agent: &Limits) -> Self {
        Self {
            name: plugin.into(),
            file: None,
            plugin: plugin.to_owned(),
            sha256: None,
            config: serde_json::json!({}),
            access: Access::default(),
            rules: Arc::new(Rules { mode: Mode::Observe, ..Rules::default() }),
            limits: *agent,
            digest: String::new(),
            text: String::new(),
        }
    }

    /// An error about a place in `[config]`, given as the keys and indices that lead to it.
    pub fn config_error(&self, path: &[String], message: &str) -> ConfigError {
        let place = path.join(".");
        let of = if place.is_empty() { String::new() } else { format!(".{place}") };
        let message = format!("[config]{of}: {message}");
        match &self.file {
            Some(file) => ConfigError::at(file, &self.text, self.span_of(path), message),
            None => ConfigError::file(Path::new(&self.plugin), message),
        }
    }

    /// Where a key of `[config]` stands: as deep as the path can be followed.
    fn span_of(&self, path: &[String]) -> Option<std::ops::Range<usize>> {
        let document = DeTable::parse(&self.text).ok()?;
        let (key, mut value) = document.get_ref().get_key_value("config")?;
        let mut span = key.span();
        for step in path {
            let (next_span, next) = match value.get_ref() {
                DeValue::Table(table) => {
                    let Some((key, next)) = table.get_key_value(step.as_str()) else {
                        break;
                    };
                    (key.span(), next)
                }
                DeValue::Array(array) => {
                    let Some(next) = step.parse().ok().and_then(|index: usize| array.get(index)) else {
                        break;
                    };
                    (next.span(), next)
                }
                _ => break,
            };
            (span, value) = (next_span, next);
        }
        Some(span)
    }
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Lower-case hexadecimal.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{Backoff, Budget, Flapping};

    fn parse(text: &str) -> Result<Policy, String> {
        Policy::parse(Path::new("policies.d/web.toml"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_whole_policy_is_read() {
        let policy = parse(
            r#"
            plugin = "service-restart"
            mode = "auto"
            collect = ["service.status", "journal:200", "process.tree", "command:heap-dump"]
            priority = 80
            [config]
            services = ["nginx.service"]
            [grant]
            actions = ["service.restart:nginx.service"]
            read = ["services", "files:/var/log/**"]
            explains = ["app-*"]
            unattended = true
            [guard]
            attempts = 5
            cooldown = "30s"
            collect-timeout = "5s"
            backoff = { initial = "2s", max = "1m" }
            budget = "5/10m"
            budget-per-target = "2/1h"
            retry-escalated = "never"
            approval-ttl = "30m"
            flapping = { start = 0.6, every = "30s" }
            unrecorded = true
            "#,
        )
        .unwrap();
        assert_eq!(&*policy.name, "web");
        assert_eq!(policy.config["services"][0], "nginx.service");
        assert_eq!((policy.rules.attempts, policy.rules.cooldown), (5, Duration::from_secs(30)));
        assert_eq!((policy.rules.collect.len(), policy.rules.collect_timeout), (4, Duration::from_secs(5)));
        assert_eq!(policy.rules.backoff.initial, Duration::from_secs(2));
        assert_eq!(policy.rules.backoff.factor, Backoff::default().factor);
        assert!(policy.rules.grant[0].matches("service.restart", "nginx.service"));
        assert!(policy.rules.unattended && policy.rules.unrecorded);
        assert_eq!((policy.rules.priority, policy.rules.retry_escalated), (80, None));
        assert_eq!(policy.rules.budget, Some(Budget { count: 5, per: Duration::from_secs(600) }));
        assert_eq!(policy.rules.budget_per_target, Some(Budget { count: 2, per: Duration::from_secs(3600) }));
        assert_eq!(policy.rules.approval_ttl, Duration::from_secs(1800));
        let flapping = Flapping { start: 0.6, every: Duration::from_secs(30), ..Flapping::default() };
        assert_eq!(policy.rules.flapping, flapping);
    }

    #[test]
    fn what_is_left_out_is_the_safe_choice() {
        let policy = parse("plugin = \"p\"").unwrap();
        assert_eq!(*policy.rules, Rules::default());
        assert_eq!(policy.rules.mode, Mode::Observe);
        assert!(!policy.rules.unattended && !policy.rules.unrecorded);
        assert!(policy.rules.grant.is_empty() && policy.access.read.is_empty());
    }

    #[test]
    fn errors_name_file_line_and_remedy() {
        let cases = [
            ("plugin = \"p\"\nmod = \"auto\"\n", "web.toml:2:1: unknown key `mod`; did you mean `mode`?"),
            ("mode = \"auto\"\n", "missing field `plugin`"),
            ("plugin = \"p.wasm\"\n", "web.toml:1:10: `p.wasm` is not a plugin's name"),
            ("plugin = \"p\"\nsha256 = \"12\"\n", "web.toml:2:10: sha256 must be 64 hexadecimal digits"),
            ("plugin = \"p\"\n[grant]\nactions = [\"boom:x\"]\n", "web.toml:3:12: `boom` matches no kind"),
            ("plugin = \"p\"\n[grant]\nread = [\"dreams\"]\n", "web.toml:3:9: nothing called `dreams`"),
            ("plugin = \"p\"\n[grant]\nread = [\"files\"]\n", "web.toml:3:9: say which files"),
            ("plugin = \"p\"\n[grant]\nread = [\"files:etc\"]\n", "is not an absolute path"),
            ("plugin = \"p\"\n[guard]\ncooldown = \"5 parsecs\"\n", "web.toml:3:12: `5 parsecs` is not a duration"),
            ("plugin = \"p\"\n[guard]\nbackoff = { factor = 0.5 }\n", "web.toml:3:11: backoff.factor"),
            ("plugin = \"p\"\ncollect = [\"journal\"]\n", "web.toml:2:12: `journal` cannot be collected"),
            (
                "plugin = \"p\"\n[grant]\nactions = [\"file.delete:tmp/*\"]\n",
                "web.toml:3:12: `tmp/*` is not an absolute path",
            ),
            (
                "plugin = \"p\"\npriority = 101\n",
                "web.toml:2:12: 101 is out of range: write a whole number from 0 to 100",
            ),
            ("plugin = \"p\"\npriority = -1\n", "web.toml:2:12: -1 is out of range"),
            (
                "plugin = \"p\"\n[guard]\nattempts = 0\n",
                "web.toml:3:12: 0 is out of range: write a whole number from 1",
            ),
            ("plugin = \"p\"\n[guard]\nbudget = \"5\"\n", "web.toml:3:10: `5` is not a budget such as \"5/10m\""),
            ("plugin = \"p\"\n[guard]\nbudget-per-target = \"0/1m\"\n", "web.toml:3:21: `0/1m` is not a budget"),
            ("plugin = \"p\"\n[guard]\nretry-escalated = \"nie\"\n", "web.toml:3:19: `nie` is not a duration such as"),
            (
                "plugin = \"p\"\n[guard]\nretry-escalated = \"0\"\n",
                "web.toml:3:19: this duration must be more than zero; or",
            ),
            ("plugin = \"p\"\n[guard]\napproval-ttl = \"0s\"\n", "web.toml:3:16: this duration must be more than zero"),
            ("plugin = \"p\"\n[guard]\nflapping = { stop = 0.6 }\n", "web.toml:3:12: flapping.stop (0.6) and"),
            ("plugin = \"p\"\n[guard]\nflapping = { start = 1.1 }\n", "web.toml:3:12: flapping.stop (0.25) and"),
            ("plugin = \"p\"\n[guard]\nflapping = { stop = 0.0 }\n", "web.toml:3:12: flapping.stop (0) and"),
            ("plugin = \"p\"\n[guard]\nflapping = { stop = nan }\n", "web.toml:3:12: flapping.stop (NaN) and"),
            (
                "plugin = \"p\"\n[guard]\nflapping = { every = \"0\" }\n",
                "web.toml:3:22: this duration must be more than",
            ),
            ("plugin = \"p\"\n[guard]\nflapping = { begin = 1 }\n", "web.toml:3:14: unknown key `begin`"),
            ("plugin = \"p\"\n[grant]\nunattended = 1\n", "web.toml:3:14: invalid type"),
            ("plugin = \"p\"\nmode", "web.toml:2:5: key with no value"),
        ];
        for (text, expected) in cases {
            let error = parse(text).unwrap_err();
            assert!(error.contains(expected), "{text:?}\n  gave {error}\n  not  {expected}");
        }
    }

    #[test]
    fn a_policy_lowers_limits_and_raises_none() {
        let agent = Limits { memory: 16 << 20, ..Limits::default() };
        let parse = |line: &str| {
            let text = format!("plugin = \"p\"\n[limits]\n{line}\n");
            let policy = Policy::parse_under(&agent, Path::new("policies.d/web.toml"), &text);
            policy.map(|policy| policy.limits).map_err(|error| error.to_string())
        };
        assert_eq!(parse("").unwrap(), agent);
        let lower = parse("memory = \"8MiB\"\nactions = 2\nhost-call = \"10ms\"").unwrap();
        let host_call = Duration::from_millis(10);
        assert_eq!(lower, Limits { memory: 8 << 20, actions: 2, host_call, ..agent });
        for (line, expected) in [
            ("memory = \"17MiB\"", "web.toml:3:10: a policy may only lower `memory`: the agent allows 16MiB"),
            ("actions = 17", "web.toml:3:11: a policy may only lower `actions`: the agent allows 16"),
            ("call-cpu = \"1ms\"", "web.toml:3:12: `call-cpu` is out of range: write a value from 20ms to 100ms"),
            ("stack = \"64KiB\"", "web.toml:3:9: `stack` is one for all plugins: set it under [agent.limits]"),
            ("memroy = 1", "web.toml:3:1: unknown key `memroy`; did you mean `memory`?"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.contains(expected), "{line:?}\n  gave {error}\n  not  {expected}");
        }
    }

    #[test]
    fn a_place_in_the_plugins_configuration_is_found() {
        let text = "plugin = \"p\"\n[config]\nservices = [\n  \"a\",\n  7,\n]\n";
        let policy = parse(text).unwrap();
        let line = |path: &[&str]| {
            let path: Vec<String> = path.iter().map(ToString::to_string).collect();
            policy.config_error(&path, "no").location.unwrap().line
        };
        assert_eq!(line(&["services", "1"]), 5);
        assert_eq!(line(&["services"]), 3);
        assert_eq!(line(&["absent"]), 2);
    }
}
