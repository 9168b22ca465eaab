//! What entries that speak HTTP or TLS have in common: the URL, headers, and whom to trust.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use toml::Spanned;

use super::error::Flaw;

/// Whose certificates are believed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Trust {
    /// Those that the host's authorities vouch for.
    #[default]
    Host,
    /// Those that the authorities in this file (PEM) vouch for.
    Authorities(PathBuf),
    /// Any, also an expired one of somebody else.
    Anybody,
}

impl Trust {
    /// Of the keys `ca` and `insecure`; a relative path is relative to `base`.
    pub(super) fn read(ca: Option<Spanned<PathBuf>>, insecure: bool, base: &Path) -> Result<Self, Flaw> {
        match ca {
            Some(ca) if insecure => {
                Err(Flaw::new(ca.span(), "`insecure = true` trusts anybody, so `ca` would mean nothing; leave one out"))
            }
            Some(ca) => Ok(Self::Authorities(base.join(ca.into_inner()))),
            None if insecure => Ok(Self::Anybody),
            None => Ok(Self::Host),
        }
    }
}

/// An http or https URL.
pub(super) fn url(url: &Spanned<String>) -> Result<Url, Flaw> {
    let wrong = |why: String| {
        let message = format!("`{}` is not a URL that can be asked: {why}; write \"https://host/path\"", url.get_ref());
        Flaw::new(url.span(), message)
    };
    let parsed = Url::parse(url.get_ref()).map_err(|error| wrong(error.to_string()))?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(wrong(format!("`{}` is neither http nor https", parsed.scheme())));
    }
    Ok(parsed)
}

/// Headers by name. They may be tokens, so they are never shown.
pub(super) fn headers(headers: Option<Spanned<BTreeMap<String, String>>>) -> Result<HeaderMap, Flaw> {
    let mut map = HeaderMap::new();
    let Some(headers) = headers else { return Ok(map) };
    for (name, value) in headers.get_ref() {
        let wrong = |what: &str| Flaw::new(headers.span(), format!("header `{name}`: {what}"));
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong("the name is not one of HTTP's"))?;
        let mut value =
            HeaderValue::from_str(value).map_err(|_| wrong("the value has characters HTTP does not carry"))?;
        value.set_sensitive(true);
        map.insert(name, value);
    }
    Ok(map)
}

/// Whether `name` can name an entry that signals tell of: it is matched by patterns, and shown in lists.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._@:-".contains(&byte))
}
