use salve_plugin_sdk::prelude::*;

use crate::measure::Measure;

/// Where systemd keeps its journal over restarts.
const JOURNAL: &str = "/var/log/journal";

/// One way to make room.
#[derive(Deserialize, JsonSchema)]
#[serde(tag = "action", deny_unknown_fields, rename_all_fields = "kebab-case")]
pub enum Step {
    /// Deletes files.
    #[serde(rename = "file.delete")]
    Delete {
        /// An absolute path or glob: `*` within a directory, `**` across them.
        target: String,
        /// Only those that were last written longer ago.
        older_than: Option<HumanDuration>,
        /// Only those that are larger.
        larger_than: Option<HumanSize>,
        /// So many of the newest are left.
        keep_newest: Option<u32>,
    },
    /// Cuts files: for those that somebody holds open.
    #[serde(rename = "file.truncate")]
    Truncate {
        /// An absolute path or glob.
        target: String,
        /// Only those that are larger.
        larger_than: Option<HumanSize>,
        /// So much is left at the end of each.
        keep: Option<HumanSize>,
    },
    /// Deletes old records of systemd's journal.
    #[serde(rename = "journal.vacuum")]
    Vacuum {
        /// So much is left.
        max: Option<HumanSize>,
        /// Only records older than this.
        older_than: Option<HumanDuration>,
    },
    /// Runs a `[commands.NAME]` of the agent's configuration, such as `apt-get clean`.
    #[serde(rename = "command.run")]
    Run {
        /// Its name.
        target: String,
        /// The mount points at which it makes room; `*` stands for any text.
        mount: String,
    },
}

impl Step {
    /// What cannot be meant.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Self::Delete { target, .. } | Self::Truncate { target, .. } if !target.starts_with('/') => {
                Err(format!("clean: `{target}` is not an absolute path"))
            }
            Self::Vacuum { max: None, older_than: None } => {
                Err("clean: journal.vacuum needs `max`, `older-than` or both".into())
            }
            _ => Ok(()),
        }
    }

    /// Whether it makes room of this kind on the file system at `point`, where paths are on the file systems that `home_of`
    /// says.
    pub fn helps(&self, measure: Measure, point: &str, home_of: impl Fn(&str) -> Option<String>) -> bool {
        let is_home = |path: &str| home_of(path).is_some_and(|home| home == point);
        match (self, measure) {
            (Self::Delete { target, .. }, _) | (Self::Truncate { target, .. }, Measure::Bytes) => {
                is_home(fixed_part(target))
            }
            (Self::Vacuum { .. }, Measure::Bytes) => is_home(JOURNAL),
            // Neither makes a file less: at most a few.
            (Self::Truncate { .. } | Self::Vacuum { .. }, Measure::Inodes) => false,
            (Self::Run { mount, .. }, _) => salve_plugin_sdk::matches(mount, point),
        }
    }

    /// As an action.
    pub fn action(&self) -> Action {
        match self {
            Self::Delete { target, older_than, larger_than, keep_newest } => {
                let action = Action::delete_files(target);
                let action = older_than.iter().fold(action, |action, age| action.older_than(**age));
                let action = larger_than.iter().fold(action, |action, size| action.larger_than(**size));
                keep_newest.iter().fold(action, |action, count| action.keep_newest(*count))
            }
            Self::Truncate { target, larger_than, keep } => {
                let action = Action::truncate_files(target);
                let action = larger_than.iter().fold(action, |action, size| action.larger_than(**size));
                keep.iter().fold(action, |action, size| action.keep_bytes(**size))
            }
            Self::Vacuum { max, older_than } => {
                let action = max.iter().fold(Action::vacuum_journal(), |action, size| action.max_bytes(**size));
                older_than.iter().fold(action, |action, age| action.older_than(**age))
            }
            Self::Run { target, .. } => Action::run_command(target),
        }
    }
}

/// The directories of a glob before its first wildcard.
pub fn fixed_part(glob: &str) -> &str {
    let fixed = glob.split(['*', '?', '[', '{']).next().unwrap_or_default();
    if fixed.len() == glob.len() { glob } else { fixed.rsplit_once('/').map_or("/", |(directory, _)| directory) }
}
