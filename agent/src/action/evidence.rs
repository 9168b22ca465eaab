//! Evidence: what is collected about a target before an action changes it.

use serde::{Deserialize, Serialize};

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
