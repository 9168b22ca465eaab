use std::borrow::Cow;
use std::time::Duration;

use salve_plugin_sdk::detect::Limit;
use salve_plugin_sdk::prelude::*;
use salve_plugin_sdk::schemars::{Schema, SchemaGenerator, json_schema};

/// What the operator writes under `[config]`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Config {
    /// The services to watch, by unit: all of a unit's processes together. `*` stands for any text.
    pub services: Vec<String>,
    /// The processes to watch, by the name of their executable; their unit is what is restarted.
    pub processes: Vec<String>,
    /// The containers to watch, by name.
    pub containers: Vec<String>,
    /// What must not be reached: a size (`"2GiB"`) or a share of the host's memory (`"80%"`). A container's own limit counts
    /// where that is less.
    pub limit: Ceiling,
    /// The time over which growth must last to be a leak; 20 s or more. What a day brings and takes should fit into it: where
    /// it is short, a cache that fills or a load that rises for so long is taken for a leak.
    pub window: HumanDuration,
    /// How far it must be above its own start, as a share of that…
    pub growth: f64,
    /// …and at least by so much.
    pub at_least: HumanSize,
    /// A leak that reaches the limit within this time is a fault.
    pub horizon: HumanDuration,
    /// How long that must be so before it counts.
    pub r#for: HumanDuration,
    /// With less time than this left, the restart does not wait for a quiet moment.
    pub urgent: HumanDuration,
    /// A moment is quiet while it uses less of a CPU than this.
    pub quiet_cpu: f64,
    /// Or else: a moment is quiet between these hours (UTC): `"02:00-05:00"`.
    pub quiet_hours: Option<Hours>,
    /// How long after the restart memory is looked at.
    pub settle: HumanDuration,
    /// How long it may take until the restart shows.
    pub deadline: HumanDuration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            services: vec![],
            processes: vec![],
            containers: vec![],
            limit: Ceiling::Share(0.8),
            window: HumanDuration::from_secs(6 * 3600),
            growth: 0.3,
            at_least: HumanSize::from_mib(64),
            horizon: HumanDuration::from_secs(24 * 3600),
            r#for: HumanDuration::from_secs(10 * 60),
            urgent: HumanDuration::from_secs(30 * 60),
            quiet_cpu: 0.1,
            quiet_hours: None,
            settle: HumanDuration::from_secs(30),
            deadline: HumanDuration::from_secs(120),
        }
    }
}

/// The shortest window: with less, the agent reads too seldom to tell a trend.
const SHORTEST: Duration = Duration::from_secs(20);

impl Config {
    /// What cannot be meant, with what to write instead.
    pub fn check(&self) -> Result<(), String> {
        if !(self.growth >= 0.0 && self.growth.is_finite() && self.quiet_cpu >= 0.0) {
            return Err("`growth` and `quiet-cpu` are 0 or more".into());
        }
        if *self.window < SHORTEST {
            let wanted = "make it what a day's load fits into";
            return Err(format!("`window = {}` is less than {} s; {wanted}", self.window, SHORTEST.as_secs()));
        }
        if self.urgent > self.horizon {
            return Err(format!("`urgent = {}` is longer than `horizon = {}`", self.urgent, self.horizon));
        }
        Ok(())
    }

    /// Readings are taken together for so long, and the least of them counts: what a garbage collector leaves, not what it
    /// finds.
    pub fn part(&self) -> Duration {
        (*self.window / 60).min(Duration::from_secs(60))
    }

    /// How long after its start a process is still filling its caches.
    pub fn warm_up(&self) -> Duration {
        (*self.window / 3).min(Duration::from_secs(600))
    }

    /// How often it is looked whether the moment is quiet.
    pub fn look(&self) -> Duration {
        (*self.window / 60).clamp(Duration::from_secs(1), Duration::from_secs(30))
    }

    /// When the seconds until the limit mean a fault.
    pub fn soon(&self) -> Limit {
        let horizon = self.horizon.as_secs_f64();
        let hold = Limit::below(horizon).clear(horizon * 1.5).hold(*self.r#for);
        hold.clear_hold(*self.window / 8).max_gap(*self.window / 4)
    }
}

/// How much memory is too much.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(try_from = "String")]
pub enum Ceiling {
    /// So many bytes.
    Bytes(u64),
    /// Such a share of the host's memory.
    Share(f64),
}

impl Ceiling {
    /// In bytes, on a host with so much memory.
    pub fn bytes(self, host: Option<f64>) -> Option<f64> {
        match self {
            Self::Bytes(bytes) => Some(bytes as f64),
            Self::Share(share) => host.map(|host| host * share),
        }
    }
}

impl TryFrom<String> for Ceiling {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("`{text}` is neither a size such as \"2GiB\" nor a share such as \"80%\"");
        match text.trim().strip_suffix('%') {
            Some(share) => match share.trim().parse::<f64>() {
                Ok(share) if share > 0.0 && share <= 100.0 => Ok(Self::Share(share / 100.0)),
                _ => Err(wrong()),
            },
            None => {
                let json = salve_plugin_sdk::serde_json::Value::String(text.clone());
                let size: HumanSize = salve_plugin_sdk::serde_json::from_value(json).map_err(|_| wrong())?;
                Ok(Self::Bytes(*size))
            }
        }
    }
}

impl JsonSchema for Ceiling {
    fn schema_name() -> Cow<'static, str> {
        "Ceiling".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*(%|[a-zA-Z]*)\s*$" })
    }
}

/// A part of the day, in minutes since midnight UTC; one that ends before it begins goes over midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Hours {
    from: u64,
    to: u64,
}

impl Hours {
    /// Whether a time since the epoch is within it.
    pub fn contains(self, at: Duration) -> bool {
        let minute = at.as_secs() / 60 % (24 * 60);
        if self.from <= self.to {
            (self.from..self.to).contains(&minute)
        } else {
            minute >= self.from || minute < self.to
        }
    }
}

impl TryFrom<String> for Hours {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let minutes = |time: &str| {
            let (hour, minute) = time.trim().split_once(':')?;
            let (hour, minute) = (hour.parse::<u64>().ok()?, minute.parse::<u64>().ok()?);
            (hour < 24 && minute < 60).then_some(hour * 60 + minute)
        };
        let hours = text.split_once('-').and_then(|(from, to)| Some(Self { from: minutes(from)?, to: minutes(to)? }));
        hours
            .filter(|it| it.from != it.to)
            .ok_or_else(|| format!("`{text}` are no hours such as \"02:00-05:00\" (UTC)"))
    }
}

impl JsonSchema for Hours {
    fn schema_name() -> Cow<'static, str> {
        "Hours".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": r"^\s*\d\d?:\d\d\s*-\s*\d\d?:\d\d\s*$" })
    }
}
