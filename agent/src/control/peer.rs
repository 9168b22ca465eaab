use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use tokio::net::UnixListener;

/// No login session: the audit system's word for it (`(uid_t) -1`, audit(7)).
const NO_LOGIN: u32 = u32::MAX;

/// Who is at the other end of a connection, by the kernel's word.
#[derive(Debug, Clone)]
pub(super) struct Peer(String);

impl Peer {
    /// `root (uid 0)`; with the one who logged in where that is another, as under sudo: `root (uid 0, login alice)`.
    pub(super) fn actor(&self) -> String {
        self.0.clone()
    }
}

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        let Ok(peer) = stream.io().peer_cred() else { return Self("unknown".to_owned()) };
        let login = peer.pid().and_then(|pid| {
            let text = std::fs::read_to_string(format!("/proc/{pid}/loginuid")).ok()?;
            text.trim().parse::<u32>().ok().filter(|login| *login != NO_LOGIN && *login != peer.uid())
        });
        let login = login.map(|login| format!(", login {}", name(login))).unwrap_or_default();
        Self(format!("{} (uid {}{login})", name(peer.uid()), peer.uid()))
    }
}

fn name(uid: u32) -> String {
    uzers::get_user_by_uid(uid).map_or_else(|| uid.to_string(), |user| user.name().to_string_lossy().into_owned())
}
