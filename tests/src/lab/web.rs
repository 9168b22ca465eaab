//! Talking HTTP with what runs on a host.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::Host;

const TIMEOUT: Duration = Duration::from_secs(5);

impl Host {
    /// What answers to `GET /` on this port of the host's loopback: the whole answer, from `HTTP/1.1 200 OK` on.
    pub fn http(&self, port: u16) -> Result<String> {
        let namespace = File::open(format!("/proc/{}/ns/net", self.pid()))?;
        // A thread of its own, because there is no way back from a namespace but to end.
        let talk = move || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            let mut stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), TIMEOUT)?;
            stream.set_read_timeout(Some(TIMEOUT))?;
            stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        thread::spawn(talk).join().ok().context("the thread panicked")?
    }
}
