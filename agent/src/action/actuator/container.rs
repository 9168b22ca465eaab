//! `container.*`: by the Docker API.

use std::time::Duration;

use super::parameters::Parameters;
use super::process;
use crate::action::Action;
use crate::container::{Docker, Verb};
use crate::signal::Value;

/// The longest time for a container to end by itself, in milliseconds: a plan stands still meanwhile.
const MAX_TIMEOUT: u64 = 600_000;

/// Does `verb` to the container that the action names; what changed, or why it did not work.
pub(super) async fn act(docker: &Docker, verb: Verb, action: &Action) -> Result<String, String> {
    let known: &[&str] = match verb {
        Verb::Start => &[],
        Verb::Stop | Verb::Restart => &["timeout_ms"],
        Verb::Kill => &["signal"],
    };
    let parameters = Parameters::of(action, known)?;
    let grace = parameters.count("timeout_ms")?;
    if let Some(grace) = grace.filter(|grace| *grace > MAX_TIMEOUT) {
        let value = Value::Integer(grace.try_into().unwrap_or(i64::MAX));
        return Err(parameters.wrong("timeout_ms", &value, &format!("at most {MAX_TIMEOUT}")));
    }
    let signal = match parameters.text("signal")? {
        None => None,
        Some(name) => Some(process::signal_name(name).ok_or_else(|| {
            let wanted = format!("one of {}", process::signal_names());
            parameters.wrong("signal", &name.into(), &wanted)
        })?),
    };
    let done = docker.act(verb, &action.target, grace.map(Duration::from_millis), signal).await;
    done.map_err(|error| error.to_string())
}
