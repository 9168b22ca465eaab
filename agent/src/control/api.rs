use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, Path as UrlPath, Query, State as Shared};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router as Routes};
use serde::Deserialize;
use serde_json::json;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::block_in_place;
use tokio::time::{Instant, sleep};

use super::peer::Peer;
use super::{Collected, Desk, IncidentDetail, IncidentView, Outside, StatusView, events, history, ledger};
use crate::clock::{Clock, Timestamp};
use crate::config::Mode;
use crate::incident::ledger::{LedgerError, LedgerReader};
use crate::incident::{Incident, Trouble, Word};
use crate::notify::Notifier;
use crate::plugin::FleetView;
use crate::signal::History;
use crate::signal::collector::Health;

/// How long the socket of an agent that is gone may be held by what it left behind.
const LAST_MOMENT: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(10);

/// Incidents in one answer unless more are asked for.
const LIMIT: u32 = 100;
/// Incidents in one answer at most.
const MAX_LIMIT: u32 = 10_000;

/// The API cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// Somebody answers on the socket.
    #[error("another agent answers on {0}; stop it, or give this one another [api] socket")]
    InUse(PathBuf),
    /// Something else is where the socket should be.
    #[error("{0} is not a socket and is left alone; give the agent another [api] socket")]
    NoSocket(PathBuf),
    /// The socket cannot be made.
    #[error("cannot listen on {path}: {error}; set [api] socket in salve.toml to a path the agent can make")]
    Listen {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// What the API speaks for.
pub struct Api {
    /// Incidents.
    pub ledger: LedgerReader,
    /// Plugins and policies.
    pub fleet: Box<dyn Fn() -> FleetView + Send + Sync>,
    /// What is wrong with the ledger.
    pub trouble: watch::Receiver<Trouble>,
    /// What happened at the start that a person should know.
    pub notes: Vec<String>,
    /// How the sources of signals do.
    pub health: Arc<Health>,
    /// What the metrics were.
    pub history: Arc<History>,
    /// Those who are told.
    pub notifier: Arc<Notifier>,
    /// Where persons' words go.
    pub desk: Arc<Desk>,
    /// Where events from outside go.
    pub outside: Outside,
    /// Tells which holds are over.
    pub clock: Arc<dyn Clock>,
    /// Since when the agent runs.
    pub started_at: Timestamp,
    /// The most any policy may do.
    pub ceiling: Mode,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Api")
    }
}

impl Api {
    /// Takes the socket, in a directory that is made if need be; only the agent's user can connect. A socket that an agent
    /// left behind is taken over.
    pub async fn listen(path: &Path) -> Result<UnixListener, ApiError> {
        let listen = |error| ApiError::Listen { path: path.to_owned(), error };
        if is_in_use(path).await {
            return Err(ApiError::InUse(path.to_owned()));
        }
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(listen)?;
        }
        match std::fs::symlink_metadata(path) {
            Ok(meta) if meta.file_type().is_socket() => std::fs::remove_file(path).map_err(listen)?,
            Ok(_) => return Err(ApiError::NoSocket(path.to_owned())),
            Err(_) => {}
        }
        let listener = UnixListener::bind(path).map_err(listen)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(listen)?;
        Ok(listener)
    }

    /// Answers until its task ends.
    pub async fn serve(self, listener: UnixListener) -> io::Result<()> {
        let history = history::routes(self.history.clone(), self.clock.clone());
        let routes = Routes::new()
            .route("/v1/status", get(status))
            .route("/v1/incidents", get(incidents))
            .route("/v1/incidents/{id}", get(incident))
            .route("/v1/incidents/{id}/{word}", post(told))
            .route("/v1/plugins/{name}/release", post(release))
            .route("/v1/pause", post(pause))
            .route("/v1/resume", post(resume))
            .route("/v1/events", post(events::post))
            .route("/v1/report", get(ledger::report))
            .route("/v1/ledger/export", get(ledger::export))
            .fallback(|| async { Refusal(StatusCode::NOT_FOUND, "there is nothing here".to_owned()) })
            .with_state(Arc::new(self))
            .merge(history);
        axum::serve(listener, routes.into_make_service_with_connect_info::<Peer>()).await
    }
}

/// An answer that is an error: `{"error": "…"}`.
pub(super) struct Refusal(pub(super) StatusCode, pub(super) String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}

impl From<LedgerError> for Refusal {
    fn from(error: LedgerError) -> Self {
        Self(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}

async fn status(Shared(api): Shared<Arc<Api>>) -> Result<Json<StatusView>, Refusal> {
    let open_incidents: BTreeMap<_, _> = block_in_place(|| api.ledger.open_by_state())?.into_iter().collect();
    let mut fleet = (api.fleet)();
    fleet.problems.extend(api.trouble.borrow().sentences());
    fleet.problems.extend(api.notes.iter().cloned());
    let channels = block_in_place(|| api.notifier.view())?;
    let (holds, breaker) = block_in_place(|| api.ledger.stops(api.clock.now().wall))?;
    Ok(Json(StatusView {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        started_at: api.started_at,
        ceiling: api.ceiling.as_str().to_owned(),
        open_incidents,
        holds,
        breaker,
        sources: api.health.view(),
        history: api.history.usage(),
        channels,
        fleet,
    }))
}

#[derive(Deserialize)]
struct ListQuery {
    #[serde(default)]
    open: bool,
    limit: Option<u32>,
}

async fn incidents(
    Shared(api): Shared<Arc<Api>>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Vec<IncidentView>>, Refusal> {
    let limit = query.limit.unwrap_or(LIMIT).min(MAX_LIMIT);
    let incidents = block_in_place(|| api.ledger.list(query.open, limit))?;
    Ok(Json(incidents.into_iter().map(IncidentView::from).collect()))
}

async fn incident(
    Shared(api): Shared<Arc<Api>>,
    UrlPath(id): UrlPath<String>,
) -> Result<Json<IncidentDetail>, Refusal> {
    let incident = find(&api, &id)?;
    let transitions = block_in_place(|| api.ledger.transitions(&incident.id))?;
    let collected = block_in_place(|| api.ledger.evidence(&incident.id))?;
    let collected = collected.into_iter().map(|(attempt, evidence)| Collected { attempt, evidence }).collect();
    Ok(Json(IncidentDetail { incident: incident.into(), transitions, collected }))
}

/// The one incident whose id begins so.
fn find(api: &Api, id: &str) -> Result<Incident, Refusal> {
    let mut found = block_in_place(|| api.ledger.find(id))?;
    let (Some(incident), others) = (found.pop(), found.len()) else {
        return Err(Refusal(StatusCode::NOT_FOUND, format!("there is no incident `{id}`")));
    };
    if others > 0 {
        return Err(Refusal(StatusCode::CONFLICT, format!("`{id}` begins several incidents' ids; give more of it")));
    }
    Ok(incident)
}

/// What is said of an incident: `POST /v1/incidents/{id}/approve|deny|resolve`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct About {
    #[serde(default)]
    reason: String,
}

async fn told(
    Shared(api): Shared<Arc<Api>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    UrlPath((id, word)): UrlPath<(String, String)>,
    Json(About { reason }): Json<About>,
) -> Result<Json<serde_json::Value>, Refusal> {
    let incident = find(&api, &id)?.id;
    let word = match word.as_str() {
        "approve" => Word::Approve { incident, reason },
        "deny" => Word::Deny { incident, reason },
        "resolve" => Word::Resolve { incident, reason },
        other => return Err(Refusal(StatusCode::NOT_FOUND, format!("an incident cannot be told to `{other}`"))),
    };
    say(&api, &peer, word).await
}

/// `POST /v1/plugins/{name}/release`: the name of a plugin or of a policy.
async fn release(
    Shared(api): Shared<Arc<Api>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    UrlPath(name): UrlPath<String>,
    Json(About { reason }): Json<About>,
) -> Result<Json<serde_json::Value>, Refusal> {
    say(&api, &peer, Word::Release { name, reason }).await
}

/// `POST /v1/pause`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pause {
    policy: Option<String>,
    target: Option<String>,
    /// Milliseconds.
    for_ms: Option<u64>,
    #[serde(default)]
    reason: String,
}

async fn pause(
    Shared(api): Shared<Arc<Api>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(Pause { policy, target, for_ms, reason }): Json<Pause>,
) -> Result<Json<serde_json::Value>, Refusal> {
    let lasting = for_ms.map(Duration::from_millis);
    say(&api, &peer, Word::Pause { policy, target, lasting, reason }).await
}

/// `POST /v1/resume`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Resume {
    policy: Option<String>,
    target: Option<String>,
    #[serde(default)]
    all: bool,
    #[serde(default)]
    breaker: bool,
}

async fn resume(
    Shared(api): Shared<Arc<Api>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(Resume { policy, target, all, breaker }): Json<Resume>,
) -> Result<Json<serde_json::Value>, Refusal> {
    let word = if breaker { Word::CloseBreaker } else { Word::Resume { policy, target, all } };
    say(&api, &peer, word).await
}

/// Whether somebody listens there, and goes on to. Of an agent that was killed while it started a program, a child between
/// fork and exec holds the socket for a moment longer.
async fn is_in_use(path: &Path) -> bool {
    let until = Instant::now() + LAST_MOMENT;
    loop {
        let Ok(stream) = UnixStream::connect(path).await else { return false };
        let pid = stream.peer_cred().ok().and_then(|listener| listener.pid());
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
            return false;
        }
        if Instant::now() >= until {
            return true;
        }
        sleep(LOOK).await;
    }
}

/// `{"message": "…"}`, or why it cannot be.
async fn say(api: &Api, peer: &Peer, word: Word) -> Result<Json<serde_json::Value>, Refusal> {
    match api.desk.say(peer.actor(), word).await {
        Ok(message) => Ok(Json(json!({ "message": message }))),
        Err(error) => Err(Refusal(StatusCode::CONFLICT, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_a_socket_that_was_left_behind_is_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/salve.sock");
        let first = Api::listen(&path).await.unwrap();
        assert!(matches!(Api::listen(&path).await, Err(ApiError::InUse(_))));
        drop(first);
        Api::listen(&path).await.unwrap();

        // A child that still holds it.
        let held = std::os::unix::net::UnixListener::bind(dir.path().join("held")).unwrap();
        rustix::io::fcntl_setfd(&held, rustix::io::FdFlags::empty()).unwrap();
        let mut child = std::process::Command::new("sleep").arg("0.2").spawn().unwrap();
        drop(held);
        assert!(std::os::unix::net::UnixStream::connect(dir.path().join("held")).is_ok());
        Api::listen(&dir.path().join("held")).await.unwrap();
        child.wait().unwrap();

        let file = dir.path().join("precious");
        std::fs::write(&file, "precious").unwrap();
        assert!(matches!(Api::listen(&file).await, Err(ApiError::NoSocket(_))));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
    }
}
