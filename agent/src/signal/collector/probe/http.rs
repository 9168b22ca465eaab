//! A request, and whether its answer is as expected.

use reqwest::Client;

use super::answer::Answer;
use crate::config::HttpProbe;
use crate::http::causes;
use crate::signal::collector::web;

/// Bytes of a body that are looked at.
const BODY: usize = 256 * 1024;

/// Asks once.
pub(super) async fn ask(client: &Client, probe: &HttpProbe) -> Answer {
    let request = client.request(probe.method.clone(), probe.url.clone()).headers(probe.headers.clone());
    let response = match request.send().await {
        Ok(response) => response,
        // The URL may hold a token, and the name says which it is.
        Err(error) => return Answer::down(causes(&error.without_url())),
    };
    let status = response.status();
    let code = status.as_u16();
    let answer = if probe.status.iter().any(|range| range.contains(&code)) {
        match &probe.body {
            None => Answer::up(status.to_string()),
            Some(expected) => match web::body(response, BODY).await {
                Err(error) => Answer::down(format!("{status}, but its body: {}", causes(&error.without_url()))),
                Ok((body, _)) if expected.is_match(&body) => Answer::up(status.to_string()),
                Ok((_, true)) => Answer::down(format!("{status}, but the body does not match `{expected}`")),
                Ok((_, false)) => {
                    Answer::down(format!("{status}, but the first {} KiB do not match `{expected}`", BODY / 1024))
                }
            },
        }
    } else {
        Answer::down(format!("{status} is not what is expected"))
    };
    Answer { http_status: Some(code), ..answer }
}
