//! A server that answers everything with 200, and remembers what it was asked.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

const TIMEOUT: Duration = Duration::from_secs(10);

/// Listens on a port of the loopback for as long as the test runs.
#[derive(Debug)]
pub struct Receiver {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Receiver {
    /// Starts to listen.
    pub fn start() -> Result<Receiver> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let (port, asked) = (listener.local_addr()?.port(), Arc::<Mutex<Vec<String>>>::default());
        let heard = asked.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A caller that does not finish its sentence has not asked anything.
                if let Ok(request) = answer(stream) {
                    heard.lock().unwrap_or_else(PoisonError::into_inner).push(request);
                }
            }
        });
        Ok(Receiver { port, asked })
    }

    /// Where it is: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The requests so far, head and body.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Reads one request with its body, says yes, and returns it.
fn answer(mut stream: TcpStream) -> Result<String> {
    stream.set_read_timeout(Some(TIMEOUT))?;
    let mut request = Vec::new();
    while !is_whole(&request) {
        let mut part = [0; 4096];
        let count = stream.read(&mut part)?;
        request.extend(part.get(..count).filter(|part| !part.is_empty()).context("it ended too early")?);
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")?;
    Ok(String::from_utf8(request)?)
}

/// Whether the head is complete, and the body as long as it says.
fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let lengths = head.lines().filter_map(|line| line.split_once(':'));
    let mut lengths = lengths.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length = lengths.next().and_then(|(_, length)| length.trim().parse().ok()).unwrap_or(0);
    body.len() >= length
}
