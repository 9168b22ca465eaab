use std::time::Duration;

use salve_plugin_sdk::detect::Threshold;
use salve_plugin_sdk::prelude::*;

use crate::Config;
use crate::trouble::Trouble;

const NAME: &str = "process.executable.name";
const STARTED: &str = "process.start_time";

/// Who a process is, as samples and events say.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Its number.
    pub pid: u32,
    /// The executable's name.
    pub name: String,
    /// When it started, in clock ticks since the boot; what is to be signalled must be known by it.
    pub started: Option<u64>,
    /// The unit it belongs to.
    pub unit: Option<String>,
}

/// The number of the process that attributes are of.
pub fn pid(of: &impl Attributes) -> Option<u32> {
    u32::try_from(number(of, "process.pid")?).ok()
}

/// Samples carry numbers as text, events as such.
fn number(of: &impl Attributes, key: &str) -> Option<u64> {
    match of.get(key)? {
        Value::Text(text) => text.parse().ok(),
        Value::Integer(number) => u64::try_from(*number).ok(),
        _ => None,
    }
}

/// A process that is watched.
pub struct Process {
    /// Who it is.
    pub identity: Identity,
    /// When it was last heard of.
    pub seen: Duration,
    files: Option<f64>,
    file_limit: Option<f64>,
    gauges: [Gauge; 3],
}

/// One measure of it.
struct Gauge {
    high: Threshold,
    last: Option<(Duration, f64)>,
}

impl Identity {
    /// The process that attributes are of.
    pub fn of(of: &impl Attributes) -> Option<Self> {
        Some(Self {
            pid: pid(of)?,
            name: of.text(NAME).unwrap_or_default().to_owned(),
            started: number(of, STARTED),
            unit: of.text("service.name").map(str::to_owned),
        })
    }

    /// Whether attributes with its number are of this process: one that is used again is another one.
    pub fn is(&self, of: &impl Attributes) -> bool {
        self.name == of.text(NAME).unwrap_or_default() && self.started == number(of, STARTED)
    }

    /// As people call it, and as faults have it for a target. A process calls itself what it likes; the host takes no control
    /// characters in targets, and none that are too long.
    pub fn label(&self) -> String {
        let name = self.name.chars().take(64).map(|it| if it.is_control() { '?' } else { it });
        format!("{}[{}]", name.collect::<String>(), self.pid)
    }

    /// Whether one of these patterns names it or its unit.
    pub fn is_one_of(&self, patterns: &[String]) -> bool {
        let is = |pattern: &String, name: &str| salve_plugin_sdk::matches(pattern, name);
        patterns.iter().any(|it| is(it, &self.name) || self.unit.as_ref().is_some_and(|unit| is(it, unit)))
    }
}

impl Process {
    /// One of which nothing is known yet.
    pub fn new(identity: Identity, config: &Config) -> Self {
        let gauge = |limit| Gauge { high: Threshold::new(limit), last: None };
        let gauges = [config.cpu, config.descriptors, config.threads].map(gauge);
        Self { identity, seen: Duration::ZERO, files: None, file_limit: None, gauges }
    }

    /// Takes a reading.
    pub fn take(&mut self, at: Duration, metric: &str, value: f64) {
        self.seen = at;
        match metric {
            "process.cpu.utilization" => self.gauge_mut(Trouble::Cpu).push(at, value),
            "process.thread.count" => self.gauge_mut(Trouble::Threads).push(at, value),
            "process.unix.file_descriptor.limit" => self.file_limit = Some(value).filter(|limit| *limit > 0.0),
            "process.unix.file_descriptor.count" => self.files = Some(value),
            _ => {}
        }
    }

    /// Has taken all readings of a moment: what is reckoned of two of them can be.
    pub fn reckon(&mut self, at: Duration) {
        if let (Some(files), Some(limit)) = (self.files.take(), self.file_limit) {
            self.gauge_mut(Trouble::Descriptors).push(at, files / limit);
        }
    }

    /// Whether it is in such trouble; `None` until that is known.
    pub fn is(&self, trouble: Trouble) -> Option<bool> {
        self.gauge(trouble).high.is_raised()
    }

    /// The last reading of what tells it, and when that was.
    pub fn last(&self, trouble: Trouble) -> Option<(Duration, f64)> {
        self.gauge(trouble).last
    }

    /// How it is, in a sentence.
    pub fn words(&self, trouble: Trouble) -> String {
        let label = self.identity.label();
        let value = self.last(trouble).map_or(0.0, |(_, value)| value);
        match trouble {
            Trouble::Cpu => format!("{label} takes {:.0} % of a CPU", value * 100.0),
            Trouble::Descriptors => format!("{label} has {:.0} % of the files open that it may", value * 100.0),
            Trouble::Threads => format!("{label} has {value:.0} threads"),
            Trouble::Zombies | Trouble::Stuck => label,
        }
    }

    fn gauge(&self, trouble: Trouble) -> &Gauge {
        let [cpu, descriptors, threads] = &self.gauges;
        match trouble {
            Trouble::Descriptors => descriptors,
            Trouble::Threads => threads,
            _ => cpu,
        }
    }

    fn gauge_mut(&mut self, trouble: Trouble) -> &mut Gauge {
        let [cpu, descriptors, threads] = &mut self.gauges;
        match trouble {
            Trouble::Descriptors => descriptors,
            Trouble::Threads => threads,
            _ => cpu,
        }
    }
}

impl Gauge {
    fn push(&mut self, at: Duration, value: f64) {
        if value.is_finite() && value >= 0.0 {
            self.last = Some((at, value));
            self.high.push(at, value);
        }
    }
}
