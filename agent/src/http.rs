//! The outgoing HTTP client, one for the whole agent: connections are kept, certificates are the host's.

use std::sync::OnceLock;
use std::time::Duration;

/// How long a connection may take to be made; what a request may take in all is its caller's to say.
const CONNECT: Duration = Duration::from_secs(5);

/// The client, made when it is first needed: an agent that sends nothing does not load the host's certificates.
pub(crate) fn client() -> Result<&'static reqwest::Client, String> {
    static CLIENT: OnceLock<Result<reqwest::Client, String>> = OnceLock::new();
    let made = CLIENT.get_or_init(|| {
        // Already installed by whoever was first: the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        reqwest::Client::builder()
            .user_agent(concat!("salve/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            // A redirect would go where no grant was given for.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| format!("no HTTP client can be made on this host: {error}"))
    });
    made.as_ref().map_err(Clone::clone)
}

/// An error with what caused it: reqwest's own words stop short of "connection refused".
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
}
