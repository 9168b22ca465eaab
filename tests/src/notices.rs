//! Who is told: a channel of the agent that writes to a file.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// Everything the agent has told, as a `command` channel hears it.
#[derive(Debug)]
pub struct Notices(PathBuf);

/// One notice: only the fields that are promised.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Notice {
    /// `escalated`.
    pub kind: String,
    /// Why.
    pub reason: String,
    /// About which incident, if about one.
    pub incident: Option<About>,
}

/// The incident of a notice.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct About {
    /// Its name.
    pub id: String,
    /// What it is about.
    pub target: String,
}

impl Notices {
    /// Kept in a file in `directory`, which the agent has to see under the same path.
    pub fn within(directory: &Path) -> Notices {
        Notices(directory.join("notices"))
    }

    /// The channel `[notify.test]`, for `salve.toml`.
    pub fn channel(&self) -> String {
        let script = format!("cat >>'{}'", self.0.display());
        format!("[notify.test]\nchannel = \"command\"\ncommand = [\"sh\", \"-c\", {script:?}]\n")
    }

    /// What has been told so far, in order.
    ///
    /// # Panics
    /// When a line is no notice.
    #[track_caller]
    pub fn all(&self) -> Vec<Notice> {
        let told = fs::read_to_string(&self.0).unwrap_or_default();
        let whole = told.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let notice = |line: &str| match serde_json::from_str(line) {
            Ok(notice) => notice,
            Err(error) => panic!("{error}: {line}"),
        };
        whole.map(notice).collect()
    }

    /// The kinds of what has been told about `target`, in order.
    #[track_caller]
    pub fn about(&self, target: &str) -> Vec<String> {
        let about = |notice: &Notice| notice.incident.as_ref().is_some_and(|incident| incident.target == target);
        self.all().into_iter().filter(about).map(|notice| notice.kind).collect()
    }
}
