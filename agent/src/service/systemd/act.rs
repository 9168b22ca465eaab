//! Acting on units: enqueue a job, wait for how it ends.

use std::time::Duration;

use zbus::{MatchRule, Message, MessageStream, OwnedObjectPath, fdo};

use super::bus::Bus;
use super::next;
use crate::service::{Change, ServiceError, Verb};

/// How long an action on a unit may take: systemd's own default for starting and for stopping
/// (`DefaultTimeoutStartSec`, `DefaultTimeoutStopSec`).
pub const ACTION_TIMEOUT: Duration = Duration::from_secs(90);

/// Jobs that may end on the host, of any unit, while systemd answers one call.
const JOBS_QUEUED: std::num::NonZeroUsize = std::num::NonZeroUsize::MIN.saturating_add(1023);

pub(super) async fn act(bus: &Bus, verb: Verb, unit: &str) -> Result<Change, ServiceError> {
    let doing = async {
        // Before the call, so that a job which is over at once is not missed.
        let rule = MatchRule::builder()
            .msg_type(zbus::message::Type::Signal)
            .sender("org.freedesktop.systemd1")
            .interface("org.freedesktop.systemd1.Manager")
            .member("JobRemoved")
            .build()?;
        let jobs = MessageStream::for_match_rule(rule, bus.connection(), Some(JOBS_QUEUED));
        let (mut jobs, before) = tokio::try_join!(jobs, bus.read(unit))?;
        let Some(before) = before.filter(|reading| !reading.is_absent()) else {
            return Ok(None);
        };
        let result = match verb {
            Verb::Start => run(bus, &mut jobs, "StartUnit", unit).await?,
            Verb::Stop => run(bus, &mut jobs, "StopUnit", unit).await?,
            Verb::Restart => run(bus, &mut jobs, "RestartUnit", unit).await?,
            Verb::Reload => run(bus, &mut jobs, "ReloadUnit", unit).await?,
            Verb::ResetFailed => {
                bus.manager("ResetFailedUnit", &unit).await?;
                "done".to_owned()
            }
        };
        let after = bus.read(unit).await?;
        Ok(after.map(|after| (before, result, after)))
    };
    let outcome = match tokio::time::timeout(ACTION_TIMEOUT, doing).await {
        Ok(outcome) => outcome.map_err(|error| explain(error, verb, unit))?,
        Err(_) => {
            let seconds = ACTION_TIMEOUT.as_secs();
            return Err(ServiceError::TimedOut { verb: verb.as_str(), name: unit.to_owned(), seconds });
        }
    };
    let Some((before, result, after)) = outcome else {
        return Err(ServiceError::Unknown(unit.to_owned()));
    };
    let asked = matches!(verb, Verb::Stop | Verb::Restart).then_some(true);
    let (mut before, mut after) = (before.status(None), after.status(asked));
    // An alias leads to a unit of another name; whoever asked knows it by this one.
    unit.clone_into(&mut before.name);
    unit.clone_into(&mut after.name);
    if result == "done" {
        return Ok(Change { before, after });
    }
    let verb = verb.as_str();
    Err(ServiceError::Failed(match result.as_str() {
        "failed" => format!("{verb} of {unit} failed (result: {})", after.result),
        "timeout" => format!("{verb} of {unit} ran into the timeout of the unit (result: {})", after.result),
        "canceled" => format!("{verb} of {unit} was canceled by another job"),
        "dependency" => format!("{verb} of {unit} was not tried: a unit it depends on failed"),
        "skipped" => format!("{verb} of {unit} was skipped: it does not apply while the unit is {}", after.sub_state),
        other => format!("{verb} of {unit} ended with `{other}` (result: {})", after.result),
    }))
}

/// Enqueues a job and waits for its result.
async fn run(bus: &Bus, jobs: &mut MessageStream, method: &str, unit: &str) -> zbus::Result<String> {
    let reply = bus.manager(method, &(unit, "replace")).await?;
    let job: OwnedObjectPath = reply.body().deserialize()?;
    while let Some(message) = next(jobs).await {
        let message = message?;
        if is_from_same(&message, &reply) {
            let body = message.body();
            let (_, path, _, result): (u32, OwnedObjectPath, &str, &str) = body.deserialize()?;
            if path == job {
                return Ok(result.to_owned());
            }
        }
    }
    Err(fdo::Error::Disconnected("the system bus went away while the job ran".to_owned()).into())
}

/// Anybody may send a signal to the agent, but only systemd answers its calls.
fn is_from_same(signal: &Message, reply: &Message) -> bool {
    signal.header().sender() == reply.header().sender()
}

/// Says what an error of the bus or of systemd means for the one who asked.
fn explain(error: zbus::Error, verb: Verb, unit: &str) -> ServiceError {
    let denied = |text: &str| {
        let verb = verb.as_str();
        ServiceError::Failed(format!(
            "not permitted to {verb} {unit}: run the agent as root or allow it \
             org.freedesktop.systemd1.manage-units in polkit ({text})"
        ))
    };
    match error {
        zbus::Error::MethodError(name, text, _) => {
            let text = text.unwrap_or_else(|| name.to_string());
            match name.strip_prefix("org.freedesktop.systemd1.") {
                Some("NoSuchUnit") => ServiceError::Unknown(unit.to_owned()),
                Some("JobTypeNotApplicable") => {
                    ServiceError::Unsupported { verb: verb.as_str(), name: unit.to_owned(), why: text }
                }
                _ => ServiceError::Failed(format!("{} of {unit}: {text}", verb.as_str())),
            }
        }
        zbus::Error::FDO(error) => match *error {
            fdo::Error::AccessDenied(text)
            | fdo::Error::AuthFailed(text)
            | fdo::Error::InteractiveAuthorizationRequired(text) => denied(&text),
            other => ServiceError::NoSystemd(other.to_string()),
        },
        other => ServiceError::NoSystemd(other.to_string()),
    }
}
