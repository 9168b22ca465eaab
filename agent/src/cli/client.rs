//! The command line's side of the API.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, bail};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::http::request::Builder;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::Outcome;
use super::output::Page;

/// What the agent answers to `GET path`; none if it says that there is no such thing, with its words for that.
pub(crate) fn get<T: DeserializeOwned>(socket: &Path, path: &str) -> anyhow::Result<Result<T, String>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (status, body) = runtime.block_on(fetch(socket, Request::get(path), Bytes::new()))?;
    read(status, &body)
}

/// A name as a part of a path of the API.
pub(super) fn escaped(name: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    name.bytes().map(escape).collect()
}

/// Says something to the agent, and prints what it answers; what it refuses is told with its words.
pub(super) fn say(socket: &Path, path: &str, body: &serde_json::Value) -> anyhow::Result<Outcome> {
    say_as(socket, path, "application/json", body)
}

/// Like [`say`], in a format that has a content type of its own.
pub(super) fn say_as(
    socket: &Path,
    path: &str,
    content_type: &str,
    body: &serde_json::Value,
) -> anyhow::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let request = Request::post(path).header("content-type", content_type);
    let (status, answer) = runtime.block_on(fetch(socket, request, body.to_string().into()))?;
    match read::<serde_json::Value>(status, &answer)? {
        Ok(answer) => {
            let mut page = Page::default();
            page.line(answer.get("message").and_then(|message| message.as_str()).unwrap_or("done"));
            page.print()?;
            Ok(Outcome::Fine)
        }
        Err(refusal) => {
            eprintln!("salve: {refusal}");
            Ok(Outcome::NotFine)
        }
    }
}

fn read<T: DeserializeOwned>(status: StatusCode, body: &[u8]) -> anyhow::Result<Result<T, String>> {
    if status.is_success() {
        let answer =
            serde_json::from_slice(body).context("the agent's answer makes no sense; is it of this version?")?;
        return Ok(Ok(answer));
    }
    let message = message(body);
    if status.is_client_error() {
        return Ok(Err(message));
    }
    bail!("the agent failed to answer: {message}")
}

/// Copies the answer to `GET path` as it comes, however long it is.
pub(super) fn copy(socket: &Path, path: &str, to: &mut impl Write) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let response = send(socket, Request::get(path), Bytes::new()).await?;
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

async fn fetch(socket: &Path, request: Builder, body: Bytes) -> anyhow::Result<(StatusCode, Bytes)> {
    let response = send(socket, request, body).await?;
    let status = response.status();
    Ok((status, response.into_body().collect().await?.to_bytes()))
}

async fn send(socket: &Path, request: Builder, body: Bytes) -> anyhow::Result<Response<Incoming>> {
    let stream = UnixStream::connect(socket).await.with_context(|| {
        format!("no agent answers on {}; start one, or name its socket with --socket or SALVE_SOCKET", socket.display())
    })?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = request.header("host", "salve").body(Full::new(body))?;
    Ok(sender.send_request(request).await?)
}
