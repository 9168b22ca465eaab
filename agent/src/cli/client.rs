//! The command line's side of the API.

use std::path::Path;

use anyhow::{Context, bail};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

/// What the agent answers to `GET path`; none if it says that there is no such thing, with its words for that.
pub(super) fn get<T: DeserializeOwned>(socket: &Path, path: &str) -> anyhow::Result<Result<T, String>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (status, body) = runtime.block_on(fetch(socket, path))?;
    if status.is_success() {
        let answer =
            serde_json::from_slice(&body).context("the agent's answer makes no sense; is it of this version?")?;
        return Ok(Ok(answer));
    }
    let error: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let message = error.get("error").and_then(|error| error.as_str()).unwrap_or("no reason given").to_owned();
    if status.is_client_error() {
        return Ok(Err(message));
    }
    bail!("the agent failed to answer: {message}")
}

async fn fetch(socket: &Path, path: &str) -> anyhow::Result<(StatusCode, Bytes)> {
    let stream = UnixStream::connect(socket).await.with_context(|| {
        format!("no agent answers on {}; start one, or name its socket with --socket or SALVE_SOCKET", socket.display())
    })?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::get(path).header("host", "salve").body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    Ok((status, response.into_body().collect().await?.to_bytes()))
}
