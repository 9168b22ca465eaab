use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use super::channel::Failure;
use super::post::post;
use crate::incident::ledger::{Alert, Entry, StoredNotice};

/// An Alertmanager, told by its API v2 of what wants a person. Each key (an incident, the breaker, a plugin) is one alert.
/// Its labels are those of its first notice, for Alertmanager knows an alert by them; what changes is in annotations.
#[derive(Clone)]
pub struct Alertmanager {
    /// Its address, without `api/v2/alerts`.
    pub url: Url,
    /// The operator's, beside ours.
    pub headers: HeaderMap,
    /// The operator's, on every alert.
    pub labels: BTreeMap<String, String>,
}

impl fmt::Debug for Alertmanager {
    /// Without what may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alertmanager").field("host", &self.url.host_str()).finish_non_exhaustive()
    }
}

impl Alertmanager {
    /// The labels that are ours: the operator's have other names.
    pub const LABELS: [&'static str; 9] =
        ["alertname", "host", "key", "incident", "kind", "target", "policy", "plugin", "severity"];

    /// What a notice means for its key's alert; `wanted` says whether one of its kind may begin one.
    pub(super) fn entry(&self, stored: &StoredNotice, host: &str, wanted: bool) -> Entry {
        let notice = &stored.notice;
        if notice.kind.ends() {
            return Entry::End { annotations: annotations(stored) };
        }
        if !notice.kind.begins() || !wanted {
            return Entry::None;
        }
        let mut labels = self.labels.clone();
        let mut label = |name: &str, value: &str| labels.insert(name.to_owned(), value.to_owned());
        label("alertname", "Salve");
        label("host", host);
        label("key", &notice.key);
        match &notice.incident {
            Some(about) => {
                label("incident", &about.id);
                label("kind", &about.kind);
                label("target", &about.target);
                label("policy", &about.policy);
                label("plugin", &about.plugin);
                label("severity", about.severity.as_str());
            }
            None => {
                label("kind", notice.kind.as_str());
                label("severity", "critical");
            }
        }
        Entry::Alert { labels: object(&labels), annotations: annotations(stored) }
    }

    /// Tells it of alerts, in one request.
    pub(super) async fn send(&self, alerts: &[Alert], timeout: Duration) -> Result<(), Failure> {
        let body = body(alerts).map_err(|error| Failure::refused(error.to_string()))?;
        let mut url = self.url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["api", "v2", "alerts"]);
        }
        post(&url, self.headers.clone(), body, timeout).await
    }
}

/// What changes from notice to notice of a key.
fn annotations(stored: &StoredNotice) -> String {
    let notice = &stored.notice;
    let mut annotations = BTreeMap::new();
    annotations.insert("notice".to_owned(), notice.kind.as_str().to_owned());
    annotations.insert("description".to_owned(), notice.reason.clone());
    let summary = notice.incident.as_ref().map_or(&notice.reason, |about| &about.summary);
    annotations.insert("summary".to_owned(), summary.clone());
    if let Some(about) = &notice.incident {
        annotations.insert("attempts".to_owned(), about.attempts.to_string());
        annotations.insert("severity".to_owned(), about.severity.as_str().to_owned());
    }
    if !notice.actions.is_empty() {
        annotations.insert("actions".to_owned(), notice.actions.join(", "));
    }
    object(&annotations)
}

/// `postableAlerts` of the API's description (alertmanager, `api/v2/openapi.yaml`).
fn body(alerts: &[Alert]) -> Result<String, serde_json::Error> {
    let mut list = Vec::new();
    for alert in alerts {
        let mut object = json!({
            "labels": serde_json::from_str::<Value>(&alert.labels)?,
            "annotations": serde_json::from_str::<Value>(&alert.annotations)?,
            "startsAt": alert.starts_at,
        });
        if let (Some(ends_at), Some(object)) = (alert.ends_at, object.as_object_mut()) {
            object.insert("endsAt".to_owned(), json!(ends_at));
        }
        list.push(object);
    }
    serde_json::to_string(&list)
}

fn object(map: &BTreeMap<String, String>) -> String {
    Value::from_iter(map.iter().map(|(key, value)| (key.as_str(), value.as_str()))).to_string()
}
