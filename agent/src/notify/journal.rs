use std::io::ErrorKind;
use std::path::PathBuf;

use super::Envelope;
use super::channel::Failure;
use crate::incident::{NoticeKind, Severity};

/// Longest value of a field, in bytes: all fields together stay below the smallest datagram a kernel refuses (208 KiB by
/// default, `net.core.wmem_default`).
const FIELD: usize = 16 * 1024;

/// Writes each notice into the systemd journal, with fields to look for: `journalctl SALVE_INCIDENT=…`.
#[derive(Debug, Clone)]
pub struct Journal {
    /// journald's socket.
    pub socket: PathBuf,
}

impl Default for Journal {
    fn default() -> Self {
        Self { socket: "/run/systemd/journal/socket".into() }
    }
}

impl Journal {
    pub(super) async fn deliver(&self, envelope: &Envelope<'_>) -> Result<(), Failure> {
        let failed = |error: std::io::Error| {
            let hint = if error.kind() == ErrorKind::NotFound { "; is this a host with systemd?" } else { "" };
            Failure::absent(format!("the journal at {}: {error}{hint}", self.socket.display()))
        };
        let socket = tokio::net::UnixDatagram::unbound().map_err(failed)?;
        socket.send_to(&entry(envelope), &self.socket).await.map_err(failed)?;
        Ok(())
    }
}

/// The native journal protocol (systemd, "Native Journal Protocol"): `NAME=value` lines; a value with a line break is written
/// as its name, a line break, its length in 64 bits of little endian, and itself.
fn entry(envelope: &Envelope<'_>) -> Vec<u8> {
    let notice = envelope.notice;
    let mut entry = Vec::new();
    let mut field = |name: &str, value: &str| {
        let value = value.get(..value.floor_char_boundary(FIELD)).unwrap_or(value);
        entry.extend_from_slice(name.as_bytes());
        if value.contains('\n') {
            entry.push(b'\n');
            entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
        } else {
            entry.push(b'=');
        }
        entry.extend_from_slice(value.as_bytes());
        entry.push(b'\n');
    };
    let kind = notice.kind.as_str();
    let message = match &notice.incident {
        Some(about) => format!("{kind}: {}: {}", about.summary, notice.reason),
        None => format!("{kind}: {}", notice.reason),
    };
    field("MESSAGE", &message);
    field("PRIORITY", priority(envelope));
    field("SYSLOG_IDENTIFIER", "salve");
    field("SALVE_NOTICE", kind);
    field("SALVE_ID", &envelope.id);
    field("SALVE_KEY", &notice.key);
    if let Some(about) = &notice.incident {
        field("SALVE_INCIDENT", &about.id);
        field("SALVE_POLICY", &about.policy);
        field("SALVE_PLUGIN", &about.plugin);
        field("SALVE_KIND", &about.kind);
        field("SALVE_TARGET", &about.target);
        field("SALVE_SEVERITY", about.severity.as_str());
    }
    if !notice.actions.is_empty() {
        field("SALVE_ACTIONS", &notice.actions.join(", "));
    }
    entry
}

/// syslog's: 2 critical, 3 error, 4 warning, 5 notice.
fn priority(envelope: &Envelope<'_>) -> &'static str {
    let critical = envelope.notice.incident.as_ref().is_some_and(|about| about.severity == Severity::Critical);
    match envelope.notice.kind {
        NoticeKind::BreakerOpened => "2",
        NoticeKind::Escalated if critical => "2",
        NoticeKind::Escalated | NoticeKind::PluginDown | NoticeKind::PluginQuarantined => "3",
        NoticeKind::ApprovalAsked | NoticeKind::RecoveryFailed => "4",
        NoticeKind::Healed
        | NoticeKind::Resolved
        | NoticeKind::BreakerClosed
        | NoticeKind::PluginUp
        | NoticeKind::Message => "5",
    }
}
