use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::{ContainerError, Happening};

/// The longest line that is read: a container's labels are part of its events.
const MAX_LINE: usize = 1 << 20;

/// What happens to containers, as it happens.
#[derive(Debug)]
pub struct Happenings {
    body: Incoming,
    socket: String,
    /// What has come and is not taken yet.
    pending: Vec<u8>,
}

impl Happenings {
    pub(super) fn new(body: Incoming, socket: String) -> Self {
        Self { body, socket, pending: Vec::new() }
    }

    /// The next thing that happens to a container. Nothing is lost if it is not waited for to the end.
    ///
    /// # Errors
    /// [`ContainerError::Lost`] when no more will come; [`ContainerError::Garbage`] for a line that makes no sense, after which
    /// the next may.
    pub async fn next(&mut self) -> Result<Happening, ContainerError> {
        loop {
            while let Some(line) = self.line() {
                if line.is_empty() {
                    continue;
                }
                if let Some(happening) = Happening::parse(&line)? {
                    return Ok(happening);
                }
            }
            if self.pending.len() > MAX_LINE {
                return Err(self.lost("an event that does not end"));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => self.pending.extend_from_slice(frame.data_ref().map_or(&[], |data| data)),
                Some(Err(error)) => return Err(self.lost(&error.to_string())),
                None => return Err(self.lost("it ended the stream of events")),
            }
        }
    }

    /// The first whole line, without its end.
    fn line(&mut self) -> Option<Vec<u8>> {
        let end = self.pending.iter().position(|byte| *byte == b'\n')?;
        let mut line: Vec<u8> = self.pending.drain(..=end).collect();
        line.truncate(line.trim_ascii_end().len());
        Some(line)
    }

    fn lost(&self, why: &str) -> ContainerError {
        ContainerError::Lost { socket: self.socket.clone(), why: why.to_owned() }
    }
}
