use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{StatusCode, Url};

use super::channel::Failure;
use crate::http;

/// How much of an answer that says no is repeated, in characters.
const ANSWER: usize = 200;
/// How much of it is read, in bytes.
const READ: usize = 4096;

/// Posts JSON; 2xx is success.
pub(super) async fn post(url: &Url, headers: HeaderMap, body: String, timeout: Duration) -> Result<(), Failure> {
    let client = http::client().map_err(Failure::absent)?;
    let mut request =
        client.post(url.clone()).header(CONTENT_TYPE, HeaderValue::from_static("application/json")).timeout(timeout);
    // The operator's come last: they replace ours.
    request = request.headers(headers);
    // The address may hold a secret, and errors are shown.
    let unreachable = |error: reqwest::Error| Failure::absent(in_words(&error.without_url(), timeout));
    let mut response = request.body(body).send().await.map_err(unreachable)?;
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    let mut answer = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        answer.extend_from_slice(&chunk);
        if answer.len() >= READ {
            break;
        }
    }
    let answer: String = String::from_utf8_lossy(&answer).trim().chars().take(ANSWER).collect();
    let message = if answer.is_empty() { format!("answered {status}") } else { format!("answered {status}: {answer}") };
    // Of the answers that blame the request, these are about the receiver, or about all requests.
    let whole = !status.is_client_error()
        || [
            StatusCode::UNAUTHORIZED,
            StatusCode::FORBIDDEN,
            StatusCode::NOT_FOUND,
            StatusCode::REQUEST_TIMEOUT,
            StatusCode::TOO_MANY_REQUESTS,
        ]
        .contains(&status);
    Err(Failure { message, whole })
}

/// An error with its causes, of which the last usually says it.
fn in_words(error: &reqwest::Error, timeout: Duration) -> String {
    if error.is_timeout() {
        return format!("did not answer within {} s", timeout.as_secs_f64());
    }
    let mut words = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        words = format!("{words}: {cause}");
        source = cause.source();
    }
    words
}
