//! `POST /v1/events`: events from outside, as CloudEvents over HTTP in all three modes of its protocol binding
//! (<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md>).

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Json;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, State as Shared};
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Map, Value, json};

use super::api::{Api, Refusal};
use super::cloud_event::{CloudEvent, Data};
use super::peer::Peer;
use crate::clock::Timestamp;
use crate::signal::Router;

/// Events that are remembered, so that one that is sent again is not taken again.
const REMEMBERED: usize = 10_000;
/// Most events in one batch.
const MAX_BATCH: usize = 1000;

/// Where events from outside come in.
#[derive(Debug)]
pub struct Outside {
    router: Arc<Router>,
    memory: Mutex<Memory>,
}

/// The last events, by source and id.
#[derive(Debug, Default)]
struct Memory {
    known: HashSet<(String, String)>,
    order: VecDeque<(String, String)>,
}

impl Memory {
    /// Whether this one is new; it is not from now on.
    fn is_new(&mut self, key: (String, String)) -> bool {
        if !self.known.insert(key.clone()) {
            return false;
        }
        self.order.push_back(key);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

impl Outside {
    /// Hands them to this router.
    pub fn new(router: Arc<Router>) -> Self {
        Self { router, memory: Mutex::default() }
    }

    /// Publishes those that are new, and says how many that were.
    fn take(&self, events: Vec<CloudEvent>) -> usize {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let mut count = 0;
        for CloudEvent { source, id, event } in events {
            if memory.is_new((source, id)) {
                self.router.publish(event);
                count += 1;
            }
        }
        count
    }
}

/// `{"message": "…", "taken": 1, "known": 0}`. Of a batch all events are taken, or none if one is wrong.
pub(super) async fn post(
    Shared(api): Shared<Arc<Api>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    let events = read(&headers, &body, api.clock.now().wall)?;
    let types: Vec<String> = events.iter().map(|event| event.event.name.to_string()).collect();
    let count = events.len();
    let taken = api.outside.take(events);
    tracing::info!(by = peer.actor(), types = types.join(","), taken, "events from outside");
    let known = count - taken;
    let message = match (taken, known) {
        (taken, 0) => format!("taken: {taken}"),
        (taken, known) => format!("taken: {taken}; known already, by source and id: {known}"),
    };
    Ok(Json(json!({ "message": message, "taken": taken, "known": known })))
}

/// The events of a request, in whichever mode its content type says.
pub(super) fn read(headers: &HeaderMap, body: &[u8], at: Timestamp) -> Result<Vec<CloudEvent>, Refusal> {
    let bad = |error: String| Refusal(StatusCode::BAD_REQUEST, error);
    let text = |name: &str| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let content_type = text("content-type").unwrap_or_default();
    let media = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let json = || serde_json::from_slice(body).map_err(|error| bad(format!("the body is no JSON: {error}")));
    match media.as_str() {
        "application/cloudevents+json" => Ok(vec![CloudEvent::structured(json()?, at).map_err(bad)?]),
        "application/cloudevents-batch+json" => {
            let Value::Array(batch) = json()? else { return Err(bad("a batch is a JSON array".to_owned())) };
            if batch.len() > MAX_BATCH {
                return Err(bad(format!("{} events in one batch; at most {MAX_BATCH} are taken", batch.len())));
            }
            let read = |(index, json)| {
                CloudEvent::structured(json, at)
                    .map_err(|error| bad(format!("event {} of the batch: {error}", index + 1)))
            };
            batch.into_iter().enumerate().map(read).collect()
        }
        other if other.starts_with("application/cloudevents") => {
            let message = format!("`{other}` is not supported; send application/cloudevents+json");
            Err(Refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, message))
        }
        _ if headers.keys().any(|name| name.as_str().starts_with("ce-")) => {
            let mut context = Map::new();
            for (name, value) in headers {
                if let Some(key) = name.as_str().strip_prefix("ce-") {
                    context.insert(key.to_owned(), decoded(value.as_bytes()).into());
                }
            }
            let data = Data::of_body(body, &content_type).map_err(bad)?;
            Ok(vec![CloudEvent::new(context, data, at).map_err(bad)?])
        }
        _ => {
            let message = "this is no CloudEvent: send application/cloudevents+json, \
                application/cloudevents-batch+json, or the headers ce-id, ce-source, ce-type and ce-specversion";
            Err(Refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, message.to_owned()))
        }
    }
}

/// A header's value, percent-decoded; what is no code stays as it is (section 3.1.3.2 of the binding).
fn decoded(value: &[u8]) -> String {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (mut bytes, mut rest) = (Vec::new(), value);
    while let Some((first, tail)) = rest.split_first() {
        let code = match (first, tail) {
            (b'%', [high, low, after @ ..]) => digit(high).zip(digit(low)).map(|(high, low)| (high * 16 + low, after)),
            _ => None,
        };
        let (byte, after) = code.unwrap_or((*first, tail));
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::{Attribute, Mailbox, Selector, Subscription};

    const AT: Timestamp = Timestamp::from_nanos(1);

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn read_as(content_type: &str, body: &str) -> Result<Vec<CloudEvent>, (u16, String)> {
        let headers = headers(&[("content-type", content_type)]);
        super::read(&headers, body.as_bytes(), AT).map_err(|Refusal(status, error)| (status.as_u16(), error))
    }

    fn event(id: &str) -> String {
        format!(
            r#"{{"specversion":"1.0","id":"{id}","source":"/ci","type":"ci.failed","subject":"web","data":{{"job":"e2e"}}}}"#
        )
    }

    #[test]
    fn all_three_modes_say_the_same() {
        let structured = read_as("application/cloudevents+json; charset=utf-8", &event("1")).unwrap();
        let batch = read_as("application/cloudevents-batch+json", &format!("[{}]", event("1"))).unwrap();
        let binary = [
            ("ce-specversion", "1.0"),
            ("ce-id", "1"),
            ("ce-source", "/ci"),
            ("ce-type", "ci.failed"),
            ("ce-subject", "we%62"),
            ("content-type", "application/json"),
        ];
        let binary = super::read(&headers(&binary), br#"{"job":"e2e"}"#, AT).ok().unwrap();
        assert_eq!(structured, batch);
        assert_eq!(structured, binary);
    }

    #[test]
    fn what_is_no_event_is_refused_with_what_to_do() {
        for (content_type, body, status, expected) in [
            ("application/json", "{}", 415, "this is no CloudEvent: send application/cloudevents+json"),
            ("application/cloudevents+avro", "", 415, "is not supported"),
            ("application/cloudevents+json", "{", 400, "the body is no JSON"),
            ("application/cloudevents+json", "{}", 400, "required attribute `specversion` is missing"),
            ("application/cloudevents-batch+json", "{}", 400, "a batch is a JSON array"),
            ("application/cloudevents-batch+json", "[{}]", 400, "event 1 of the batch: required attribute"),
        ] {
            let (said, error) = read_as(content_type, body).unwrap_err();
            assert!(said == status && error.contains(expected), "{content_type} {body}: {said} {error}");
        }
        let many = vec!["{}"; MAX_BATCH + 1].join(",");
        let (_, error) = read_as("application/cloudevents-batch+json", &format!("[{many}]")).unwrap_err();
        assert!(error.contains("at most 1000"), "{error}");
        assert_eq!(decoded(b"50%25 %zz %4"), "50% %zz %4");
    }

    #[test]
    fn whoever_subscribed_to_the_type_gets_it_once() {
        let (router, mailbox) = (Arc::new(Router::new()), Arc::new(Mailbox::default()));
        let selector = Selector::new("ci.*", vec![Attribute::new("data.job", "e2e"), Attribute::new("subject", "web")]);
        let subscription = Subscription { events: vec![selector], ..Subscription::default() };
        router.subscribe("policy".into(), subscription, mailbox.clone());
        let outside = Outside::new(router);
        let read = |id: &str| read_as("application/cloudevents+json", &event(id)).unwrap();
        assert_eq!((outside.take(read("1")), outside.take(read("1")), outside.take(read("2"))), (1, 0, 1));
        let batch = mailbox.take(AT).unwrap();
        let bodies: Vec<&str> = batch.events.iter().map(|event| event.body.as_str()).collect();
        assert_eq!(bodies, [r#"{"job":"e2e"}"#; 2]);
        // What is too long ago is forgotten, so that the memory has an end.
        for n in 0..REMEMBERED {
            outside.take(read(&format!("n{n}")));
        }
        assert_eq!(outside.memory.lock().unwrap().known.len(), REMEMBERED);
        assert_eq!(outside.take(read("1")), 1);
    }
}
