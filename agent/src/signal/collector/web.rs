//! HTTP as a collector speaks it: to whom it was told to and nobody else, each time on a new connection.

use std::path::Path;
use std::sync::Arc;

use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};

use super::tls::{self, Expiry};
use crate::config::Trust;

/// A client for `url`. The end of each certificate that it is shown is kept in `expiry`.
pub(super) fn client(
    url: &Url,
    trust: &Trust,
    redirects: u32,
    socket: Option<&Path>,
    expiry: Arc<Expiry>,
) -> Result<Client, String> {
    let policy = match usize::try_from(redirects) {
        Ok(0) | Err(_) => Policy::none(),
        Ok(some) => Policy::limited(some),
    };
    // Without TLS nothing of it is needed, and a host without authorities can still be asked.
    let is_plain = url.scheme() == "http" && redirects == 0;
    let trust = if is_plain { &Trust::Anybody } else { trust };
    let client = Client::builder()
        .user_agent(concat!("salve/", env!("CARGO_PKG_VERSION")))
        .tls_backend_preconfigured(tls::client_config(trust, expiry)?)
        .redirect(policy)
        // What is asked is the host itself, and whether it takes a connection.
        .no_proxy()
        .pool_max_idle_per_host(0);
    let client = match socket {
        Some(socket) => client.unix_socket(socket),
        None => client,
    };
    client.build().map_err(|error| format!("no HTTP client can be made on this host: {error}"))
}

/// The first bytes of a body, and whether that is all of it.
pub(super) async fn body(mut response: Response, most: usize) -> Result<(Vec<u8>, bool), reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let room = most - body.len();
        body.extend(chunk.iter().take(room));
        if chunk.len() > room {
            return Ok((body, false));
        }
    }
    Ok((body, true))
}
