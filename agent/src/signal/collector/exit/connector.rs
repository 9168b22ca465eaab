//! The kernel's process connector: a netlink socket that tells of every fork, exec and exit.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recvfrom, sendto, socket_with, sockopt,
};
use tokio::io::unix::AsyncFd;
use tokio::time::timeout;

use super::message::{self, Message};

/// How long the kernel may take to answer the request. It answers at once, or, in a namespace of its own, never.
const ANSWER: Duration = Duration::from_millis(500);
/// What the socket holds for us: some ten thousand messages.
pub(super) const ROOM: usize = 8 << 20;

/// What comes next from the connector.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A message.
    Message(Message),
    /// There was no room for some: nobody knows how many.
    Overrun,
}

/// The socket.
#[derive(Debug)]
pub(super) struct Connector {
    socket: AsyncFd<OwnedFd>,
}

impl Connector {
    /// Listens to these events; an error says why that cannot be.
    pub(super) async fn open(events: u32, room: usize) -> Result<Self, String> {
        let failed = |what: &str| {
            let what = what.to_owned();
            move |error: Errno| format!("the process connector {what}: {error}; it needs CAP_NET_ADMIN")
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(netlink::CONNECTOR));
        let socket = socket.map_err(failed("is not in this kernel"))?;
        // Beyond the host's limit where we may; what the host allows where we may not.
        sockopt::set_socket_recv_buffer_size_force(&socket, room)
            .or_else(|_| sockopt::set_socket_recv_buffer_size(&socket, room))
            .map_err(failed("gets no room"))?;
        bind(&socket, &SocketAddrNetlink::new(0, message::PROC)).map_err(failed("cannot be joined"))?;
        let kernel = SocketAddrNetlink::new(0, 0);
        // The first is for every kernel; the second, of Linux 6.6 and later, spares us what nobody needs.
        for request in [message::listen(None), message::listen(Some(events))] {
            sendto(&socket, &request, SendFlags::empty(), &kernel).map_err(failed("takes no request"))?;
        }
        // Its replacement `register` is unsafe to call, for types whose descriptor may change under it. An `OwnedFd`
        // is not one of these.
        #[expect(deprecated)]
        let socket =
            AsyncFd::new(socket).map_err(|error| format!("the process connector cannot be waited for: {error}"))?;
        let connector = Self { socket };
        let answer = async {
            loop {
                match connector.next().await {
                    Ok(Next::Message(Message::Answer(0))) => return Ok(()),
                    Ok(Next::Message(Message::Answer(error))) => {
                        let errno = Errno::from_raw_os_error(error.cast_signed());
                        return Err(failed("refuses")(errno));
                    }
                    Ok(_) => {}
                    Err(error) => return Err(format!("the process connector cannot be read: {error}")),
                }
            }
        };
        match timeout(ANSWER, answer).await {
            Ok(answer) => answer.map(|()| connector),
            Err(_) => Err("the process connector does not answer: it does so only outside of containers".to_owned()),
        }
    }

    /// Waits for what comes next.
    pub(super) async fn next(&self) -> io::Result<Next> {
        loop {
            let mut ready = self.socket.readable().await?;
            if let Ok(next) = ready.try_io(|socket| receive(socket.get_ref())) {
                match next {
                    Ok(Some(message)) => return Ok(Next::Message(message)),
                    Ok(None) => {}
                    Err(error) if Errno::from_io_error(&error) == Some(Errno::NOBUFS) => return Ok(Next::Overrun),
                    Err(error) => return Err(error),
                }
            }
        }
    }
}

/// The next message; none if it is none of the kernel's.
fn receive(socket: &OwnedFd) -> io::Result<Option<Message>> {
    let mut buffer = [0_u8; 256];
    let (_, length, sender) = recvfrom(socket, &mut buffer[..], RecvFlags::DONTWAIT)?;
    let kernel = sender.and_then(|sender| SocketAddrNetlink::try_from(sender).ok()).is_some_and(|it| it.pid() == 0);
    Ok(buffer.get(..length).filter(|_| kernel).and_then(Message::parse))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[tokio::test]
    async fn too_many_messages_are_an_overrun_and_the_next_are_read() {
        let connector = match Connector::open(message::FORK | message::EXIT, 2048).await {
            Ok(connector) => connector,
            Err(reason) => return eprintln!("skipped: {reason}"),
        };
        // Nobody reads meanwhile.
        for _ in 0..50 {
            Command::new("true").status().unwrap();
        }
        let overrun = async { while connector.next().await.unwrap() != Next::Overrun {} };
        timeout(Duration::from_secs(10), overrun).await.unwrap();
        // Until all that waits is read, the kernel drops what comes.
        loop {
            tokio::select! {
                biased;
                _ = connector.next() => {}
                () = std::future::ready(()) => break,
            }
        }
        let child = Command::new("true").spawn().unwrap();
        let process = child.id();
        child.wait_with_output().unwrap();
        let seen = async {
            loop {
                if let Next::Message(Message::Exit { process: ended, .. }) = connector.next().await.unwrap()
                    && ended == process
                {
                    return;
                }
            }
        };
        timeout(Duration::from_secs(10), seen).await.unwrap();
    }
}
