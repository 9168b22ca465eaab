//! `[metrics.NAME]`: an endpoint that tells metrics in Prometheus' text format.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Url;
use reqwest::header::HeaderMap;
use serde::Deserialize;
use toml::Spanned;

use super::duration;
use super::error::Flaw;
use super::web::{self, Trust};

/// How often an endpoint is asked, unless it says otherwise.
const INTERVAL: Duration = Duration::from_secs(15);
/// The shortest interval.
const MIN_INTERVAL: Duration = Duration::from_millis(100);
/// How long an answer may take in all, unless it says otherwise.
const TIMEOUT: Duration = Duration::from_secs(5);

/// An endpoint, and what is taken of it.
#[derive(Debug, Clone)]
pub struct EndpointSpec {
    /// Where it is.
    pub url: Url,
    /// The Unix socket that is asked instead of the URL's host.
    pub socket: Option<PathBuf>,
    /// Headers of the request.
    pub headers: HeaderMap,
    /// Whose certificates are believed.
    pub trust: Trust,
    /// From one question to the next.
    pub interval: Duration,
    /// How long an answer may take in all.
    pub timeout: Duration,
    /// Patterns of the metrics that are taken.
    pub allow: Vec<String>,
    /// The labels that are kept; all if not given.
    pub labels: Option<BTreeSet<String>>,
}

/// As it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Metrics {
    url: Spanned<String>,
    allow: Spanned<Vec<String>>,
    labels: Option<BTreeSet<String>>,
    socket: Option<PathBuf>,
    headers: Option<Spanned<BTreeMap<String, String>>>,
    ca: Option<Spanned<PathBuf>>,
    #[serde(default)]
    insecure: bool,
    #[serde(default, deserialize_with = "duration::read_positive")]
    interval: Option<Duration>,
    #[serde(default, deserialize_with = "duration::read_positive")]
    timeout: Option<Duration>,
}

/// Checks an entry; relative paths are relative to `base`.
pub(super) fn check(name: &str, raw: Spanned<Metrics>, base: &Path) -> Result<EndpointSpec, Flaw> {
    let table = raw.span();
    let raw = raw.into_inner();
    if !web::is_name(name) {
        return Err(Flaw::new(table, format!("`{name}` cannot name an endpoint: write letters, digits and `._@:-`")));
    }
    let interval = raw.interval.unwrap_or(INTERVAL);
    if interval < MIN_INTERVAL {
        return Err(Flaw::new(table, format!("[metrics.{name}] interval must be at least 100ms")));
    }
    let span = raw.allow.span();
    let allow = raw.allow.into_inner();
    if allow.is_empty() || allow.iter().any(String::is_empty) {
        let message =
            "name the metrics to take, for example [\"pg_stat_*\", \"pg_up\"]; an endpoint may have thousands";
        return Err(Flaw::new(span, message));
    }
    Ok(EndpointSpec {
        url: web::url(&raw.url)?,
        socket: raw.socket.map(|path| base.join(path)),
        headers: web::headers(raw.headers)?,
        trust: Trust::read(raw.ca, raw.insecure, base)?,
        interval,
        timeout: raw.timeout.unwrap_or(TIMEOUT),
        allow,
        labels: raw.labels,
    })
}

#[cfg(test)]
mod tests {
    use super::super::Settings;
    use super::*;

    fn parse(table: &str) -> Result<EndpointSpec, String> {
        let text = format!("[metrics.db]\n{table}\n");
        let settings = Settings::parse(Path::new("/etc/salve/salve.toml"), &text).map_err(|error| error.to_string())?;
        Ok(settings.metrics["db"].clone())
    }

    #[test]
    fn an_endpoint_is_read() {
        let spec = parse("url = \"http://localhost:9187/metrics\"\nallow = [\"pg_*\"]").unwrap();
        assert_eq!((spec.interval, spec.timeout, spec.labels), (INTERVAL, TIMEOUT, None));
        let spec = parse("url = \"http://h/\"\nallow = [\"a\"]\nlabels = [\"db\"]\nsocket = \"s\"\ninterval = \"1s\"")
            .unwrap();
        assert_eq!(spec.socket.as_deref(), Some(Path::new("/etc/salve/s")));
        assert_eq!((spec.labels.unwrap().len(), spec.interval), (1, Duration::from_secs(1)));
    }

    #[test]
    fn errors_name_line_and_remedy() {
        for (table, expected) in [
            ("url = \"http://h/\"", "missing field `allow`"),
            ("url = \"http://h/\"\nallow = []", "3:9: name the metrics to take"),
            ("url = \"h\"\nallow = [\"a\"]", "2:7: `h` is not a URL"),
            ("url = \"http://h/\"\nallow = [\"a\"]\ninterval = \"1ms\"", "at least 100ms"),
            ("url = \"http://h/\"\nallow = [\"a\"]\nlabel = [\"a\"]", "did you mean `labels`"),
        ] {
            let error = parse(table).unwrap_err();
            assert!(error.contains(expected), "{table}\n  gave {error}\n  not  {expected}");
        }
    }
}
