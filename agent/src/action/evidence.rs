//! Evidence: what is collected about a target before an action changes it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The most lines of the journal that can be asked for: they are cut to 64 KiB anyway.
const MAX_LINES: u32 = 10_000;

/// What a policy's `collect` can name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Collect {
    /// `service.status`: what is known of the target as a service.
    ServiceStatus,
    /// `journal:200`: so many of the last lines of the target's journal; of the host's, if it is no unit and no process.
    Journal(u32),
    /// `process.tree`: the target's process and its descendants.
    ProcessTree,
    /// `command:NAME`: the output of `[commands.NAME]`. Its parameters can be `target` and `pid` only, which are filled.
    Command(String),
}

/// Something that cannot be collected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` cannot be collected; valid: `service.status`, `journal:LINES` (1 to {MAX_LINES}), `process.tree`, `command:NAME`"
)]
pub struct CollectError(pub String);

impl FromStr for Collect {
    type Err = CollectError;

    fn from_str(text: &str) -> Result<Self, CollectError> {
        let unknown = || CollectError(text.to_owned());
        match text.split_once(':') {
            None if text == "service.status" => Ok(Self::ServiceStatus),
            None if text == "process.tree" => Ok(Self::ProcessTree),
            Some(("journal", lines)) => {
                let lines = lines.parse().ok().filter(|lines| (1..=MAX_LINES).contains(lines));
                lines.map(Self::Journal).ok_or_else(unknown)
            }
            Some(("command", name)) if !name.is_empty() => Ok(Self::Command(name.to_owned())),
            _ => Err(unknown()),
        }
    }
}

impl fmt::Display for Collect {
    /// As it is written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ServiceStatus => f.write_str("service.status"),
            Self::Journal(lines) => write!(f, "journal:{lines}"),
            Self::ProcessTree => f.write_str("process.tree"),
            Self::Command(name) => write!(f, "command:{name}"),
        }
    }
}

/// One thing that was collected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// As the policy's `collect` names it: `journal:200`.
    pub name: String,
    /// What it said; or why there is nothing.
    pub text: String,
    /// Whether it was collected.
    pub ok: bool,
    /// Whether some of it was left out for its size.
    pub truncated: bool,
    /// Milliseconds it took.
    pub took_ms: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_collected_is_read_and_written_alike() {
        for text in ["service.status", "journal:200", "process.tree", "command:heap-dump"] {
            assert_eq!(text.parse::<Collect>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "journal",
            "journal:",
            "journal:0",
            "journal:x",
            "journal:-1",
            "journal:10001",
            "command:",
            "Process.tree",
        ] {
            let error = text.parse::<Collect>().unwrap_err().to_string();
            assert!(error.contains(&format!("`{text}`")) && error.contains("`journal:LINES`"), "{error}");
        }
    }
}
