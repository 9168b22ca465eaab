use std::path::PathBuf;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::model::{Inspected, Listed};
use super::stream::Happenings;
use super::{Container, ContainerError, Stats};

/// How long an answer may take, unless the question itself takes time.
const ANSWER: Duration = Duration::from_secs(10);
/// The longest answer that is read: a list of some ten thousand containers.
const MAX_ANSWER: usize = 32 << 20;

/// What is asked of `GET /events`: `{"type": ["container"], "event": […]}`, percent-encoded. Docker's health checks cause a
/// stream of other events that nobody needs. An event has two names where podman has its own.
const EVENTS: &str = "/events?filters=%7B%22type%22%3A%5B%22container%22%5D%2C%22event%22%3A%5B%22die%22%2C%22died%22%2C\
    %22oom%22%2C%22health_status%22%2C%22start%22%2C%22stop%22%2C%22kill%22%2C%22destroy%22%2C%22remove%22%2C\
    %22restart%22%2C%22pause%22%2C%22unpause%22%2C%22rename%22%5D%7D";

/// The Docker API of this host, behind the first of some sockets that is there. Each question has a connection of its own:
/// they are few, and a Unix socket costs nothing to speak of.
#[derive(Debug, Clone)]
pub struct Docker {
    sockets: Vec<PathBuf>,
}

impl Docker {
    /// Asks on the first of these sockets that is there.
    pub fn new(sockets: Vec<PathBuf>) -> Self {
        Self { sockets }
    }

    /// The ids of all containers, running or not.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn list(&self) -> Result<Vec<String>, ContainerError> {
        let listed: Vec<Listed> = self.get("/containers/json?all=true", "").await?;
        Ok(listed.into_iter().map(|listed| listed.id).collect())
    }

    /// One container, by name or id.
    ///
    /// # Errors
    /// [`ContainerError::Unknown`] if there is none.
    pub async fn inspect(&self, container: &str) -> Result<Container, ContainerError> {
        if !is_name(container) {
            return Err(ContainerError::Unknown(container.to_owned()));
        }
        Ok(self.get::<Inspected>(&format!("/containers/{container}/json"), container).await?.into())
    }

    /// What a container uses now.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn stats(&self, id: &str) -> Result<Stats, ContainerError> {
        self.get(&format!("/containers/{id}/stats?stream=false&one-shot=true"), id).await
    }

    /// What happens to containers from now on.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn happenings(&self) -> Result<Happenings, ContainerError> {
        let response = self.send(Method::GET, EVENTS, "", ANSWER).await?;
        Ok(Happenings::new(response.into_body(), self.name()))
    }

    /// Tells it to do something, which may take so long; true if it changed something, false if all was so already.
    pub(super) async fn post(&self, path: &str, container: &str, limit: Duration) -> Result<bool, ContainerError> {
        let response = self.send(Method::POST, path, container, limit).await?;
        let changed = response.status() != StatusCode::NOT_MODIFIED;
        // podman says 200 before it has waited, and the rest when it has.
        self.within(limit, self.read(response.into_body())).await?;
        Ok(changed)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str, container: &str) -> Result<T, ContainerError> {
        let response = self.send(Method::GET, path, container, ANSWER).await?;
        let body = self.within(ANSWER, self.read(response.into_body())).await?;
        serde_json::from_slice(&body).map_err(|error| ContainerError::Garbage(format!("{path}: {error}")))
    }

    /// Asks, and waits for the head of the answer.
    async fn send(
        &self,
        method: Method,
        path: &str,
        container: &str,
        limit: Duration,
    ) -> Result<Response<Incoming>, ContainerError> {
        let response = self.within(limit, self.request(method, path)).await?;
        let status = response.status();
        if status.is_success() || status == StatusCode::NOT_MODIFIED {
            return Ok(response);
        }
        if status == StatusCode::NOT_FOUND && !container.is_empty() {
            return Err(ContainerError::Unknown(container.to_owned()));
        }
        let body = self.within(ANSWER, self.read(response.into_body())).await?;
        let json: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        let message = json.get("message").and_then(|message| message.as_str()).unwrap_or("no reason given");
        Err(ContainerError::Refused { status: status.as_u16(), message: message.chars().take(500).collect() })
    }

    async fn request(&self, method: Method, path: &str) -> Result<Response<Incoming>, ContainerError> {
        let lost = |error: &dyn std::fmt::Display| self.lost(error.to_string());
        let socket = self.sockets.iter().find(|socket| socket.exists());
        let socket = socket.ok_or_else(|| ContainerError::NoSocket(self.name()))?;
        let stream = UnixStream::connect(socket).await.map_err(|error| lost(&error))?;
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|error| lost(&error))?;
        // It ends with the answer, or when nobody wants that any more.
        tokio::spawn(connection);
        let request = Request::builder().method(method).uri(path).header("host", "docker");
        let request = request.body(Empty::<Bytes>::new()).map_err(|error| lost(&error))?;
        sender.send_request(request).await.map_err(|error| lost(&error))
    }

    async fn read(&self, body: Incoming) -> Result<Bytes, ContainerError> {
        let body = Limited::new(body, MAX_ANSWER).collect().await;
        body.map(http_body_util::Collected::to_bytes).map_err(|error| self.lost(error.to_string()))
    }

    async fn within<T>(
        &self,
        limit: Duration,
        question: impl Future<Output = Result<T, ContainerError>>,
    ) -> Result<T, ContainerError> {
        let silence = |_| self.lost(format!("no answer within {} s", limit.as_secs()));
        timeout(limit, question).await.map_err(silence)?
    }

    fn lost(&self, why: String) -> ContainerError {
        ContainerError::Lost { socket: self.name(), why }
    }

    /// The socket that is there, or all that could be.
    fn name(&self) -> String {
        match self.sockets.iter().find(|socket| socket.exists()) {
            Some(socket) => socket.display().to_string(),
            None => self.sockets.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" or "),
        }
    }
}

/// Whether a container can be called so (`[a-zA-Z0-9][a-zA-Z0-9_.-]*`, moby's `RestrictedNameChars`): nothing else gets into
/// a path.
fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphanumeric())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}
