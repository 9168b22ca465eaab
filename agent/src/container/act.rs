use std::time::Duration;

use super::{Container, ContainerError, Docker};

/// How long a stop may take beyond the grace it was given, and a start at all: mounts, networks, the runtime.
const WORK: Duration = Duration::from_secs(60);
/// The grace of a stop that does not say: Docker's own.
const GRACE: Duration = Duration::from_secs(10);
/// How long a container may take to be over once it was killed.
const END: Duration = Duration::from_secs(10);

/// What can be done to a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Start it if it does not run.
    Start,
    /// Have it end, by force after a grace.
    Stop,
    /// Stop it if it runs, then start it.
    Restart,
    /// Send its main process a signal.
    Kill,
}

impl Verb {
    /// Every verb, in the order documentation lists them.
    pub const ALL: [Self; 4] = [Self::Start, Self::Stop, Self::Restart, Self::Kill];

    /// The verb as action kinds and `docker` spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Kill => "kill",
        }
    }
}

impl Docker {
    /// Does `verb` to the container called `name`, and looks at what came of it: `exited(1) (pid none) -> running (pid
    /// 123)`. `grace` is how long a stop waits before it uses force; `signal` is what a kill sends, `KILL` if nothing is
    /// said.
    ///
    /// # Errors
    /// [`ContainerError::Unknown`], [`ContainerError::Failed`] if it did not have its effect, or what the API says.
    pub async fn act(
        &self,
        verb: Verb,
        name: &str,
        grace: Option<Duration>,
        signal: Option<&str>,
    ) -> Result<String, ContainerError> {
        let before = self.inspect(name).await?;
        // An id, or the beginning of one, would be another target to grants, holds and locks than the name.
        if before.name != name {
            let message = format!("`{name}` is the id of the container `{}`; name it", before.name);
            return Err(ContainerError::Failed(message));
        }
        let id = &before.id;
        // Whole seconds are what the API takes; a little more is not noticed, none at all would be.
        let seconds = |grace: Duration| grace.as_millis().div_ceil(1000);
        let wait = grace.map(|grace| format!("?t={}", seconds(grace))).unwrap_or_default();
        let limit = WORK + grace.unwrap_or(GRACE);
        let changed = match verb {
            Verb::Start => self.post(&format!("/containers/{id}/start"), name, WORK).await?,
            Verb::Stop => self.post(&format!("/containers/{id}/stop{wait}"), name, limit).await?,
            Verb::Restart => self.post(&format!("/containers/{id}/restart{wait}"), name, limit).await?,
            Verb::Kill => {
                let signal = signal.unwrap_or("KILL");
                let sent = self.post(&format!("/containers/{id}/kill?signal=SIG{signal}"), name, WORK).await?;
                if signal == "KILL" {
                    let over = format!("/containers/{id}/wait?condition=not-running");
                    match self.post(&over, name, END).await {
                        // One that removes itself when it is over.
                        Ok(_) | Err(ContainerError::Unknown(_)) => {}
                        Err(error) => return Err(error),
                    }
                }
                sent
            }
        };
        let after = match self.inspect(id).await {
            Ok(after) => after,
            Err(ContainerError::Unknown(_)) if matches!(verb, Verb::Stop | Verb::Kill) => {
                return Ok(format!("{} -> removed", before.status));
            }
            Err(error) => return Err(error),
        };
        judge(verb, signal, &before, &after, changed)
    }
}

/// What changed, or that it is not what it should have been.
fn judge(
    verb: Verb,
    signal: Option<&str>,
    before: &Container,
    after: &Container,
    changed: bool,
) -> Result<String, ContainerError> {
    let change = format!("{} -> {}", before.status, after.status);
    let runs = after.status.running;
    let wrong = |why: &str| Err(ContainerError::Failed(format!("{change}: {why}")));
    match verb {
        Verb::Start | Verb::Restart if !runs => wrong("it does not run"),
        Verb::Restart if before.status.pid.is_some() && before.status.pid == after.status.pid => {
            wrong("it is the same process as before")
        }
        Verb::Stop if runs => wrong("it runs all the same, perhaps by its restart policy"),
        Verb::Kill => Ok(format!("sent SIG{}: {change}", signal.unwrap_or("KILL"))),
        Verb::Start | Verb::Stop if !changed => Ok(format!("{change}: it was so already")),
        _ => Ok(change),
    }
}
