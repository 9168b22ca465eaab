//! A connection, over TCP, TLS or a Unix socket, and whether the other side says what it should.

use std::path::Path;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::answer::Answer;
use crate::config::{Dialogue, TcpProbe};

/// Bytes of an answer that are looked at.
const ANSWER: usize = 64 * 1024;

/// Asks a TCP port once, by TLS where there is a connector.
pub(super) async fn tcp(probe: &TcpProbe, tls: Option<&TlsConnector>) -> Answer {
    let stream = match TcpStream::connect((probe.host.as_str(), probe.port)).await {
        Ok(stream) => stream,
        Err(error) => return Answer::down(format!("cannot connect: {error}")),
    };
    let Some(tls) = tls else {
        return converse(stream, &probe.dialogue).await;
    };
    let server = match ServerName::try_from(probe.host.clone()) {
        Ok(server) => server,
        Err(error) => return Answer::unknown(format!("`{}` cannot be asked by TLS: {error}", probe.host)),
    };
    match tls.connect(server, stream).await {
        Ok(stream) => converse(stream, &probe.dialogue).await,
        Err(error) => Answer::down(format!("no TLS: {error}")),
    }
}

/// Asks a Unix socket once.
pub(super) async fn unix(path: &Path, dialogue: &Dialogue) -> Answer {
    match UnixStream::connect(path).await {
        Ok(stream) => converse(stream, dialogue).await,
        Err(error) => Answer::down(format!("cannot connect: {error}")),
    }
}

async fn converse(mut stream: impl AsyncRead + AsyncWrite + Unpin, dialogue: &Dialogue) -> Answer {
    if let Some(send) = &dialogue.send {
        let sent = match stream.write_all(send.as_bytes()).await {
            Ok(()) => stream.flush().await,
            error => error,
        };
        if let Err(error) = sent {
            return Answer::down(format!("connected, but nothing can be sent: {error}"));
        }
    }
    let Some(expected) = &dialogue.expect else {
        return Answer::up("connected");
    };
    let mut said = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer).await {
            Ok(0) => return Answer::down(format!("it closed without `{expected}`{}", quote(&said))),
            Ok(count) => said.extend(buffer.iter().take(count.min(ANSWER - said.len()))),
            Err(error) => return Answer::down(format!("it broke off without `{expected}`: {error}{}", quote(&said))),
        }
        if expected.is_match(&said) {
            return Answer::up(format!("connected{}", quote(&said)));
        }
        if said.len() == ANSWER {
            return Answer::down(format!("the first {} KiB are without `{expected}`{}", ANSWER / 1024, quote(&said)));
        }
    }
}

/// The first line of what was said.
fn quote(said: &[u8]) -> String {
    let text = String::from_utf8_lossy(said);
    match text.lines().next().map(str::trim_end) {
        Some(line) if !line.is_empty() => format!("; it said: {}", line.chars().take(120).collect::<String>()),
        _ => String::new(),
    }
}
