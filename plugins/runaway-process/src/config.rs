use salve_plugin_sdk::detect::Limit;
use salve_plugin_sdk::prelude::*;

/// What the operator writes under `[config]`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Config {
    /// Processes to watch, by the units they belong to; `*` stands for any text.
    pub services: Vec<String>,
    /// Processes to watch, by their executable.
    pub processes: Vec<String>,
    /// Processes to watch, by their user.
    pub owners: Vec<String>,
    /// Whom never to act on, whatever is watched: units, executables.
    pub avoid: Vec<String>,
    /// When a process takes too much CPU: 1 is one CPU.
    pub cpu: Limit,
    /// When it has too many files open, as a share of how many it may (0..1).
    pub descriptors: Limit,
    /// When it has too many threads.
    pub threads: Limit,
    /// From so many children on that have ended and that it does not ask after, it neglects them; 0 takes no notice.
    pub zombies: usize,
    /// How long one may wait in the kernel, where nothing reaches it.
    pub stuck: HumanDuration,
    /// Whether a process that takes too much CPU is first made to give way to others…
    pub renice: bool,
    /// …by this niceness.
    pub nice: i64,
    /// What is done where that is not enough.
    pub then: Then,
    /// `process.signal` sends TERM, and KILL after this; never by default.
    pub kill_after: Option<HumanDuration>,
    /// How long after an action the process is looked at.
    pub settle: HumanDuration,
    /// How long it may take until it is tame.
    pub deadline: HumanDuration,
}

/// What is done about a process that cannot be tamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Then {
    /// Restarts the unit it belongs to.
    #[serde(rename = "service.restart")]
    Restart,
    /// Ends it.
    #[serde(rename = "process.signal")]
    Signal,
    /// A person is told.
    #[serde(rename = "escalate")]
    Escalate,
}

impl Default for Config {
    fn default() -> Self {
        let seconds = HumanDuration::from_secs;
        Self {
            services: vec![],
            processes: vec![],
            owners: vec![],
            avoid: vec![],
            cpu: Limit::above(0.95).clear(0.6).hold(*seconds(600)).clear_hold(*seconds(30)),
            descriptors: Limit::above(0.9).clear(0.8).hold(*seconds(30)),
            threads: Limit::above(2000.0).clear(1500.0).hold(*seconds(60)),
            zombies: 20,
            stuck: seconds(120),
            renice: true,
            nice: 10,
            then: Then::Restart,
            kill_after: None,
            settle: seconds(5),
            deadline: seconds(120),
        }
    }
}

impl Config {
    /// What cannot be meant.
    pub fn check(&self) -> Result<(), String> {
        if !(-20..=19).contains(&self.nice) {
            return Err(format!("`nice = {}`: a niceness is between -20 and 19", self.nice));
        }
        if self.kill_after.is_some() && self.then != Then::Signal {
            return Err("`kill-after` belongs to `then = \"process.signal\"`".into());
        }
        Ok(())
    }

    /// Attributes by which the watched are told, and their patterns.
    pub fn selectors(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let keyed = [
            ("service.name", &self.services),
            ("process.executable.name", &self.processes),
            ("process.owner", &self.owners),
        ];
        keyed.into_iter().flat_map(|(key, patterns)| patterns.iter().map(move |pattern| (key, pattern.as_str())))
    }
}
