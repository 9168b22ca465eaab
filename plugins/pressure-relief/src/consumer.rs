use std::time::Duration;

use salve_plugin_sdk::detect::{Ewma, Rate};
use salve_plugin_sdk::{Sample, prelude::*};

/// How far ahead growth counts, in seconds: what holds little and grows quickly is as bad as what holds much.
const AHEAD: f64 = 60.0;

/// A process or a container, and the memory it holds.
pub struct Consumer {
    /// The executable's name.
    pub name: Option<String>,
    /// The unit it belongs to.
    pub unit: Option<String>,
    /// Its name, if it is a container.
    pub container: Option<String>,
    /// The process's number.
    pub pid: Option<u32>,
    /// When that started, in clock ticks since the boot.
    pub started: Option<u64>,
    /// Bytes.
    pub size: f64,
    /// When it was last heard of.
    pub seen: Duration,
    rate: Rate,
    growth: Ewma,
}

impl Consumer {
    /// The one a sample is of, and the key it has.
    pub fn of(sample: &Sample<'_>) -> Option<(String, Self)> {
        let text = |key: &str| sample.text(key).map(str::to_owned);
        let number = |key: &str| sample.text(key).and_then(|text| text.parse::<u64>().ok());
        let container = text("container.name");
        let pid = number("process.pid").and_then(|pid| u32::try_from(pid).ok());
        let started = number("process.start_time");
        let key = match (&container, pid) {
            (Some(name), _) => format!("container {name}"),
            (None, Some(pid)) => format!("process {pid} {}", started.unwrap_or_default()),
            (None, None) => return None,
        };
        let (rate, growth) = (Rate::of_gauge(), Ewma::new(Duration::from_secs(10)));
        let (name, unit) = (text("process.executable.name"), text("service.name"));
        let (size, seen) = (0.0, Duration::ZERO);
        Some((key, Self { name, unit, container, pid, started, size, seen, rate, growth }))
    }

    /// Takes a reading.
    pub fn push(&mut self, at: Duration, bytes: f64) {
        (self.size, self.seen) = (bytes, at);
        if let Some(rate) = self.rate.push(at, bytes) {
            self.growth.push(at, rate);
        }
    }

    /// What it will hold in a minute, if it goes on growing as it does.
    pub fn ahead(&self) -> f64 {
        self.size + self.growth.mean().unwrap_or_default().max(0.0) * AHEAD
    }

    /// As people call it.
    pub fn label(&self) -> String {
        match (&self.container, &self.name, self.pid) {
            (Some(container), ..) => container.clone(),
            (None, Some(name), Some(pid)) => format!("{name}[{pid}]"),
            (None, _, pid) => format!("[{}]", pid.unwrap_or_default()),
        }
    }

    /// Whether one of these patterns names it.
    pub fn is_one_of(&self, patterns: &[String]) -> bool {
        let names = [&self.name, &self.unit, &self.container];
        let is = |pattern: &String| {
            names.iter().any(|it| it.as_ref().is_some_and(|it| salve_plugin_sdk::matches(pattern, it)))
        };
        patterns.iter().any(is)
    }
}
