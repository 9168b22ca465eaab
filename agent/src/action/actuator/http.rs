//! `http.request`: one request, answered as expected or not.

use std::time::Duration;

use reqwest::{Method, StatusCode, Url};
use tokio::time::timeout;

use super::parameters::Parameters;
use crate::action::Action;
use crate::config::Rules;
use crate::signal::Value;

/// How long a request may take with its answer.
const LIMIT: Duration = Duration::from_secs(30);
/// Bytes of the answer's body that are read and told.
const BODY: usize = 4096;
/// The methods that can be asked for.
const METHODS: [Method; 6] = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

/// Which status is success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// `2xx`: its hundreds.
    Class(u16),
    Status(u16),
}

impl Expected {
    fn parse(parameters: &Parameters<'_>) -> Result<Self, String> {
        let Some(value) = parameters.value("expect") else {
            return Ok(Self::Class(2));
        };
        let text = match value {
            Value::Text(text) => text.clone(),
            Value::Integer(integer) => integer.to_string(),
            _ => String::new(),
        };
        let is_valid = |expected: &Self| match expected {
            Self::Class(class) => (1..=5).contains(class),
            Self::Status(status) => (100..=599).contains(status),
        };
        let parsed = match text.strip_suffix("xx") {
            Some(class) => class.parse().ok().map(Self::Class),
            None => text.parse().ok().map(Self::Status),
        };
        parsed.filter(is_valid).ok_or_else(|| parameters.wrong("expect", value, "`2xx` or a status such as 204"))
    }

    fn is(self, status: StatusCode) -> bool {
        match self {
            Self::Class(class) => status.as_u16() / 100 == class,
            Self::Status(expected) => status.as_u16() == expected,
        }
    }
}

/// Sends it. Redirects are not followed.
pub(super) async fn request(action: &Action, rules: &Rules) -> Result<String, String> {
    let parameters = Parameters::of(action, &["method", "body", "content_type", "expect"])?;
    let url = url(action, rules)?;
    let name = parameters.text("method")?.unwrap_or("GET");
    let Some(method) = METHODS.into_iter().find(|method| method.as_str() == name) else {
        let valid = METHODS.map(|method| method.to_string()).join(", ");
        return Err(parameters.wrong("method", &name.into(), &format!("one of {valid}")));
    };
    let expected = Expected::parse(&parameters)?;
    let mut request = crate::http::client()?.request(method, url);
    if let Some(content_type) = parameters.text("content_type")? {
        request = request.header("content-type", content_type);
    }
    if let Some(body) = parameters.text("body")? {
        request = request.body(body.to_owned());
    }
    let exchange = async {
        let mut response = request.send().await?;
        let (status, mut body) = (response.status(), Vec::new());
        while body.len() < BODY {
            let Some(chunk) = response.chunk().await? else { break };
            body.extend(chunk.iter().take(BODY - body.len()));
        }
        Ok::<_, reqwest::Error>((status, body))
    };
    let (status, body) = match timeout(LIMIT, exchange).await {
        Ok(answer) => answer.map_err(|error| crate::http::causes(&error))?,
        Err(_) => return Err(format!("no answer within {} s", LIMIT.as_secs())),
    };
    let body = String::from_utf8_lossy(&body);
    let body = body.trim();
    let detail = if body.is_empty() { status.to_string() } else { format!("{status}: {body}") };
    if expected.is(status) { Ok(detail) } else { Err(format!("unexpected {detail}")) }
}

/// The target as a URL. What is really asked for must be granted too: `https://host/a/../b` is `https://host/b`.
fn url(action: &Action, rules: &Rules) -> Result<Url, String> {
    let target = action.target.as_str();
    let url = Url::parse(target).map_err(|error| format!("`{target}` is not a URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("`{target}` is neither http nor https"));
    }
    let as_written = url.as_str() == target || url.as_str().strip_suffix('/') == Some(target);
    if !as_written && !rules.grant.iter().any(|pattern| pattern.matches(&action.kind, url.as_str())) {
        return Err(format!("`{target}` is {url}, which is not granted"));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;
    use crate::action::actuator::testing::action;
    use crate::config::Pattern;

    /// Answers one request with `answer`; its URL, and what was asked.
    fn server(answer: String) -> (String, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut asked, mut buffer) = (Vec::new(), [0; 1024]);
            while !asked.ends_with(b"END") && !asked.ends_with(b"\r\n\r\n") {
                let count = stream.read(&mut buffer).unwrap();
                asked.extend(buffer.iter().take(count));
            }
            // The client may have had enough before the end.
            let _ = stream.write_all(answer.as_bytes());
            String::from_utf8(asked).unwrap()
        });
        (url, thread)
    }

    fn answer(status: &str, body: &str) -> String {
        format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
    }

    #[tokio::test]
    async fn a_request_is_sent_as_asked_and_judged_by_its_status() {
        let (url, asked) = server(answer("204 No Content", ""));
        let it = action("http.request", url, &[("method", "DELETE".into()), ("expect", Value::Integer(204))]);
        assert_eq!(request(&it, &Rules::default()).await.unwrap(), "204 No Content");
        assert!(asked.join().unwrap().starts_with("DELETE /hook HTTP/1.1"));

        let (url, asked) = server(answer("503 Service Unavailable", &"x".repeat(100_000)));
        let it = action("http.request", url, &[("content_type", "text/x".into()), ("expect", "2xx".into())]);
        let error = request(&it, &Rules::default()).await.unwrap_err();
        assert!(error.starts_with("unexpected 503 Service Unavailable: xxx") && error.len() < BODY + 100, "{error}");
        assert!(asked.join().unwrap().contains("content-type: text/x"));
    }

    #[tokio::test]
    async fn a_redirect_goes_nowhere_and_a_closed_port_says_so() {
        let (url, _asked) =
            server("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n".into());
        let error = request(&action("http.request", url, &[]), &Rules::default()).await.unwrap_err();
        assert!(error.contains("302"), "{error}");
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let closed = action("http.request", format!("http://{port}/"), &[]);
        assert!(request(&closed, &Rules::default()).await.unwrap_err().contains("refused"));
    }

    #[tokio::test]
    async fn what_is_not_a_request_is_refused() {
        let rules =
            Rules { grant: vec![Pattern::parse("http.request:https://h/restart/*").unwrap()], ..Rules::default() };
        for (target, parameters, expected) in [
            ("nonsense", vec![], "not a URL"),
            ("file:///etc/passwd", vec![], "neither http nor https"),
            ("https://h/restart/../delete", vec![], "is https://h/delete, which is not granted"),
            ("https://h/restart/%2e%2e/delete", vec![], "not granted"),
            ("https://h/restart/x", vec![("method", "BREW".into())], "one of GET"),
            ("https://h/restart/x", vec![("expect", "9xx".into())], "`2xx` or a status"),
            ("https://h/restart/x", vec![("expect", Value::Integer(42))], "`2xx` or a status"),
            ("https://h/restart/x", vec![("headers", "x".into())], "unknown key `headers`"),
        ] {
            let error = request(&action("http.request", target, &parameters), &rules).await.unwrap_err();
            assert!(error.contains(expected), "{target}: {error}");
        }
    }
}
