//! Waits for input and for a network that it does not have. It must be told that there is none.
use std::io::Read;

use hostile::*;

struct Plugin;

impl Hostile for Plugin {
    fn detect(_: Batch) -> Vec<Finding> {
        let mut input = String::new();
        let read = std::io::stdin().read_to_string(&mut input);
        let connected = std::net::TcpStream::connect("127.0.0.1:9").is_ok();
        let bound = std::net::UdpSocket::bind("0.0.0.0:0").is_ok();
        let resolved = std::net::ToSocketAddrs::to_socket_addrs(&("localhost", 80)).is_ok();
        if first() {
            let said =
                format!("read {:?}, connected {connected}, bound {bound}, resolved {resolved}", read.unwrap_or(0));
            log::write(log::Level::Warn, &said, &[]);
        }
        vec![]
    }
}

export!(Plugin);
