//! Requests to the API.

use axum::extract::Query;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri};
use axum::response::IntoResponse;

use super::{events, history};
use crate::clock::Timestamp;

/// A request: what is asked for in the first line, then headers up to an empty line, then the body.
pub fn api(bytes: &[u8]) {
    let mut rest = bytes;
    let mut line = || {
        let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        let (line, after) = rest.split_at(end);
        rest = after.get(1..).unwrap_or_default();
        line
    };
    if let Ok(uri) = Uri::try_from(line())
        && let Ok(Query(parameters)) = Query::<Vec<(String, String)>>::try_from_uri(&uri)
    {
        let _ = history::Question::read(&parameters);
    }
    let mut headers = HeaderMap::new();
    loop {
        let header = line();
        let Some(colon) = header.iter().position(|byte| *byte == b':') else { break };
        let (name, value) = header.split_at(colon);
        let value = HeaderValue::from_bytes(value.get(1..).unwrap_or_default().trim_ascii());
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), value) {
            let _ = headers.try_insert(name, value);
        }
    }
    match events::read(&headers, rest, Timestamp::default()) {
        Err(refusal) => assert!(refusal.into_response().status().is_client_error()),
        Ok(events) => {
            for it in events {
                let texts = [&it.id, &it.source];
                assert!(texts.into_iter().all(|text| !text.is_empty() && !text.contains(char::is_control)), "{it:?}");
                assert!(!it.event.name.starts_with("service.") && it.event.attributes.len() <= 64, "{it:?}");
            }
        }
    }
}
