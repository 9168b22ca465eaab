//! `[containers]`: where the Docker API is.

use std::path::{Path, PathBuf};

use serde::Deserialize;

/// Where Docker and podman listen unless they are told otherwise.
const SOCKETS: [&str; 2] = ["/var/run/docker.sock", "/run/podman/podman.sock"];

/// As written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct Containers {
    socket: Option<PathBuf>,
}

/// The sockets to try, in this order; a relative path is relative to `base`.
pub(super) fn sockets(base: &Path, raw: Containers) -> Vec<PathBuf> {
    match raw.socket {
        Some(socket) => vec![base.join(socket)],
        None => SOCKETS.map(PathBuf::from).to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    #[test]
    fn a_socket_that_is_named_is_the_only_one() {
        let parse = |text: &str| Settings::parse(Path::new("/etc/salve/salve.toml"), text);
        assert_eq!(parse("").unwrap().containers, SOCKETS.map(PathBuf::from));
        let own = parse("[containers]\nsocket = \"podman.sock\"\n").unwrap();
        assert_eq!(own.containers, [Path::new("/etc/salve/podman.sock")]);
        let error = parse("[containers]\nsoket = \"x\"\n").unwrap_err().to_string();
        assert!(error.contains("salve.toml:2:1: unknown key `soket`; did you mean `socket`?"), "{error}");
    }
}
