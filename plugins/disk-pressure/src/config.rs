use salve_plugin_sdk::detect::Limit;
use salve_plugin_sdk::prelude::*;

use crate::step::Step;

/// What the operator writes under `[config]`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Config {
    /// The mount points to watch; `*` stands for any text.
    pub mounts: Vec<String>,
    /// Full above this share of its bytes or inodes (0..1)…
    pub above: f64,
    /// …and no longer full at or below this one.
    pub clear: f64,
    /// How long it must be above before that counts.
    pub r#for: HumanDuration,
    /// A file system that is going to be full within this time is filling.
    pub horizon: HumanDuration,
    /// The past from which the forecast is made: it needs an eighth of that, and forgets what is older.
    pub window: HumanDuration,
    /// How sure the forecast must be (0..1).
    pub confidence: f64,
    /// How long the forecast must say so before that counts.
    pub forecast_for: HumanDuration,
    /// What may be cleaned up, the least regretted first: one step for each attempt, until it is safe again.
    pub clean: Vec<Step>,
    /// Where to look for the largest files; the policy must let the plugin see them (`read = ["files:/var/log/**"]`).
    pub look: Vec<String>,
    /// How long after a step the file system is looked at.
    pub settle: HumanDuration,
    /// How long it may take until that shows.
    pub deadline: HumanDuration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            mounts: vec!["*".into()],
            above: 0.9,
            clear: 0.85,
            r#for: HumanDuration::from_secs(30),
            horizon: HumanDuration::from_secs(4 * 3600),
            window: HumanDuration::from_secs(2 * 3600),
            confidence: 0.95,
            forecast_for: HumanDuration::from_secs(5 * 60),
            clean: vec![],
            look: vec![],
            settle: HumanDuration::from_secs(5),
            deadline: HumanDuration::from_secs(60),
        }
    }
}

impl Config {
    /// What cannot be meant, with what to write instead.
    pub fn check(&self) -> Result<(), String> {
        let share = |share: f64| share > 0.0 && share <= 1.0;
        if !share(self.above) || !share(self.clear) {
            return Err("`above` and `clear` are shares: more than 0, at most 1".into());
        }
        if self.clear > self.above {
            let Self { above, clear, .. } = self;
            return Err(format!("`clear = {clear}` would be cleared while `above = {above}` is raised; make it less"));
        }
        if !(0.5..1.0).contains(&self.confidence) {
            return Err("`confidence` is at least 0.5 and less than 1".into());
        }
        if self.window.is_zero() || self.horizon.is_zero() {
            return Err("`window` and `horizon` are more than nothing".into());
        }
        self.clean.iter().try_for_each(Step::check)
    }

    /// Whether the file system at this mount point is one to watch.
    pub fn watches(&self, point: &str) -> bool {
        self.mounts.iter().any(|pattern| salve_plugin_sdk::matches(pattern, point))
    }

    /// When a share of it in use means full.
    pub fn full(&self) -> Limit {
        Limit::above(self.above).clear(self.clear).hold(*self.r#for)
    }

    /// When the seconds until it is full mean filling.
    pub fn filling(&self) -> Limit {
        Limit::below(self.horizon.as_secs_f64()).clear(self.safe_seconds()).hold(*self.forecast_for)
    }

    /// A file system that takes so many seconds to be full is safe: somewhat more than the horizon, so that a forecast at
    /// its edge does not come and go.
    pub fn safe_seconds(&self) -> f64 {
        self.horizon.as_secs_f64() * 1.25
    }
}
