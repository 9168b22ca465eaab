use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use sha2::Sha256;

use super::channel::Failure;
use super::post::post;
use super::{Envelope, Template};

/// What a receiver goes by not to take a notice twice (IETF draft "The Idempotency-Key HTTP Header Field").
const IDEMPOTENCY: HeaderName = HeaderName::from_static("idempotency-key");
/// The body's HMAC, written as GitHub writes it in `X-Hub-Signature-256`.
const SIGNATURE: HeaderName = HeaderName::from_static("x-salve-signature-256");

/// A shared secret, which is never shown.
#[derive(Clone)]
pub struct Secret(Arc<[u8]>);

impl Secret {
    /// From a file's content; a line break at its end is an editor's.
    pub fn new(content: &[u8]) -> Self {
        Self(content.trim_ascii_end().into())
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `sha256=` and the HMAC-SHA256 of `body` in hexadecimal digits.
    pub fn sign(&self, body: &[u8]) -> Result<String, String> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).map_err(|error| error.to_string())?;
        mac.update(body);
        let digits: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(format!("sha256={digits}"))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Posts each notice to a URL.
#[derive(Clone)]
pub struct Webhook {
    /// Where to.
    pub url: Url,
    /// The operator's, beside ours.
    pub headers: HeaderMap,
    /// The body; the notice as JSON if none.
    pub template: Option<Template>,
    /// Signs the body.
    pub secret: Option<Secret>,
}

impl fmt::Debug for Webhook {
    /// Without what may be a secret: the URL's path often is one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").field("host", &self.url.host_str()).finish_non_exhaustive()
    }
}

impl Webhook {
    pub(super) async fn deliver(&self, envelope: &Envelope<'_>, timeout: Duration) -> Result<(), Failure> {
        let body = match &self.template {
            Some(template) => template.render(envelope).map_err(|error| format!("the template: {error}")),
            None => serde_json::to_string(envelope).map_err(|error| error.to_string()),
        };
        let body = body.map_err(Failure::refused)?;
        let mut headers = self.headers.clone();
        if let Ok(id) = HeaderValue::from_str(&envelope.id) {
            headers.insert(IDEMPOTENCY, id);
        }
        if let Some(secret) = &self.secret {
            let signature = secret.sign(body.as_bytes()).map_err(Failure::refused)?;
            headers.insert(SIGNATURE, HeaderValue::from_str(&signature).map_err(|e| Failure::refused(e.to_string()))?);
        }
        post(&self.url, headers, body, timeout).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_as_github_documents() {
        // GitHub's documentation, "Validating webhook deliveries", "Testing the webhook payload validation".
        let secret = Secret::new(b"It's a Secret to Everybody\n");
        let signature = secret.sign(b"Hello, World!").unwrap();
        assert_eq!(signature, "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17");
        assert_eq!(format!("{secret:?}"), "Secret");
    }
}
