use std::path::Path;

use anyhow::Context;
use clap::Args;
use serde_json::json;

use super::{Outcome, client};

#[derive(Debug, Args)]
pub(super) struct PauseArgs {
    /// Only what this policy would do.
    #[arg(long, value_name = "POLICY")]
    policy: Option<String>,
    /// Only what would be done to this target: a name, or a pattern with `*`.
    #[arg(long, value_name = "TARGET")]
    target: Option<String>,
    /// For this long (`30m`, `1h`); until `salve resume` without.
    #[arg(long = "for", value_name = "DURATION")]
    lasting: Option<String>,
    /// Why, for those who find it paused.
    #[arg(long, default_value = "no reason given", value_name = "TEXT")]
    reason: String,
}

#[derive(Debug, Args)]
pub(super) struct ResumeArgs {
    /// End the hold on this policy.
    #[arg(long, value_name = "POLICY")]
    policy: Option<String>,
    /// End the hold on this target, written as it was for `pause`.
    #[arg(long, value_name = "TARGET")]
    target: Option<String>,
    /// End every hold.
    #[arg(long, conflicts_with_all = ["policy", "target", "breaker"])]
    all: bool,
    /// Close the storm breaker.
    #[arg(long, conflicts_with_all = ["policy", "target"])]
    breaker: bool,
}

pub(super) fn pause(socket: &Path, args: PauseArgs) -> anyhow::Result<Outcome> {
    let lasting = args.lasting.as_deref().map(|text| {
        let wait =
            humantime::parse_duration(text).with_context(|| format!("--for {text}: write for example 30m or 1h"))?;
        anyhow::Ok(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
    });
    let body = json!({
        "policy": args.policy, "target": args.target, "for_ms": lasting.transpose()?, "reason": args.reason,
    });
    client::say(socket, "/v1/pause", &body)
}

pub(super) fn resume(socket: &Path, args: ResumeArgs) -> anyhow::Result<Outcome> {
    let body = json!({ "policy": args.policy, "target": args.target, "all": args.all, "breaker": args.breaker });
    client::say(socket, "/v1/resume", &body)
}
