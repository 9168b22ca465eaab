//! The command line's side of the API.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, bail};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response, StatusCode};
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
    let message = message(&body);
    if status.is_client_error() {
        return Ok(Err(message));
    }
    bail!("the agent failed to answer: {message}")
}

/// Copies the answer to `GET path` as it comes, however long it is.
pub(super) fn copy(socket: &Path, path: &str, to: &mut impl Write) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let response = send(socket, path).await?;
        let status = response.status();
        let mut body = response.into_body();
        if !status.is_success() {
            let body = body.collect().await?.to_bytes();
            bail!("the agent failed to answer: {}", message(&body));
        }
        while let Some(frame) = body.frame().await {
            let frame = frame.context("the agent's answer broke off; its log says why")?;
            if let Some(data) = frame.data_ref() {
                to.write_all(data)?;
            }
        }
        Ok(())
    })
}

/// The agent's words for why not.
fn message(body: &[u8]) -> String {
    let error: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    error.get("error").and_then(|error| error.as_str()).unwrap_or("no reason given").to_owned()
}

async fn fetch(socket: &Path, path: &str) -> anyhow::Result<(StatusCode, Bytes)> {
    let response = send(socket, path).await?;
    let status = response.status();
    Ok((status, response.into_body().collect().await?.to_bytes()))
}

async fn send(socket: &Path, path: &str) -> anyhow::Result<Response<Incoming>> {
    let stream = UnixStream::connect(socket).await.with_context(|| {
        format!("no agent answers on {}; start one, or name its socket with --socket or SALVE_SOCKET", socket.display())
    })?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::get(path).header("host", "salve").body(Empty::<Bytes>::new())?;
    Ok(sender.send_request(request).await?)
}
