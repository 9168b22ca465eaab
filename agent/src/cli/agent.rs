use std::io::IsTerminal;

use anyhow::Context;
use tracing_subscriber::EnvFilter;

use super::{ConfigArgs, Outcome};
use crate::agent;
use crate::config::Settings;

/// What is logged unless `SALVE_LOG` says otherwise (`debug`, `salve::plugin=trace`, …).
const LOG: &str = "info";

pub(super) fn run(args: &ConfigArgs) -> anyhow::Result<Outcome> {
    let settings = Settings::load(&args.config)?;
    start_log();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("salve")
        .build()
        .context("no threads for the agent")?;
    let (plugins, policies, socket) = (settings.plugins.clone(), settings.policies.clone(), settings.socket.clone());
    runtime.block_on(agent::run(settings, || {
        tracing::info!(
            "ready: plugins in {}, policies in {}, answering on {}",
            plugins.display(),
            policies.display(),
            socket.display()
        );
    }))?;
    // Tasks that wait for the host are not waited for.
    runtime.shutdown_background();
    Ok(Outcome::Fine)
}

/// For people on a terminal: time, level, words. For programs: everything, without colours.
fn start_log() {
    let filter = std::env::var("SALVE_LOG").unwrap_or_else(|_| LOG.to_owned());
    let filter = EnvFilter::builder().parse_lossy(filter);
    let is_terminal = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(is_terminal);
    if is_terminal { log.with_target(false).compact().init() } else { log.init() }
}
